// What is in the chain: health, blocks, transactions in plain sentences with the raw view, accounts, validators,
// parameters, the mempool.
import { useEffect, useState } from "preact/hooks";
import { ask, page, useAsk, type Block, type Event, type Pulse, type Receipt, type Row, type Topic } from "../node";
import type { QueryAccountResponse } from "../schema/chain";
import type { QueryHoldingsResponse } from "../schema/subnets";
import type { QueryParamsResponse } from "../schema/topics";
import { Figure, Raw, Scroll } from "../parts";
import { allo, exactAllo, exactToken, number, percent, short, time, token, whole } from "../units";

const SHOWN = 12;

export function Explorer({ pulse }: { pulse: Pulse }) {
  const { status } = pulse;
  const height = status?.height ?? 0;
  const [blocks, setBlocks] = useState<Block[]>([]);
  useEffect(() => {
    let gone = false;
    const known = new Map(blocks.filter((b) => b.height <= height).map((b) => [b.height, b]));
    const wanted = Array.from({ length: Math.min(SHOWN, height) }, (_, i) => height - i);
    const read = async (h: number) => known.get(h) ?? page<Block>(`/blocks/${h}`);
    Promise.all(wanted.map(read)).then((found) => !gone && setBlocks(found)).catch(() => undefined);
    return () => { gone = true; };
  }, [height, pulse.life]);
  const validators = useAsk<{ validators: Validator[]; more: boolean; window: number }>("/validators", `${Math.floor(height / 10)}/${pulse.life}`);
  const pool = useAsk<{ total: number; total_bytes: number; txs: Waiting[] }>("/mempool", `${height}/${pulse.life}`);
  const params = useAsk<QueryParamsResponse>("/params", Math.floor(height / 50));
  if (!status) return <p class="empty">{pulse.lost ? "No node answers at this address." : "Asking the node…"}</p>;
  return (
    <>
      <h1>Explorer</h1>
      <section aria-label="Health">
        <h2>Health</h2>
        <dl class="figures row">
          <Figure name="chain">{status.chain_id}</Figure>
          <Figure name="height">{status.height}</Figure>
          <Figure name="time of the newest block">{time(status.time_ms)}</Figure>
          <Figure name="pace">{pulse.blockMs ? `${(pulse.blockMs / 1000).toFixed(1)} s a block` : "–"}</Figure>
          <Figure name="transactions so far">{status.txs}</Figure>
          <Figure name="waiting in the mempool">{status.mempool_txs}</Figure>
          <Figure name="accounts">{status.accounts}</Figure>
          <Figure name="supply"><span title={exactAllo(status.supply)}>{allo(status.supply)} ALLO</span></Figure>
          <Figure name="gas price">{status.gas_price} uallo</Figure>
          <Figure name="version">{status.version}</Figure>
        </dl>
      </section>
      <section aria-label="Blocks">
        <h2>Newest blocks</h2>
        {height === 0 ? <p class="empty">No block was made yet.</p> : null}
        <Scroll name="The newest twelve"><table><thead><tr><th scope="col">height</th><th scope="col">transactions</th><th scope="col" class="say">what happened</th><th scope="col">signatures</th><th scope="col">time</th></tr></thead>
          <tbody>{blocks.map((b) => (
            <tr key={b.height}><th scope="row"><a href={`#/block/${b.height}`}>{b.height}</a></th><td>{b.tx_hashes.length}</td><td class="say">{summary(b.events)}</td><td>{b.signatures}</td><td>{time(b.time_ms)}</td></tr>
          ))}</tbody></table></Scroll>
      </section>
      <section aria-label="Waiting transactions">
        <h2>Waiting <small>{pool.value ? `${pool.value.total} transactions, ${kilobytes(pool.value.total_bytes)}, in the order of the next block` : ""}</small></h2>
        {pool.value && pool.value.txs.length === 0 ? <p class="empty">Nothing waits for the next block.</p> : null}
        {pool.value?.txs.length ? (
          <Scroll name="What the next block may hold"><table><thead><tr><th scope="col">transaction</th><th scope="col" class="say">what it asks for</th><th scope="col">gas</th><th scope="col">fee, ALLO</th><th scope="col">bytes</th></tr></thead>
            <tbody>{pool.value.txs.slice(0, SHOWN).map((t) => (
              <tr key={t.hash}><th scope="row"><a href={`#/tx/${t.hash}`} title={t.hash}>{short(t.hash)}</a></th><td class="say">{t.messages.map((m) => plainType(m)).join(", ")}</td><td>{t.gas ?? "–"}</td><td title={exactAllo(t.fee ?? "0")}>{allo(t.fee ?? "0")}</td><td>{t.bytes}</td></tr>
            ))}</tbody></table></Scroll>
        ) : null}
      </section>
      <section aria-label="Validators">
        <h2>Validators <small>{validators.value ? `attendance over the last ${validators.value.window} blocks; a name leads to those who stand behind it` : ""}</small></h2>
        <Scroll name="All validators"><table><thead><tr><th scope="col">name</th><th scope="col">status</th><th scope="col">stake, ALLO</th><th scope="col">commission</th><th scope="col">signed</th><th scope="col">operator</th></tr></thead>
          <tbody>{(validators.value?.validators ?? []).map((v) => (
            <tr key={v.operator}><th scope="row"><a href={`#/validator/${v.operator}`}>{v.name || short(v.operator)}</a></th><td>{v.status}</td><td title={exactAllo(v.tokens)}>{allo(v.tokens)}</td><td>{percent(Number(v.commission))}</td><td title={missed(v)}>{attendance(v, validators.value?.window ?? 0)}</td><td title={v.operator}>{short(v.operator, 16)}</td></tr>
          ))}</tbody></table></Scroll>
        {validators.value?.more ? <p class="note">And others: the query <code>cosmos.staking.v1beta1.Query/Validators</code> has all.</p> : null}
      </section>
      <section aria-label="Parameters">
        <h2>Parameters</h2>
        <details><summary>{params.value?.params.length ?? 0} parameters of the chain</summary>
          <Scroll name="All parameters"><table><thead><tr><th scope="col">name</th><th scope="col">value</th></tr></thead><tbody>{(params.value?.params ?? []).map((p) => <tr key={p.name}><th scope="row">{p.name}</th><td>{p.value}</td></tr>)}</tbody></table></Scroll>
        </details>
      </section>
    </>
  );
}

