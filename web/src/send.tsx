// How a transaction goes off, and what is told of it: signed by the wallet, handed to the node, waited for.
import { ask, page, Refused, type Receipt } from "./node";
import type { Deed, Signer } from "./wallet/wallet";

/** What signs is a file of its own. */
export const loadWallet = () => import("./wallet/wallet");
export type Tools = Awaited<ReturnType<typeof loadWallet>>;

export interface Card { chain_id: string; development: boolean; fees: { fee_tokens: { average_gas_price: number }[] } }
interface Info { info: { account_number: string; sequence: string } }

/** Gas of one message, with room; what is not used is paid all the same. */
export const GAS = 300_000;
/** How long a transaction may take to be in a block, ms. */
const PATIENCE = 30_000;

/** What a unit of gas costs, uallo. */
export const gasPrice = (card: Card) => card.fees.fee_tokens[0]?.average_gas_price ?? 1;

/** The account as the chain has it; on a development network the question brings the first tokens. */
export const account = async (address: string) => (await ask<Info>(`/cosmos/auth/v1beta1/account_info/${address}`)).info;

async function send(signer: Signer, card: Card, deed: Deed): Promise<Receipt> {
  const bytes = await signer.sign(deed, { chainId: card.chain_id, account: await account(signer.address), gas: GAS, gasPrice: gasPrice(card) });
  const answer = await fetch("/dodona/v1/txs", { method: "POST", headers: { "content-type": "application/octet-stream" }, body: new Blob([new Uint8Array(bytes)]) });
  const said = (await answer.json()) as { hash?: string; error?: string };
  if (!said.hash) throw new Refused(answer.status, said.error ?? `status ${answer.status}`);
  const end = Date.now() + PATIENCE;
  for (;;) {
    // This question is held back until the transaction is in a block, or some seconds.
    const waits = await ask<unknown>(`/cosmos/tx/v1beta1/txs/${said.hash}`).then(() => false, (error) => error instanceof Refused && error.status === 404);
    if (!waits || Date.now() > end) return page<Receipt>(`/txs/${said.hash}`);
  }
}

/** What became of something that was sent, for people. */
export interface Outcome { text: string; hash?: string; good?: boolean }
export const SENDING: Outcome = { text: "signed and sent when the wallet agrees; then it waits for a block…" };

/** Sends, waits, and tells; `told` says what it came to when it took effect. */
export async function carry(signer: Signer, card: Card, deed: Deed, told: (receipt: Receipt) => Promise<string>): Promise<Outcome> {
  try {
    const receipt = await send(signer, card, deed);
    return receipt.code === 0 ? { text: `${await told(receipt)}, in block ${receipt.height}`, hash: receipt.hash, good: true } : { text: `refused in block ${receipt.height}: ${receipt.log}`, hash: receipt.hash };
  } catch (error) {
    return { text: error instanceof Error ? error.message : String(error) };
  }
}

export function Said({ id, said }: { id: string; said: Outcome }) {
  return <p role="status" id={id} class={said.good ? "verdict good" : said.hash ? "verdict bad" : ""}>{said.text} {said.hash ? <a href={`#/tx/${said.hash}`}>the transaction</a> : null}</p>;
}
