// Trades of subnets' tokens in the wallet: what one would bring, the price it is limited to, stake that is sold again.
import { useState } from "preact/hooks";
import { page, useAsk, type Block, type Receipt } from "../node";
import type { Holding, QueryHoldingsResponse, QueryQuoteResponse } from "../schema/subnets";
import { carry, Said, SENDING, type Card, type Outcome, type Tools } from "../send";
import { exactToken, number, short, token, whole } from "../units";
import type { Signer } from "../wallet/wallet";

/** How much worse than the quote a trade may be, where nobody says otherwise: others may trade in the same block. */
const SLACK = 0.02;
/** A price as it is typed: six digits that count. */
const price = (value: number) => value.toFixed(Math.min(18, Math.max(0, 5 - Math.floor(Math.log10(value))))).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
const PRICE = /^\d{1,12}(?:[.,]\d{1,18})?$/;

/** What a trade would bring, and to which price it is limited. */
export interface TradeTerms {
  quote: QueryQuoteResponse | null; error: string;
  /** ALLO for one of the subnet's token, if the trade is the only one of its block. */
  each: number | null;
  /** What stands in the field. */
  typed: string;
  type(text: string): void;
  /** The same as the chain reads it; empty: any price; none: not a price. */
  limit: string | null;
}

/** Asks in every block what a trade of so many 10^-9 would bring; until somebody types, the limit follows it. */
export function useTerms(netuid: number | null, sell: boolean, units: bigint | null, beat: string): TradeTerms {
  const [own, type] = useState<string | null>(null);
  const limit = own === null || own.trim() === "" || PRICE.test(own.trim()) ? (own ?? "").trim().replace(",", ".") : null;
  const asked = useAsk<QueryQuoteResponse>(netuid === null || units === null || limit === null ? null : `/subnets/${netuid}/quote?sell=${sell}&amount=${units}&limit_price=${limit}`, beat);
  const quote = asked.value;
  const [given, got, fee] = quote ? [Number(quote.taken), Number(quote.output), Number(quote.fee)] : [0, 0, 0];
  const each = given > 0 && got > 0 ? (sell ? (got + fee) / given : (given - fee) / got) : null;
  const usual = each === null ? "" : price(each * (sell ? 1 - SLACK : 1 + SLACK));
  return { quote, error: asked.error?.message ?? "", each, typed: own ?? usual, type, limit: own === null ? usual : limit };
}

export function Terms({ terms: { quote, error, each, typed, type }, sell }: { terms: TradeTerms; sell: boolean }) {
  return (
    <>
      <label>{sell ? "not below" : "not above"}, ALLO for one <input name="limit" inputMode="decimal" size={14} maxLength={32} value={typed} onInput={(e) => type(e.currentTarget.value)} autocomplete="off" /></label>
      <div class="note terms" role="status">{error || !quote ? error : each === null ? "At this limit nothing is traded now." : (
        <>Alone in its block it brings <b title={exactToken(quote.output, sell ? "ALLO" : "of its token")}>{token(quote.output)} {sell ? "ALLO" : "of its token"}</b> for {token(quote.taken)} {sell ? "of its token" : "ALLO"}, {number(each)} ALLO each; the fee of {token(quote.fee)} ALLO is taken off. The price is {number(Number(quote.price))} now and {number(Number(quote.price_after))} then.{whole(quote.returned) > 0n ? ` At this limit ${token(quote.returned)} ${sell ? "of its token stay staked" : "ALLO come back"}.` : ""}</>
      )}</div>
    </>
  );
}

/** What a block's trades made of an order, as a sentence. */
export const cleared = (coldkey: string, netuid: number, hotkey: string) => async ({ height }: Receipt): Promise<string> => {
  const { events } = await page<Block>(`/blocks/${height}`);
  const told = events.filter((e) => e.kind === "subnet_trade").map((e) => Object.fromEntries(e.attributes.map((a) => [a.key, a.value])));
  const own = told.find((t) => t.coldkey === coldkey && t.hotkey === hotkey && t.netuid === String(netuid));
  if (!own) return "done";
  const [paid, received, returned] = [own.paid ?? "0", own.received ?? "0", own.returned ?? "0"];
  const sold = own.side === "sold";
  if (whole(paid) === 0n) return `done: nothing was traded at this limit, ${token(returned)} ${sold ? "of its token stay staked" : "ALLO came back"}`;
  const rest = whole(returned) > 0n ? `, ${token(returned)} ${sold ? "stay staked" : "ALLO came back"}` : "";
  return sold ? `done: sold ${token(paid)} of its token for ${token(received)} ALLO before the fee${rest}` : `done: bought ${token(received)} of its token for ${token(paid)} ALLO after the fee${rest}`;
};