interface Validator { operator: string; account: string; name: string; status: string; tokens: string; commission: string; missed: number | null; counted: number | null; jailed_until_ms: number }
interface Waiting { hash: string; bytes: number; messages: string[]; gas: number | null; fee: string | null }

const kilobytes = (n: number) => `${(n / 1000).toFixed(1)} kB`;

/** The part of the counted blocks that it signed; a window that is not full yet counts from where it began. */
function attendance(v: Validator, window: number): string {
  if (v.missed === null || v.counted === null) return "never in the set";
  const seen = Math.min(v.counted, window);
  return seen > 0 ? percent((seen - v.missed) / seen) : "–";
}

const missed = (v: Validator) => (v.missed === null ? "" : `${v.missed} missed`);

/** The last word of a type, as words. */
function plainType(url: string): string {
  const name = url.split(".").pop() ?? url;
  return name.replace(/^Msg/, "").replace(/Request$/, "").replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
}

export function ValidatorPage({ operator, pulse }: { operator: string; pulse: Pulse }) {
  const beat = Math.floor((pulse.status?.height ?? 0) / 5);
  const asked = useAsk<{ validator: Validator; website: string; details: string; window: number; delegations: { delegator: string; balance: string }[]; more: boolean }>(`/validators/${encodeURIComponent(operator)}`, `${beat}/${pulse.life}`);
  const { value, error } = asked;
  if (!value) return <p class="empty">{error ? `Validator: ${error.message}` : "Asking…"}</p>;
  const v = value.validator;
  return (
    <>
      <h1>Validator {v.name} <small class="break">{v.operator}</small></h1>
      {value.details ? <p>{value.details}</p> : null}
      <dl class="figures row">
        <Figure name="status">{v.status}{v.status === "jailed" && v.jailed_until_ms > 0 ? ` until ${time(v.jailed_until_ms)} at least` : ""}</Figure>
        <Figure name="stake"><span title={exactAllo(v.tokens)}>{allo(v.tokens)} ALLO</span></Figure>
        <Figure name="commission">{percent(Number(v.commission))}</Figure>
        <Figure name={`signed, last ${value.window} blocks`}><span title={missed(v)}>{attendance(v, value.window)}</span></Figure>
        <Figure name="its account"><a href={`#/account/${v.account}`}>{short(v.account)}</a></Figure>
      </dl>
      <p><a href={`#/wallet/validator/${v.operator}`}>Delegate to it</a></p>
      <h2>Who stands behind it</h2>
      <Scroll name="Delegations"><table><thead><tr><th scope="col">account</th><th scope="col">delegated, ALLO</th><th scope="col">part</th></tr></thead>
        <tbody>{value.delegations.map((d) => (
          <tr key={d.delegator}><th scope="row"><a href={`#/account/${d.delegator}`} title={d.delegator}>{short(d.delegator, 16, 6)}</a></th><td title={exactAllo(d.balance)}>{allo(d.balance)}</td><td>{whole(v.tokens) > 0n ? percent(Number((whole(d.balance) * 1_000_000n) / whole(v.tokens)) / 1_000_000) : "–"}</td></tr>
        ))}</tbody></table></Scroll>
      {value.more ? <p class="note">And others, in the order of their addresses: the query <code>cosmos.staking.v1beta1.Query/ValidatorDelegations</code> has all.</p> : null}
    </>
  );
}

