"""Models for Dodona in Python: write `predict(ctx)`, and `dodona worker run` or `dodona backtest` asks it.

Nothing but the standard library. In a notebook, `dodona.ask(predict, values)` puts one question by hand.
"""

import math

__all__ = ["Context", "Series", "worker", "predict", "ask", "run", "chosen"]
__version__ = "0.1.0"

_chosen = []


class Series(list):
    """What is known, oldest first: a list of numbers, with the times beside it in `times`."""

    def __init__(self, values=(), times=None):
        super().__init__(values)
        self.times = list(times) if times is not None else list(range(len(self)))


class Context:
    """One question.

    history: Series of what is known when the question is asked, oldest first.
    ahead:   steps from the last known value to the one asked for, at least 1.
    topic, epoch, nonce: which question; target, unit: in words; labels: of topics with several, else empty.
    """

    def __init__(self, history, ahead=1, topic=0, epoch=0, nonce=0, target="", unit="", labels=()):
        self.history = history if isinstance(history, Series) else Series(history)
        self.ahead = ahead
        self.topic = topic
        self.epoch = epoch
        self.nonce = nonce
        self.target = target
        self.unit = unit
        self.labels = list(labels)

    def __repr__(self):
        return "Context(topic=%r, epoch=%r, ahead=%r, known=%d)" % (
            self.topic, self.epoch, self.ahead, len(self.history))


def worker(topic=None):
    """Marks the function that predicts, for one topic or, without a number, for all."""

    def mark(function):
        _chosen.append((topic, function))
        return function

    return mark


def predict(function):
    """Marks the function that predicts, whatever its name."""
    _chosen.append((None, function))
    return function


def chosen(topic=None):
    """The marked function for a topic, or None."""
    for wanted, function in reversed(_chosen):
        if wanted == topic:
            return function
    for wanted, function in reversed(_chosen):
        if wanted is None:
            return function
    return None


def said(outcome):
    """What a model returned, as the fields of an answer. Raises ValueError with cause and fix."""
    if outcome is None:
        return {"silent": "the model returned None"}
    if isinstance(outcome, dict):
        return {"values": {str(label): _number(value, "the chance of %r" % label) for label, value in outcome.items()}}
    return {"value": _number(outcome, "the answer")}


def _number(value, what):
    try:
        number = float(value)  # numpy scalars too
    except (TypeError, ValueError):
        raise ValueError("%s is a %s: return a number, a dict of label to number, or None"
                         % (what, type(value).__name__)) from None
    if not math.isfinite(number):
        raise ValueError("%s is %s: look for a division by zero or missing data" % (what, number))
    return number


def ask(function, history, **fields):
    """Puts one question, as the network would: for notebooks and tests."""
    answer = said(function(Context(history, **fields)))
    return answer.get("value", answer.get("values"))


def run():
    """Answers questions on standard input until it closes, with the marked function."""
    from . import runner

    runner.serve(lambda topic: chosen(topic))
