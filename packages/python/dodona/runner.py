"""Runs a file with `predict(ctx)`: one JSON question a line on standard input, one answer a line on standard output.
A question with a `call` is for the function of that name: miners and evaluators of subnets are asked so.

`python -m dodona.runner my_model.py`. What the model prints goes to standard error, where its logs are.
"""

import importlib.util
import json
import os
import sys
import traceback

import dodona


def serve(find, source=None, sink=None, module=None):
    """Answers until the source ends; `find(topic)` gives the function to ask, calls go to functions of `module`."""
    source = source or sys.stdin
    sink = sink or _own_output()
    values, times = [], []
    for line in source:
        if not line.strip():
            continue
        answer = {}
        try:
            question = json.loads(line)
            answer["id"] = question["id"]
            if "call" in question:
                answer["result"] = _called(module, question["call"], question.get("arguments", []))
                json.dumps(answer, allow_nan=False)  # what has no JSON form is told like any other error
            else:
                answer.update(_predicted(find, question, values, times))
        except Exception as error:  # whatever a model raises is told, and the next question is answered
            traceback.print_exc(file=sys.stderr)
            answer.pop("result", None)
            answer["error"] = "%s: %s" % (type(error).__name__, error)
        sink.write(json.dumps(answer, allow_nan=False) + "\n")
        sink.flush()


def _predicted(find, question, values, times):
    """A prediction; `values` and `times` are what is known so far, and learn what is new."""
    news = question["history"]
    if news["from"] > len(values):
        raise ValueError("the history has a hole: start again")
    del values[news["from"]:], times[news["from"]:]
    times.extend(point[0] for point in news["points"])
    values.extend(point[1] for point in news["points"])
    function = find(question["topic"])
    if function is None:
        raise ValueError("no function for topic %s: define predict(ctx), or mark one with @dodona.worker"
                         % question["topic"])
    # A copy: what a model does to its history stays with it.
    known = dodona.Series(values, times)
    fields = {name: question[name] for name in ("ahead", "topic", "epoch", "nonce", "target", "unit", "labels")}
    return dodona.said(function(dodona.Context(known, **fields)))


def _called(module, name, arguments):
    function = getattr(module, name, None)
    if name.startswith("_") or not callable(function):
        raise ValueError("the file has no function `%s(%s)`" % (name, ", ".join("..." for _ in arguments)))
    return function(*arguments)


def _own_output():
    """The real standard output for answers alone: from here on everybody else's prints go to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


def load(path):
    """The function of a file, a marked one or the one called `predict`, and all of the file."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location("dodona_model", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["dodona_model"] = module
    dodona.run = lambda: None  # a file may end with dodona.run(): here it already runs
    spec.loader.exec_module(module)
    plain = getattr(module, "predict", None)
    if plain is dodona.predict or not callable(plain):
        plain = None
    return (lambda topic: dodona.chosen(topic) or plain), module


def main(arguments):
    if len(arguments) != 1:
        print("usage: python -m dodona.runner MODEL.py", file=sys.stderr)
        return 2
    sink = _own_output()
    find, module = load(arguments[0])
    serve(find, sink=sink, module=module)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
