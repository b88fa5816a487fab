// Every method of CosmJS' CometBFT client, over HTTP and over websocket: its parsers are strict, so an answer of the
// wrong shape fails. Usage: node comet.mjs HOST:PORT KEY; prints what failed, and last how many steps there were.
import { DirectSecp256k1Wallet } from "@cosmjs/proto-signing";
import { GasPrice, SigningStargateClient } from "@cosmjs/stargate";
import { Comet38Client } from "@cosmjs/tendermint-rpc";
import { TxRaw } from "cosmjs-types/cosmos/tx/v1beta1/tx";

const [host, key] = process.argv.slice(2);
const failed = [];
let steps = 0;

async function step(name, run, holds = () => true) {
  steps += 1;
  try {
    const got = await run();
    if (!holds(got)) throw new Error("unexpected answer");
    return got;
  } catch (error) {
    failed.push(`${name}: ${error}`);
  }
}

/** The first `count` messages of a subscription. */
function first(stream, name, count) {
  return new Promise((resolve, reject) => {
    const got = [];
    const late = setTimeout(() => reject(new Error(`${name}: ${got.length} of ${count} in 20 s`)), 20_000);
    const subscription = stream.subscribe({
      next: (message) => {
        got.push(message);
        if (got.length === count) {
          clearTimeout(late);
          subscription.unsubscribe();
          resolve(got);
        }
      },
      error: (error) => {
        clearTimeout(late);
        reject(error);
      },
    });
  });
}

const consecutive = (heights) => heights.every((height, i) => i === 0 || height === heights[i - 1] + 1);

const wallet = await DirectSecp256k1Wallet.fromKey(Uint8Array.from(Buffer.from(key, "hex")), "allo");
const [{ address }] = await wallet.getAccounts();
const toMyself = {
  typeUrl: "/cosmos.bank.v1beta1.MsgSend",
  value: { fromAddress: address, toAddress: address, amount: [{ denom: "uallo", amount: "7" }] },
};

for (const url of [`http://${host}`, `ws://${host}`]) {
  const client = await Comet38Client.connect(url);
  const does = (name, ...rest) => step(`${url} ${name}`, ...rest);
  await does("health", () => client.health());
  await does("abciInfo", () => client.abciInfo());
  await does("genesis", () => client.genesis(), (genesis) => genesis.chainId === "localnet");
  const height = (await client.status()).syncInfo.latestBlockHeight;
  for (const at of [undefined, 1, height]) {
    await does(`block ${at}`, () => client.block(at), (block) => !at || block.block.header.height === at);
    await does(`blockResults ${at}`, () => client.blockResults(at));
    await does(`commit ${at}`, () => client.commit(at));
  }
  await does("blockchain", () => client.blockchain(2, 9), (chain) => chain.blockMetas.length === 8);
  await does("validators", () => client.validatorsAll(height), (all) => all.validators.length === 1);
  await does("numUnconfirmedTxs", () => client.numUnconfirmedTxs());
  await does("abciQuery", () => client.abciQuery({
    path: "/emissions.v10.QueryService/GetParams", data: new Uint8Array(),
  }), (answer) => answer.code === 0 && answer.value.length > 100);
  await does("abciQuery with proof", () => client.abciQuery({
    path: "/store/state/key", data: Buffer.from("00"), prove: true, height,
  }), (answer) => answer.proof.ops.length === 1);
  await does("blockSearch", () => client.blockSearchAll({
    query: `block.height > ${height - 25} AND block.height <= ${height}`, per_page: 10,
  }), (found) => found.blocks.length === 25);
  await does("blockSearch by event", () => client.blockSearch({
    query: `emissions.v10.EventWorkerSubmissionWindowOpened.topic_id='"1"'`,
  }), (found) => found.totalCount > 10);

  const signer = await SigningStargateClient.createWithSigner(client, wallet, {
    gasPrice: GasPrice.fromString("1uallo"),
  });
  const fee = { amount: [{ denom: "uallo", amount: "200000" }], gas: "200000" };
  const signed = async () => TxRaw.encode(await signer.sign(address, [toMyself], fee, "")).finish();
  const told = {};
  if (url.startsWith("ws")) {
    told.blocks = first(client.subscribeNewBlock(), "blocks", 3);
    told.headers = first(client.subscribeNewBlockHeader(), "headers", 3);
    told.txs = first(client.subscribeTx(`message.sender='${address}'`), "transactions", 1);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  const sent = await does("broadcastTxCommit", async () => client.broadcastTxCommit({ tx: await signed() }),
    (answer) => answer.height > 0);
  if (url.startsWith("ws")) {
    await does("subscribeNewBlock", () => told.blocks, (blocks) => consecutive(blocks.map((b) => b.header.height)));
    await does("subscribeNewBlockHeader", () => told.headers, (all) => consecutive(all.map((h) => h.height)));
    await does("subscribeTx", () => told.txs, ([tx]) => tx.height === sent.height);
  }
  await does("tx", () => client.tx({ hash: sent.hash }), (tx) => tx.height === sent.height && tx.result.code === 0);
  await does("txSearch", () => client.txSearchAll({ query: `message.sender='${address}'`, per_page: 30 }),
    (found) => found.txs.some((tx) => tx.height === sent.height));
  await does("broadcastTxSync", async () => client.broadcastTxSync({ tx: await signed() }), (a) => a.code === 0);
  await does("searchTx", () => signer.searchTx([{ key: "message.sender", value: address }]), (all) => all.length > 0);
  await does("getBlock", () => signer.getBlock(), (block) => block.header.height >= height);
  client.disconnect();
}
for (const line of failed) console.log(line);
console.log(`${steps} steps`);
process.exit(failed.length === 0 ? 0 : 1);
