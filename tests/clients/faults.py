"""What the Allora SDK does when a transaction cannot count: every row ends as the SDK means it to end, and soon.

A stock node answers "not found" for a transaction refused at the door, which costs the SDK 30 seconds each time.
"""

import asyncio
import json
import secrets
import sys
import time

import allora_sdk.rpc_client.protos.emissions.v10 as e10
from allora_sdk import AlloraNetworkConfig, AlloraRPCClient, AlloraWalletConfig, FeeTier
from allora_sdk.rpc_client.client_bank import SendOutput
from allora_sdk.rpc_client.protos.emissions.v10 import InputLabeledValue
from allora_sdk.rpc_client.tx_manager import TxError

# Two blocks and two polls of the SDK, with room for a busy machine; far below its 30 seconds.
SOON = 15.0
outcome: dict[str, object] = {}


def client(key: str, **changes) -> AlloraRPCClient:
    network = AlloraNetworkConfig.local()
    for name, value in changes.items():
        setattr(network, name, value)
    return AlloraRPCClient(wallet=AlloraWalletConfig(private_key=key), network=network)


async def open_nonce(c: AlloraRPCClient) -> int:
    """The nonce of the newest open epoch of topic 1."""
    while True:
        answer = await c.emissions.query.get_unfulfilled_worker_nonces(
            e10.GetUnfulfilledWorkerNoncesRequest(topic_id=1)
        )
        if answer.nonces and answer.nonces.nonces:
            return max(n.block_height for n in answer.nonces.nonces)
        await asyncio.sleep(0.1)


async def row(name: str, attempt, code: int | None = None, text: str = "") -> None:
    """Runs one attempt; `code` None means that it succeeds in the end."""
    started = time.monotonic()
    try:
        response = await (await attempt).wait()
        got: tuple[int, str] = (response.code, response.raw_log)
    except TxError as error:
        got = (error.code, str(error))
    except Exception as error:  # the SDK has other names for some refusals
        got = (-1, f"{type(error).__name__}: {error}")
    seconds = round(time.monotonic() - started, 2)
    ok = seconds < SOON and text in got[1] and (got[0] == 0 if code is None else got[0] in (code, -1))
    outcome[name] = {"ok": ok, "code": got[0], "text": got[1][:160], "seconds": seconds}


async def main() -> int:
    key = secrets.token_hex(32)
    c = client(key)
    me = c.address
    one = [SendOutput(to_addr=me, amount_uallo="1")]
    await row("a transfer", c.bank.tx.send(one))

    await row("a wrong sequence is asked for again and succeeds", c.emissions.tx.register(
        topic_id=1, owner_addr=me, sender_addr=me, is_reputer=False, account_seq=77,
    ) if "account_seq" in c.emissions.tx.register.__code__.co_varnames else c.tx_manager.submit_transaction(
        "/emissions.v10.RegisterRequest",
        [e10.RegisterRequest(sender=me, owner=me, topic_id=1, is_reputer=False)],
        account_seq=77,
    ))

    poor = client(key, fee_minimum_gas_price=0.5)
    await row("a fee too low is said at once", poor.bank.tx.send(one, fee_tier=FeeTier.ECO), 13, "insufficient fees")
    await row("a fee too low at first, high enough in the end", poor.bank.tx.send(one, fee_tier=FeeTier.PRIORITY))
    await poor.close()

    lean = client(key)
    true_estimate = lean.tx_manager.simulate_transaction

    async def half(*args):
        return int(await true_estimate(*args) * 0.6)

    lean.tx_manager.simulate_transaction = half
    await row("too little gas is retried with more", lean.bank.tx.send(one))
    await lean.close()

    y = [InputLabeledValue(label="y", value="23456.5")]
    nonce = await open_nonce(c)
    await row("a window that has closed", c.emissions.tx.insert_worker_payload(1, y, max(nonce - 20, 1)), 67, "")
    again = 0
    for _ in range(5):
        nonce = await open_nonce(c)
        first, second = [await c.emissions.tx.insert_worker_payload(1, y, nonce), None]
        try:
            await first.wait()
        except Exception:
            continue
        second = await c.emissions.tx.insert_worker_payload(1, y, nonce)
        try:
            await second.wait()
        except TxError as error:
            # Whether the epoch is over by then depends on the clock; both mean: done, go on.
            again = error.code
            break
    outcome["a second word in an epoch"] = {"ok": again in (67, 75, 78), "code": again}

    stranger = client(secrets.token_hex(32))
    nonce = await open_nonce(stranger)
    await row("not registered", stranger.emissions.tx.insert_worker_payload(1, y, nonce), 13, "not registered")
    await row("no such topic", stranger.emissions.tx.fund_topic(topic_id=9999, amount="5"), 23, "invalid topic ID")
    await row("more than there is", stranger.bank.tx.send(
        [SendOutput(to_addr=me, amount_uallo=str(10**24))]), 5, "insufficient funds")
    await stranger.close()
    await c.close()
    ok = all(r["ok"] for r in outcome.values())
    print(json.dumps({"ok": ok, "rows": outcome}, indent=1))
    return 0 if ok else 1


sys.exit(asyncio.run(main()))
