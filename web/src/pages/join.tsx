// "Bring your model": a worker to paste, with this chain's own addresses in it.
import { useState } from "preact/hooks";
import { ask, useAsk, type Pulse, type Topic } from "../node";

interface Card { chain_id: string; apis: { grpc: { address: string }[]; rpc: { address: string }[] } }

export function Join({ id, pulse }: { id: string; pulse: Pulse }) {
  const card = useAsk<Card>("/.well-known/dodona/chain.json", pulse.life, ask);
  const topic = useAsk<Topic>(`/topics/${encodeURIComponent(id)}`, pulse.life);
  const [said, say] = useState("");
  const [missed, look] = useState("");
  const grpc = card.value?.apis.grpc[0]?.address ?? "127.0.0.1:9090";
  const rpc = card.value?.apis.rpc[0]?.address ?? "http://127.0.0.1:26657";
  const chain = card.value?.chain_id ?? "localnet";
  const usual = chain === "localnet" && grpc.endsWith(":9090") && rpc.endsWith(":26657");
  const network = usual
    ? "AlloraNetworkConfig.local()"
    : `AlloraNetworkConfig(
    chain_id="${chain}",
    url="grpc+http://${grpc}",
    websocket_url="${rpc.replace(/^http/, "ws")}/websocket",
    fee_denom="uallo",
    fee_minimum_gas_price=1.0,
)`;
  const code = `# pip install allora_sdk==1.3.0
import asyncio
from allora_sdk import AlloraNetworkConfig, AlloraWorker, RunContext

network = ${network}

async def run_model(context: RunContext) -> float:
    return 23456.7          # your model${topic.value ? `: ${topic.value.spec.target}, in ${topic.value.spec.unit}` : ""}

async def main():
    worker = AlloraWorker.inferer(topic_id=${id.replace(/\D/g, "") || "1"}, network=network, run=run_model)
    async for result in worker.run():
        print(result)

asyncio.run(main())
`;
  const find = (event: SubmitEvent) => {
    event.preventDefault();
    const address = String(new FormData(event.currentTarget as HTMLFormElement).get("address") ?? "").trim();
    if (/^allo1[0-9a-z]{20,80}$/.test(address)) location.hash = `#/topic/${id}/mark/${address}`;
    else look("an address begins with allo1: the worker prints it when it starts");
  };
  const copy = () => navigator.clipboard.writeText(code).then(() => say("copied"), () => say("select the text and copy it"));
  return (
    <section aria-label="Bring your model">
      <h1>Bring your model</h1>
      <p>A worker written for Allora speaks to this node as it is. Paste this into <code>worker.py</code>, put your model where the number is, and run it; a live demo gives every new address a purse.</p>
      <div class="controls"><button class="main" onClick={copy}>Copy</button><span role="status" class="note">{said}</span></div>
      <pre tabIndex={0}>{code}</pre>
      <h2>See its line</h2>
      <p>Its name then stands in the <a href={`#/topic/${id}`}>leaderboard</a>, its line among the members; “why?” says what it earned and what it missed. With the address that the worker prints, its line and its row are highlighted, beside what the network would have said without it:</p>
      <form class="controls" onSubmit={find}>
        <input name="address" maxLength={100} size={46} aria-label="Address of your worker" placeholder="allo1…" autocomplete="off" spellcheck={false} />
        <button type="submit">Show its line</button><span role="status" class="note">{missed}</span>
      </form>
      <p class="note">gRPC {grpc} · RPC {rpc} · chain {chain}</p>
    </section>
  );
}