/** Counts of kinds, most telling first. */
function summary(events: Event[]): string {
  const counts = new Map<string, number>();
  for (const e of events) counts.set(e.kind, (counts.get(e.kind) ?? 0) + 1);
  const words = ["epoch_scored", "epoch_combined", "epoch_opened", "epoch_void"].flatMap((kind) => {
    const n = counts.get(kind);
    return n ? [`${n} ${kind.replace("epoch_", n === 1 ? "epoch " : "epochs ")}`] : [];
  });
  return words.join(", ") || "–";
}

/** An event as a sentence; kinds that nobody has written one for are told by their attributes. */
function sentence(event: Event): string {
  const of = Object.fromEntries(event.attributes.map((a) => [a.key, a.value]));
  const who = (key: string) => short(of[key] ?? "?");
  const money = (key: string) => `${allo(of[key] ?? "0")} ALLO`;
  const tokens = (key: string, unit = "of its token") => `${token(of[key] ?? "0")} ${unit}`;
  switch (event.kind) {
    case "epoch_opened": return `Topic ${of["topic_id"]} asks: epoch with nonce ${of["nonce"]}, answers until block ${of["worker_last"]}, truth in blocks ${of["truth_first"]} to ${of["truth_last"]}`;
    case "epoch_combined": return `Topic ${of["topic_id"]} combined ${of["members"]} answers of nonce ${of["nonce"]} into ${(of["value"] ?? "").split(" ").map((v) => number(Number(v))).join(", ")}`;
    case "epoch_resisted": return `Topic ${of["topic_id"]}: a second answer of nonce ${of["nonce"]}, by the ${of["members"]} that are no outliers`;
    case "epoch_scored": return `Topic ${of["topic_id"]} scored nonce ${of["nonce"]}: truth ${of["truth"]}, loss ${number(Number(of["loss"]))}, ${money("reward")} to share`;
    case "epoch_void": return `Topic ${of["topic_id"]}: nonce ${of["nonce"]} counts for nothing`;
    case "truth_opened": return `Topic ${of["topic_id"]} takes the truth of nonce ${of["nonce"]} until block ${of["truth_last"]}`;
    case "topic_weighed": return `Topic ${of["topic_id"]} weighs ${number(Number(of["weight"]))}`;
    case "reputer_paid": return `${who("reputer")} was paid ${money("own")} for the truth of topic ${of["topic_id"]}`;
    case "payload": return `${who("worker")} answered topic ${of["topic_id"]}, nonce ${of["nonce"]}`;
    case "topic_funded": return `Topic ${of["topic_id"]} was funded with ${money("amount")}`;
    case "stake_ordered": return `${who("coldkey")} buys of the token of subnet ${of["netuid"]} for ${tokens("amount", "ALLO")}, at the end of the block`;
    case "unstake_ordered": return `${who("coldkey")} sells ${tokens("amount")} of subnet ${of["netuid"]}, at the end of the block`;
    case "subnet_trade": return of["side"] === "sold"
      ? `Subnet ${of["netuid"]}: ${who("coldkey")} sold ${tokens("paid")} for ${tokens("received", "ALLO")} before the fee`
      : `Subnet ${of["netuid"]}: ${who("coldkey")} bought ${tokens("received")} for ${tokens("paid", "ALLO")} after the fee`;
    case "subnet_cleared": return `Subnet ${of["netuid"]} settled its trades at ${number(Number(of["price"]))} ALLO each: ${of["buys"]} bought, ${of["sells"]} sold`;
    case "subnet_epoch": return `Subnet ${of["netuid"]} paid its epoch ${of["epoch"]}: ${tokens("miners", "to miners")}, ${tokens("validators", "to validators")}, ${tokens("root", "to stake at the root")}, ${tokens("owner", "to the owner")}`;
    case "seal": return `${who("worker")} sealed an answer to topic ${of["topic_id"]}, nonce ${of["nonce"]}`;
    case "seal_unopened": return `${who("worker")} never opened its seal for topic ${of["topic_id"]}, nonce ${of["nonce"]}: scored like a loss of ${number(Number(of["loss"]))}`;
    case "report": return `${who("reputer")} told the truth of topic ${of["topic_id"]}, nonce ${of["nonce"]}`;
    default: return `${event.kind.replaceAll("_", " ")}: ${event.attributes.map((a) => `${a.key.replaceAll("_", " ")} ${short(a.value, 16, 6)}`).join(", ")}`;
  }
}

