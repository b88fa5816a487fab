"""The judge: `task` makes what every miner is asked in a round, `score` says what each answer is worth.

Miners are strangers: an answer is any JSON whatsoever, or None where there was none. Never run what they send. Choose
tasks that nobody can know beforehand.
"""

import random

_draw = random.SystemRandom()


def task(number):
    """The task of a round, which are counted from 1 on."""
    return {"numbers": [_draw.randrange(1000) for _ in range(10)]}


def score(task, answers):
    """A number from 0 on for every answer, in order. Each answer: uid, hotkey, answer, error, ms."""
    wanted = sum(task["numbers"])
    return [1.0 if said["answer"] == wanted else 0.0 for said in answers]
