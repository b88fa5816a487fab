"""The subnet as a member of the topic: a model for `dodona worker run` that says what the best miner said.

The evaluator beside it writes `best.json`. Without a word about the epoch that is asked, the member is silent.
"""

import json
import os

_BEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "best.json")


def predict(ctx):
    try:
        with open(_BEST) as file:
            return json.load(file)["said"].get(str(ctx.epoch))
    except (OSError, ValueError, KeyError):
        return None