type Message = Record<string, unknown> & { "@type"?: string };

/** A message as a sentence. */
function deed(m: Message): string {
  const type = String(m["@type"] ?? "?").split(".").pop() ?? "?";
  const text = (key: string) => String(m[key] ?? "?");
  const money = (key: string) => `${allo(text(key))} ALLO`;
  const coin = () => `${allo(String((m["amount"] as { amount?: string } | undefined)?.amount ?? "0"))} ALLO`;
  const who = short(String(m["sender"] ?? m["from_address"] ?? m["delegator_address"] ?? "somebody"));
  switch (type) {
    case "MsgSubmitPayload": {
      const values = m["values"] as { label?: string; value?: string }[] | undefined;
      const said = m["inference"] ? number(Number(m["inference"])) : values?.length ? values.map((v) => `${v.label ?? ""} ${v.value ?? ""}`).join(", ") : "a forecast";
      const forecasts = (m["forecast"] as unknown[] | undefined)?.length ?? 0;
      return `${who} answers topic ${text("topic_id")}, nonce ${text("nonce")}: ${said}${forecasts ? `, and forecasts the losses of ${forecasts} members` : ""}`;
    }
    case "MsgSealPayload": return `${who} seals an answer to topic ${text("topic_id")}, nonce ${text("nonce")}`;
    case "MsgOpenPayload": return `${who} opens a sealed answer`;
    case "MsgReportTruth": return `${who} says what was true for topic ${text("topic_id")}, nonce ${text("nonce")}`;
    case "MsgFundTopic": return `${who} funds topic ${text("topic_id")} with ${money("amount")}`;
    case "MsgDelegateStake": return `${who} stakes ${money("amount")} behind reputer ${short(text("reputer"))} of topic ${text("topic_id")}`;
    case "MsgRemoveDelegateStake": return `${who} asks ${money("amount")} back from reputer ${short(text("reputer"))} of topic ${text("topic_id")}`;
    case "MsgClaimDelegateRewards": return `${who} collects what reputer ${short(text("reputer"))} of topic ${text("topic_id")} earned for it`;
    case "MsgDelegate": return `${who} delegates ${coin()} to validator ${short(text("validator_address"))}`;
    case "MsgUndelegate": return `${who} asks ${coin()} back from validator ${short(text("validator_address"))}`;
    case "MsgWithdrawDelegatorReward": return `${who} collects what validator ${short(text("validator_address"))} earned for it`;
    case "MsgStake": return `${who} stakes ${money("amount")} in subnet ${text("netuid")}, upon ${short(text("hotkey"))}${m["limit_price"] ? `, at ${text("limit_price")} ALLO each or less` : ""}`;
    case "MsgUnstake": return `${who} takes ${m["amount"] ? token(text("amount")) : "everything"} out of ${Number(m["netuid"] ?? 0) === 0 ? "the root" : `subnet ${text("netuid")}`}, from ${short(text("hotkey"))}${m["limit_price"] ? `, at ${text("limit_price")} ALLO each or more` : ""}`;
    case "MsgSend": {
      const coins = (m["amount"] as { amount: string; denom: string }[] | undefined) ?? [];
      return `${who} sends ${coins.map((c) => (c.denom === "uallo" ? `${allo(c.amount)} ALLO` : `${c.amount} ${c.denom}`)).join(", ")} to ${short(text("to_address"))}`;
    }
    default: return `${who}: ${plainType(type)}`;
  }
}

