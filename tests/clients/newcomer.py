"""The worker from the first page of the Allora SDK, with `testnet` changed to `local` and the number of our topic.

It has no key, no tokens and no configuration: the SDK makes an identity, the node gives it a purse.
"""

import asyncio

from allora_sdk import AlloraNetworkConfig, AlloraWorker, RunContext


async def run_model(context: RunContext) -> float:
    return 23456.7


async def main():
    worker = AlloraWorker.inferer(
        topic_id=1,
        network=AlloraNetworkConfig.local(),
        run=run_model,
    )

    async for result in worker.run():
        if isinstance(result, Exception):
            print(f"Inference worker error: {result}")
        else:
            print(f"Prediction submitted to Allora: {result.submission}")


asyncio.run(main())
