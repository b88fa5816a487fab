"""cosmpy as a delegator: stakes, sees rewards grow, collects them, moves its stake's half back. Usage: GRPC address."""

import json
import sys
import time

from cosmpy.aerial.client import LedgerClient, NetworkConfig, ValidatorStatus
from cosmpy.aerial.wallet import LocalWallet

ALLO = 10**18
network = NetworkConfig(
    chain_id="localnet",
    url=f"grpc+http://{sys.argv[1]}",
    fee_minimum_gas_price=1,
    fee_denomination="uallo",
    staking_denomination="uallo",
)
ledger = LedgerClient(network)
me = LocalWallet.generate(prefix="allo")
purse = ledger.query_bank_balance(me.address())
[validator, *_] = ledger.query_validators(status=ValidatorStatus.BONDED)


def position():
    summary = ledger.query_staking_summary(me.address())
    return summary.total_staked, summary.total_rewards, summary.total_unbonding


def grown(than: int) -> int:
    """Rewards once they are above this."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        rewards = position()[1]
        if rewards > than:
            return rewards
        time.sleep(0.5)
    raise SystemExit(f"rewards stay at {than}")


before = position()
delegated = ledger.delegate_tokens(validator.address, 100 * ALLO, me).wait_to_complete()
staked = position()[0]
first = grown(0)
second = grown(first)
claimed = ledger.claim_rewards(validator.address, me).wait_to_complete()
events = claimed.response.events
collected = events.get("withdraw_rewards", {}).get("amount", "")
undelegated = ledger.undelegate_tokens(validator.address, 50 * ALLO, me).wait_to_complete()
after = position()
result = {
    "moniker": validator.moniker,
    "before": before[0],
    "staked": staked,
    "rewards": [first, second],
    "collected": collected,
    "after": [after[0], after[2]],
    "gas": [tx.response.gas_used for tx in (delegated, claimed, undelegated)],
}
result["ok"] = (
    before == (0, 0, 0)
    and staked == 100 * ALLO
    and collected.endswith("uallo")
    and int(collected.removesuffix("uallo")) > 0
    and after[0] == 50 * ALLO
    and after[2] == 50 * ALLO
)
print(json.dumps(result))
sys.exit(0 if result["ok"] else 1)