/** Stake in subnets and at the root, with the way back. */
export function SubnetStakes({ tools, signer, card, beat }: { tools: Tools; signer: Signer; card: Card; beat: string }) {
  const [tick, setTick] = useState(0);
  const [said, say] = useState<Outcome>({ text: "" });
  const [busy, setBusy] = useState(false);
  const asked = useAsk<QueryHoldingsResponse>(`/subnets/holdings?coldkey=${signer.address}`, `${beat}/${tick}`).value;
  const held = (asked?.holdings ?? []).filter((h) => whole(h.amount) > 0n);
  const sell = async (h: Holding, amount: bigint | null, limit: string) => {
    setBusy(true);
    say(SENDING);
    say(await carry(signer, card, tools.unstake(signer.address, h.hotkey, h.netuid, amount, limit), cleared(signer.address, h.netuid, h.hotkey)));
    setBusy(false);
    setTick((n) => n + 1);
  };
  return (
    <>
      {held.length === 0 ? (asked ? <p class="empty">Nothing in subnets.</p> : null) : (
        <ul class="plain" aria-label="Stake in subnets">{held.map((h) => <SubnetStake key={`${h.netuid}/${h.hotkey}`} held={h} tools={tools} busy={busy} beat={beat} refuse={(text) => say({ text })} sell={sell} />)}</ul>
      )}
      <Said id="sold" said={said} />
    </>
  );
}

const plain = (amount: string) => `${whole(amount) / 10n ** 9n}.${String(whole(amount) % 10n ** 9n).padStart(9, "0")}`.replace(/\.?0+$/, "");

function SubnetStake({ held, tools, busy, beat, refuse, sell }: { held: Holding; tools: Tools; busy: boolean; beat: string; refuse: (text: string) => void; sell: (h: Holding, amount: bigint | null, limit: string) => void }) {
  const root = held.netuid === 0;
  const [open, setOpen] = useState(false);
  // Until somebody types it is all of it, also what comes meanwhile.
  const [typed, type] = useState<string | null>(null);
  const amount = typed === null ? whole(held.amount) : tools.units(typed);
  const terms = useTerms(root || !open ? null : held.netuid, true, amount, beat);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (amount === null || amount > whole(held.amount)) return refuse(`“${typed}” cannot be taken back: a number above 0 with at most 9 digits after the point, at most ${plain(held.amount)}`);
    if (!root && terms.limit === null) return refuse(`“${terms.typed}” is no price: a number, or nothing for any price`);
    sell(held, typed === null ? null : amount, root ? "" : (terms.limit ?? ""));
  };
  return (
    <li>
      {root ? "the root" : <a href={`#/subnet/${held.netuid}`}>subnet {held.netuid}</a>}, upon <a href={`#/account/${held.hotkey}`} title={held.hotkey}>{short(held.hotkey)}</a>: <b title={exactToken(held.amount, root ? "ALLO" : "of its token")}>{token(held.amount)} {root ? "ALLO" : "of its token"}</b>{root ? "" : <>, worth <span title={exactToken(held.worth, "ALLO")}>{token(held.worth)} ALLO</span> at the present price</>}
      <details onToggle={(e) => setOpen(e.currentTarget.open)}><summary>{root ? "Take back" : "Sell it and take back the ALLO"}</summary>
        <form class="controls" onSubmit={submit}>
          <label>{root ? "ALLO" : "of its token"} <input name="sell" inputMode="decimal" size={14} maxLength={32} value={typed ?? plain(held.amount)} onInput={(e) => type(e.currentTarget.value)} autocomplete="off" /></label>
          {root ? null : <Terms terms={terms} sell={true} />}
          <button type="submit" disabled={busy}>{root ? "Take back" : "Sell"}</button>
        </form>
        <p class="note">{root ? "Stake at the root comes back at once, without a price." : "All trades of a block are settled at its end, at one price. Nothing is sold below the limit; what is not sold stays staked. An empty limit sells at any price."}</p>
      </details>
    </li>
  );
}
