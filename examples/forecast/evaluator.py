"""Judges short-horizon forecasts by what a topic's reputers say happened: the bridge between the two markets.

Every round asks for the values of the next epochs of a topic. Nobody knows them yet, so an answer is kept until the
topic's truth is on the chain; a miner's score is how well its earlier answers came true. What the best miner says now
lies in `best.json`: `seller.py` sells it to the topic.
"""

import json
import math
import os
import urllib.request

# A node, and the topic it is about.
NODE = os.environ.get("FORECAST_NODE", "http://127.0.0.1:1317")
TOPIC = int(os.environ.get("FORECAST_TOPIC", "1"))
# Epochs that are asked for, that a score looks back on, that it needs at least, and that a miner is shown.
AHEAD, LOOKS_BACK, LEAST, SHOWN = 12, 40, 5, 240
_BEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "best.json")

_truths = {}
# By hotkey: what it said of epochs to come, and how far it was off in those that came.
_said, _off = {}, {}
_next = 0


def _ask(path):
    with urllib.request.urlopen(NODE + path, timeout=5) as answer:
        return json.load(answer)


def _learn():
    """Truths since the last time, in the order of the epochs."""
    global _next
    while True:
        epochs = _ask("/dodona/v1/topics/%d/epochs?from=%d&limit=100" % (TOPIC, _next))["epochs"]
        over = [epoch for epoch in epochs if epoch["state"] in ("scored", "void")]
        for epoch in over:
            if epoch["state"] == "scored" and epoch.get("truth") is not None:
                _truths[epoch["epoch"]] = epoch["truth"]
            _next = epoch["epoch"] + 1
        if len(over) < len(epochs) or not over:
            return
    # A void epoch has no truth: who spoke about it gains and loses nothing.


def task(number):
    _learn()
    known = sorted(_truths)[-SHOWN:]
    return {"do": "forecast", "epochs": known, "values": [_truths[epoch] for epoch in known], "from": _next, "ahead": AHEAD}


def _numbers(answer):
    """The numbers of an answer, or None."""
    if not isinstance(answer, list) or len(answer) != AHEAD:
        return None
    fine = all(isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) for value in answer)
    return [float(value) for value in answer] if fine else None


def score(task, answers):
    for hotkey, said in _said.items():
        for epoch in [epoch for epoch in said if epoch in _truths]:
            _off.setdefault(hotkey, []).append((said.pop(epoch) - _truths[epoch]) ** 2)
        for epoch in [epoch for epoch in said if epoch < _next]:
            del said[epoch]
    errors = {}
    for answer in answers:
        hotkey, numbers = answer["hotkey"], _numbers(answer["answer"])
        said = _said.setdefault(hotkey, {})
        for place, value in enumerate(numbers or []):
            # The first word counts: whoever waits for more data would be asked for less.
            said.setdefault(task["from"] + place, value)
        past = _off.get(hotkey, [])[-LOOKS_BACK:]
        _off[hotkey] = past
        if numbers and len(past) >= LEAST:
            errors[hotkey] = sum(past) / len(past)
    least = min(errors.values(), default=None)
    if errors:
        best = min(errors, key=errors.get)
        part = _BEST + ".part"
        with open(part, "w") as file:
            json.dump({"by": best, "said": {str(epoch): value for epoch, value in _said[best].items()}}, file)
        os.replace(part, _BEST)
    worth = lambda error: 1.0 if error <= 0 else (max(least, 1e-300) / error) ** 2
    return [worth(errors[a["hotkey"]]) if a["hotkey"] in errors else 0.0 for a in answers]
