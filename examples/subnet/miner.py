"""A miner: whatever the validator asks, `answer` says. Replace its body with your work.

The task and what you return are anything JSON can say. Whoever returns None, fails or is slow is worth nothing in that
round. Prints are logs.
"""


def answer(task):
    return sum(task["numbers"])
