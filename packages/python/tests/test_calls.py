"""Functions that are called by name, and the evaluator of the compression example against answers that mean ill."""

import base64
import importlib.util
import io
import json
import os
import sys
import types
import unittest
import zlib

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXAMPLE = os.path.join(PACKAGE, "..", "..", "examples", "compression")
sys.path.insert(0, PACKAGE)

from dodona import runner  # noqa: E402


def load(name):
    spec = importlib.util.spec_from_file_location(name, os.path.join(EXAMPLE, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Called(unittest.TestCase):
    def test_a_function_is_called_by_name_and_what_it_cannot_say_is_told(self):
        file = types.SimpleNamespace(
            double=lambda number: 2 * number, nan=lambda: float("nan"), odd=lambda: {1, 2}, _own=lambda: 1, text="x")
        calls = [("double", [4]), ("nan", []), ("odd", []), ("_own", []), ("text", []), ("none", []), ("double", [])]
        lines = [json.dumps({"dodona": 1, "id": n, "call": name, "arguments": arguments})
                 for n, (name, arguments) in enumerate(calls)]
        sink = io.StringIO()
        error, sys.stderr = sys.stderr, io.StringIO()
        try:
            runner.serve(None, io.StringIO("\n".join(lines) + "\n"), sink, file)
        finally:
            sys.stderr = error
        said = [json.loads(line) for line in sink.getvalue().splitlines()]
        self.assertEqual(said[0], {"id": 0, "result": 8})
        for n, answer in enumerate(said[1:], 1):
            self.assertEqual((answer["id"], "result" in answer, "error" in answer), (n, False, True))


class Compression(unittest.TestCase):
    def test_only_what_comes_back_to_the_last_byte_counts_and_by_its_size(self):
        evaluator, good, plain = load("evaluator"), load("miner"), load("miner_plain")
        task = evaluator.task(1)
        self.assertNotEqual(task["text"], evaluator.task(1)["text"], "drawn anew")

        def packed(data, name="zlib"):
            return {"format": name, "packed": base64.b64encode(data).decode()}
        text = task["text"].encode()
        whole = zlib.compress(text)
        ill = [
            None, 7, [], {}, {"format": "zlib"}, {"format": ["zlib"], "packed": "AA=="}, {"format": "gif", "packed": ""},
            {"format": "zlib", "packed": "!!"}, {"format": "zlib", "packed": "é"}, {"format": "zlib", "packed": 3},
            packed(zlib.compress(text[:-1])), packed(zlib.compress(text + b"x")), packed(whole[:-3]),
            packed(whole + b"x"), packed(zlib.compress(b"a" * 10**7)), packed(whole, "bz2"), packed(whole, "lzma"),
            packed(b""), packed(zlib.compress(b"")),
        ]
        answers = [good.answer(task), plain.answer(task)] + ill
        scores = evaluator.score(task, [{"answer": answer} for answer in answers])
        self.assertEqual(scores[0], 1.0)
        self.assertTrue(0.1 < scores[1] < 0.9, scores[1])
        self.assertEqual(scores[2:], [0.0] * len(ill))
        self.assertEqual(evaluator.score(task, [{"answer": None}]), [0.0])
        self.assertEqual(evaluator.score(task, []), [])


if __name__ == "__main__":
    unittest.main()
