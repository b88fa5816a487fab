"""What the helper package does with questions, answers and everything that is neither."""

import io
import json
import os
import subprocess
import sys
import tempfile
import unittest

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, PACKAGE)

import dodona  # noqa: E402
from dodona import runner  # noqa: E402


def question(number, points, start=0, topic=1, ahead=1):
    return json.dumps({"dodona": 1, "id": number, "topic": topic, "epoch": number, "nonce": number, "target": "",
                       "unit": "MW", "labels": [], "ahead": ahead, "history": {"from": start, "points": points}})


def answers(function, lines):
    sink = io.StringIO()
    error, sys.stderr = sys.stderr, io.StringIO()
    try:
        runner.serve(lambda topic: function, io.StringIO("\n".join(lines) + "\n"), sink)
    finally:
        sys.stderr = error
    return [json.loads(line) for line in sink.getvalue().splitlines()]


class Served(unittest.TestCase):
    def test_history_grows_and_may_be_replaced(self):
        said = answers(lambda ctx: sum(ctx.history) + ctx.history.times[-1],
                       [question(1, [[0, 1.0], [1, 2.0]]), question(2, [[2, 4.0]], 2), question(3, [[7, 5.0]])])
        self.assertEqual([a["value"] for a in said], [4.0, 9.0, 12.0])

    def test_what_a_model_does_to_its_history_stays_with_it(self):
        def greedy(ctx):
            total = sum(ctx.history)
            ctx.history.clear()
            return total
        said = answers(greedy, [question(1, [[0, 1.0]]), question(2, [[1, 2.0]], 1)])
        self.assertEqual([a["value"] for a in said], [1.0, 3.0])

    def test_errors_and_wrong_answers_are_told_and_the_next_question_is_answered(self):
        outcomes = iter([1 / 3, float("nan"), "text", None, {"up": 0.25, "down": 0.75}, [1]])

        def model(ctx):
            if ctx.epoch == 7:
                raise RuntimeError("no data")
            return next(outcomes)
        said = answers(model, [question(n, [[0, 1.0]]) for n in range(1, 8)] + ["garbage"])
        self.assertEqual(said[0]["value"], 1 / 3)
        self.assertIn("nan", said[1]["error"])
        self.assertIn("error", said[2])
        self.assertIn("silent", said[3])
        self.assertEqual(said[4]["values"], {"up": 0.25, "down": 0.75})
        self.assertIn("list", said[5]["error"])
        self.assertIn("no data", said[6]["error"])
        self.assertIn("error", said[7])


class Files(unittest.TestCase):
    def answer(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.py")
            with open(path, "w") as file:
                file.write(text)
            done = subprocess.run([sys.executable, "-m", "dodona.runner", path], input=question(1, [[0, 2.0]]) + "\n",
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
                                  env=dict(os.environ, PYTHONPATH=PACKAGE), timeout=60)
            return done

    def test_a_plain_function_is_found_and_its_prints_are_logs(self):
        done = self.answer("def predict(ctx):\n    print('thinking')\n    return ctx.history[-1] * 2\n")
        self.assertEqual(json.loads(done.stdout), {"id": 1, "value": 4.0})
        self.assertIn("thinking", done.stderr)

    def test_a_marked_function_is_found_by_its_topic(self):
        text = ("import dodona\n@dodona.worker(topic=1)\ndef one(ctx): return 1\n"
                "@dodona.worker(topic=2)\ndef two(ctx): return 2\ndodona.run()\n")
        self.assertEqual(json.loads(self.answer(text).stdout)["value"], 1.0)

    def test_a_file_without_a_model_says_so(self):
        self.assertIn("predict(ctx)", json.loads(self.answer("x = 1\n").stdout)["error"])

    def test_a_broken_file_ends_with_its_traceback(self):
        done = self.answer("def predict(ctx\n")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("SyntaxError", done.stderr)


class Notebook(unittest.TestCase):
    def test_one_question_by_hand(self):
        self.assertEqual(dodona.ask(lambda ctx: ctx.history[-ctx.ahead], [1, 2, 3], ahead=2), 2.0)
        with self.assertRaises(ValueError):
            dodona.ask(lambda ctx: float("inf"), [1])


from test_calls import Called, Compression  # noqa: E402,F401 (one run for all)

if __name__ == "__main__":
    unittest.main()