export function BlockPage({ height }: { height: string }) {
  const asked = useAsk<Block>(`/blocks/${encodeURIComponent(height)}`);
  const block = asked.value;
  if (!block) return <p class="empty">{asked.error ? `Block ${height}: ${asked.error.message}` : "Asking…"}</p>;
  return (
    <>
      <h1>Block {block.height}</h1>
      <p><a href={`#/block/${block.height - 1}`}>previous</a> · <a href={`#/block/${block.height + 1}`}>next</a> · <a href="#/explore">all</a></p>
      <dl class="figures row">
        <Figure name="time">{time(block.time_ms)}</Figure><Figure name="signatures">{block.signatures}</Figure><Figure name="proposer"><span title={block.proposer}>{short(block.proposer)}</span></Figure>
        <Figure name="block"><span title={block.block_id}>{short(block.block_id)}</span></Figure><Figure name="state after it"><span title={block.app_hash}>{short(block.app_hash)}</span></Figure>
      </dl>
      <h2>What happened</h2>
      <ul class="sentences">{block.events.map((e, i) => <li key={i}>{sentence(e)}</li>)}</ul>
      <h2>{block.tx_hashes.length} transactions</h2>
      <ol class="hashes">{block.tx_hashes.map((h) => <li key={h}><a href={`#/tx/${h}`} title={h}>{short(h, 20, 8)}</a></li>)}</ol>
      <Raw value={block} />
    </>
  );
}

export function Tx({ hash }: { hash: string }) {
  const receipt = useAsk<Receipt>(`/txs/${encodeURIComponent(hash)}`);
  const decoded = useAsk<{ tx: { body: { messages: Message[]; memo: string }; auth_info: { fee: { amount: { amount: string }[] } } } }>(`/cosmos/tx/v1beta1/txs/${encodeURIComponent(hash)}`, 0, ask);
  const { value, error } = receipt;
  if (!value) return <p class="empty">{error ? `Transaction ${short(hash)}: ${error.message}` : "Asking…"}</p>;
  const fee = decoded.value?.tx.auth_info.fee.amount[0]?.amount ?? "0";
  return (
    <>
      <h1>Transaction <small title={value.hash}>{short(value.hash, 16, 8)}</small></h1>
      <ul class="sentences big">{(decoded.value?.tx.body.messages ?? []).map((m, i) => <li key={i}>{deed(m)}</li>)}</ul>
      <p class={value.code === 0 ? "verdict good" : "verdict bad"}>{value.code === 0 ? "✓ It took effect" : `✕ Refused: ${value.log} (${value.codespace} ${value.code})`}</p>
      <dl class="figures row">
        <Figure name="block"><a href={`#/block/${value.height}`}>{value.height}</a></Figure><Figure name="place in it">{value.index}</Figure>
        <Figure name="gas used, of wanted">{value.gas_used} of {value.gas_wanted}</Figure><Figure name="fee"><span title={exactAllo(fee)}>{allo(fee)} ALLO</span></Figure>
      </dl>
      <h2>What happened</h2>
      <ul class="sentences">{value.events.map((e, i) => <li key={i}>{sentence(e)}</li>)}</ul>
      <Raw value={{ receipt: value, decoded: decoded.value?.tx }} />
    </>
  );
}

