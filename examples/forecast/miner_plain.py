"""A miner that says: as now."""


def answer(task):
    last = task["values"][-1] if task["values"] else 0.0
    return [last] * task["ahead"]
