"""A second family of Cosmos clients: cosmpy reads the chain, sends tokens and looks at who validates."""

import json
import sys

from cosmpy.aerial.client import LedgerClient, NetworkConfig
from cosmpy.aerial.wallet import LocalWallet

network = NetworkConfig(
    chain_id="localnet",
    url=f"grpc+http://{sys.argv[1]}",
    fee_minimum_gas_price=1,
    fee_denomination="uallo",
    staking_denomination="uallo",
)
ledger = LedgerClient(network)
me = LocalWallet.generate(prefix="allo")
friend = LocalWallet.generate(prefix="allo").address()
before = ledger.query_bank_balance(me.address())
account = ledger.query_account(me.address())
sent = ledger.send_tokens(friend, 12345, "uallo", me).wait_to_complete()
received = ledger.query_bank_balance(friend)
validators = [v.address.__str__() for v in ledger.query_validators()]
height = ledger.query_height()
result = {
    "purse": before,
    "account": account.number,
    "code": sent.response.code,
    "block": sent.response.height,
    "received": received,
    "validators": validators,
    "height": height,
}
result["ok"] = sent.response.code == 0 and received >= 12345 and bool(validators) and height >= sent.response.height
print(json.dumps(result))
sys.exit(0 if result["ok"] else 1)
