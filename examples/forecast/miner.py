"""A miner that looks for the length after which the past repeats itself best, and continues it from where it is."""


def _repeats(values, period):
    """How badly the last values are told by those a period before, each taken with the step between."""
    tail = values[-min(len(values) - period, 48):]
    before = values[-len(tail) - period:-period]
    return sum((a - b) ** 2 for a, b in zip(tail, before)) / len(tail)


def answer(task):
    values, ahead = task["values"], task["ahead"]
    if not values:
        return [0.0] * ahead
    periods = [period for period in range(1, len(values) // 2 + 1)]
    if not periods:
        return [values[-1]] * ahead
    period = min(periods, key=lambda period: _repeats(values, period))
    # What the period says was off by so much just now; that is forgotten little by little.
    off, told = values[-1] - values[-1 - period], []
    for step in range(ahead):
        off *= 0.7
        told.append((values + told)[-period] + (off if step < period else 0.0))
    return told
