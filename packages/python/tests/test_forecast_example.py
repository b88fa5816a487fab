"""The example of a subnet that forecasts: its evaluator against a node that is made up."""

import http.server
import importlib.util
import json
import os
import shutil
import tempfile
import threading
import unittest

_EXAMPLE = os.path.join(os.path.dirname(__file__), "..", "..", "..", "examples", "forecast")


class _Node(http.server.BaseHTTPRequestHandler):
    """Tells the epochs of a topic."""

    epochs = []

    def do_GET(self):
        start = int(self.path.split("from=")[1].split("&")[0])
        body = json.dumps({"epochs": self.epochs[start:start + 100]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def _load(folder, name):
    spec = importlib.util.spec_from_file_location("example_" + name, os.path.join(folder, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Forecast(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        for name in ("evaluator", "miner", "miner_plain", "seller"):
            shutil.copy(os.path.join(_EXAMPLE, name + ".py"), self.folder)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Node)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        os.environ["FORECAST_NODE"] = "http://127.0.0.1:%d" % self.server.server_port

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()
        del os.environ["FORECAST_NODE"]
        shutil.rmtree(self.folder)

    def test_truth_that_comes_later_decides_and_the_best_word_is_sold(self):
        season = [10.0, 12.0, 17.0, 21.0, 17.0, 12.0]
        scored = lambda epoch: {"epoch": epoch, "state": "scored", "truth": season[epoch % 6]}
        _Node.epochs = [scored(epoch) for epoch in range(130)]
        evaluator, seller = _load(self.folder, "evaluator"), _load(self.folder, "seller")
        good, plain = _load(self.folder, "miner"), _load(self.folder, "miner_plain")
        self.assertIsNone(seller.predict(type("Ctx", (), {"epoch": 131})()))
        for number in range(1, 9):
            task = evaluator.task(number)
            self.assertEqual(task["from"], len(_Node.epochs))
            said = [good.answer(task), plain.answer(task), "nonsense", [float("nan")] * task["ahead"], None]
            answers = [{"uid": uid, "hotkey": "h%d" % uid, "answer": a, "error": None, "ms": 1} for uid, a in enumerate(said)]
            scores = evaluator.score(task, answers)
            if number == 1:
                self.assertEqual(scores, [0.0] * 5, "nothing has come true yet")
            _Node.epochs += [scored(len(_Node.epochs) + more) for more in range(4)]
        self.assertEqual(scores[0], 1.0)
        self.assertTrue(scores[1] < 0.1, scores)
        self.assertEqual(scores[2:], [0.0] * 3)
        # One of the next epochs, as the topic asks for it.
        asked = type("Ctx", (), {"epoch": task["from"] + 1})()
        self.assertAlmostEqual(seller.predict(asked), season[asked.epoch % 6])
        self.assertIsNone(seller.predict(type("Ctx", (), {"epoch": task["from"] + 50})()))

    def test_the_first_word_about_an_epoch_counts_and_a_void_one_is_nobodys(self):
        _Node.epochs = [{"epoch": 0, "state": "scored", "truth": 1.0}]
        evaluator = _load(self.folder, "evaluator")
        answer = lambda value: [{"uid": 0, "hotkey": "h", "answer": [value] * evaluator.AHEAD, "error": None, "ms": 1}]
        evaluator.score(evaluator.task(1), answer(5.0))
        evaluator.score(evaluator.task(2), answer(2.0))
        _Node.epochs += [{"epoch": 1, "state": "scored", "truth": 2.0}, {"epoch": 2, "state": "void"}]
        evaluator.score(evaluator.task(3), answer(2.0))
        self.assertEqual(evaluator._off["h"], [9.0], "what was said last came too late; a void epoch is left out")
        self.assertNotIn(2, evaluator._said["h"])


if __name__ == "__main__":
    unittest.main()