export function Account({ address, pulse }: { address: string; pulse: Pulse }) {
  const beat = pulse.status?.height ?? 0;
  const account = useAsk<QueryAccountResponse>(`/accounts/${encodeURIComponent(address)}`, beat);
  const staked = useAsk<QueryHoldingsResponse>(`/subnets/holdings?coldkey=${encodeURIComponent(address)}`, Math.floor(beat / 5));
  const [places, setPlaces] = useState<{ topic: Topic; row: Row }[]>([]);
  useEffect(() => {
    let gone = false;
    const read = async () => {
      const { topics } = await page<{ topics: Topic[] }>("/topics?limit=50");
      const found = await Promise.all(topics.map(async (topic) => {
        const { rows } = await page<{ rows: Row[] }>(`/topics/${topic.topic_id}/board?limit=1&mark=${encodeURIComponent(address)}`);
        return rows.filter((row) => row.address === address).map((row) => ({ topic, row }));
      }));
      if (!gone) setPlaces(found.flat());
    };
    read().catch(() => undefined);
    return () => { gone = true; };
  }, [address]);
  const { value, error } = account;
  if (!value) return <p class="empty">{error ? `Account: ${error.message}` : "Asking…"}</p>;
  return (
    <>
      <h1>Account <small class="break">{address}</small></h1>
      {value.exists ? null : <p class="empty">Nobody has sent anything to this address yet.</p>}
      <dl class="figures row">
        <Figure name="balance"><span title={exactAllo(value.balance)}>{allo(value.balance)} ALLO</span></Figure><Figure name="transactions sent">{value.sequence}</Figure><Figure name="account number">{value.account_number}</Figure>
      </dl>
      {places.length ? <h2>Part of</h2> : null}
      <ul class="sentences">{places.map(({ topic, row }) => (
        <li key={`${topic.topic_id}${row.role}`}>{row.role} <b>{row.name}</b> of topic <a href={`#/topic/${topic.topic_id}`}>{topic.topic_id} · {topic.spec.title}</a>: earned {allo(row.earned)} ALLO{row.stake ? `, stake ${allo(row.stake)} ALLO` : ""}. <a href={`#/topic/${topic.topic_id}/why/${address}`}>Why?</a></li>
      ))}</ul>
      {staked.value?.holdings.length ? (
        <><h2>Staked in subnets</h2><Scroll name="Stake in subnets"><table><thead><tr><th scope="col">subnet</th><th scope="col">upon</th><th scope="col">tokens</th><th scope="col">worth, ALLO</th></tr></thead>
          <tbody>{staked.value.holdings.map((h) => (
            <tr key={`${h.netuid}${h.hotkey}`}><th scope="row">{h.netuid ? <a href={`#/subnet/${h.netuid}`}>{h.netuid}</a> : "root"}</th><td><a href={`#/account/${h.hotkey}`} title={h.hotkey}>{short(h.hotkey)}</a></td><td title={exactToken(h.amount, "")}>{token(h.amount)}</td><td title={exactToken(h.worth, "ALLO")}>{token(h.worth)}</td></tr>
          ))}</tbody></table></Scroll></>
      ) : null}
    </>
  );
}
