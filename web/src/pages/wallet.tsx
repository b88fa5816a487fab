// The wallet: on a development network a key of this tab, elsewhere Keplr; to delegate, to stake and to fund. The node
// never sees a key: it is handed signed transactions, like by any wallet.
import { useEffect, useState } from "preact/hooks";
import { ask, useAsk, type Pulse, type Row, type Topic } from "../node";
import { Figure } from "../parts";
import { account, carry, GAS, gasPrice, loadWallet, Said, SENDING, type Card, type Outcome, type Tools } from "../send";
import { allo, exactAllo, short } from "../units";
import type { Deed, Keplr, Signer } from "../wallet/wallet";
import { cleared, SubnetStakes, Terms, useTerms } from "./trade";

/** One for the whole page: whoever has connected stays so while it is open. */
let connected: Signer | null = null;

const keplrHere = () => (globalThis as { keplr?: Keplr }).keplr ?? null;

export function WalletPage({ wish, pulse }: { wish: string[]; pulse: Pulse }) {
  const card = useAsk<Card>("/.well-known/dodona/chain.json", pulse.life, ask).value;
  const [tools, setTools] = useState<Tools | null>(null);
  const [signer, setSigner] = useState<Signer | null>(connected);
  const [said, say] = useState("");
  const [keplr, setKeplr] = useState(keplrHere);
  useEffect(() => {
    loadWallet().then(setTools, () => say("The part of the page that signs cannot be loaded: does the node answer?"));
    // Extensions come a moment after the page.
    const later = setTimeout(() => setKeplr(keplrHere()), 800);
    return () => clearTimeout(later);
  }, []);
  const beat = `${pulse.status?.height ?? 0}/${pulse.life}`;
  const balance = useAsk<{ exists: boolean; balance: string }>(signer ? `/accounts/${signer.address}` : null, beat).value;

  const connect = async (make: (tools: Tools, card: Card) => Promise<Signer>) => {
    if (!tools || !card) return;
    say("");
    try {
      const made = await make(tools, card);
      connected = made;
      setSigner(made);
      // Brings the first tokens on a development network.
      await account(made.address).catch(() => undefined);
    } catch (error) {
      say(error instanceof Error ? error.message : String(error));
    }
  };
  const forget = () => { connected = null; setSigner(null); };

  return (
    <section aria-label="Wallet">
      <h1>Wallet</h1>
      {!card ? <p class="empty">{pulse.lost ? "No node answers at this address." : "Asking…"}</p> : !signer ? (
        <>
          <p>{card.development ? "This is a development network: a test wallet is a key made in this tab, which the node’s purse gives tokens to. It is gone when the tab is closed." : "Connect a wallet to delegate, to stake and to fund. The key stays in the wallet."}</p>
          <div class="controls">
            {card.development ? <button class="main" disabled={!tools} onClick={() => connect(async (t) => t.testSigner())}>Make a test wallet</button> : null}
            {keplr ? <button class={card.development ? "" : "main"} disabled={!tools} onClick={() => connect(async (t, c) => t.keplrSigner(keplr, c.chain_id, await ask("/.well-known/keplr/chain.json")))}>Connect Keplr</button>
              : <span class="note">No Keplr in this browser.</span>}
          </div>
        </>
      ) : (
        <>
          <dl class="figures row">
            <Figure name="signed by">{signer.name}</Figure>
            <Figure name="address"><a href={`#/account/${signer.address}`} title={signer.address}>{short(signer.address)}</a></Figure>
            <Figure name="balance">{balance?.exists ? <span id="balance" title={exactAllo(balance.balance)}>{allo(balance.balance)} ALLO</span> : card.development ? "the first tokens are on their way" : "nothing yet"}</Figure>
          </dl>
          <div class="controls"><button onClick={forget}>Disconnect</button></div>
          {tools ? <Deeds tools={tools} signer={signer} card={card} wish={wish} beat={beat} /> : null}
          {tools ? <Holdings tools={tools} signer={signer} card={card} beat={beat} /> : null}
        </>
      )}
      <p class="note" role="alert">{said}</p>
    </section>
  );
}

type Kind = "fund" | "reputer" | "validator" | "subnet";
const KINDS: [Kind, string][] = [["fund", "fund a topic"], ["reputer", "stake behind a reputer"], ["validator", "delegate to a validator"], ["subnet", "stake in a subnet"]];

/** What becomes of the tokens. */
const EXPLAINED: Record<Kind, string> = {
  fund: "The topic pays this out to those who answer it and to those who say what happened; it does not come back.",
  reputer: "The stake shares in what the reputer earns, and comes back when you ask for it, after a wait.",
  validator: "The stake shares in what the validator earns, and comes back when you ask for it, after a wait; a validator’s misbehaviour costs part of it.",
  subnet: "This buys the subnet’s own token and stakes it upon a neuron: it grows with what that earns, and its price moves both ways.",
};

/** One form for everything that can be sent; where it was asked from is filled in. */
function Deeds({ tools, signer, card, wish, beat }: { tools: Tools; signer: Signer; card: Card; wish: string[]; beat: string }) {
  const [kind, setKind] = useState<Kind>(KINDS.find(([k]) => k === wish[0])?.[0] ?? "fund");
  const [group, setGroup] = useState(wish[0] === kind ? (wish[1] ?? "") : "");
  const [upon, setUpon] = useState(wish[0] === kind ? (wish[2] ?? (kind === "validator" ? (wish[1] ?? "") : "")) : "");
  const [typed, setTyped] = useState("1");
  const [busy, setBusy] = useState(false);
  const [said, say] = useState<Outcome>({ text: "" });
  const topics = useAsk<{ topics: Topic[] }>(kind === "fund" || kind === "reputer" ? "/topics?limit=50" : null).value?.topics ?? [];
  const topic = topics.find((t) => String(t.topic_id) === group) ?? topics[0];
  const rows = useAsk<{ rows: Row[] }>(kind === "reputer" && topic ? `/topics/${topic.topic_id}/board?limit=200` : null).value?.rows ?? [];
  const validators = useAsk<{ validators: { operator: string; name: string; status: string }[] }>(kind === "validator" ? "/validators" : null).value?.validators ?? [];
  const subnets = useAsk<{ subnets: { netuid: number; name: string }[] }>(kind === "subnet" ? "/subnets?limit=200" : null).value?.subnets ?? [];
  const subnet = subnets.find((s) => String(s.netuid) === group) ?? subnets[0];
  const neurons = useAsk<{ neurons: { uid: number; hotkey: string; permit: boolean }[] }>(subnet ? `/subnets/${subnet.netuid}/metagraph` : null).value?.neurons ?? [];
  const groups: [string, string][] = kind === "subnet" ? subnets.map((s) => [String(s.netuid), `${s.netuid} · ${s.name}`]) : kind === "validator" ? [] : topics.map((t) => [String(t.topic_id), `${t.topic_id} · ${t.spec.title}`]);
  const members: [string, string][] = kind === "reputer" ? rows.filter((r) => r.role === "reputer").map((r) => [r.address, r.name || short(r.address)])
    : kind === "validator" ? validators.map((v) => [v.operator, `${v.name || short(v.operator)}${v.status === "bonded" ? "" : `, ${v.status}`}`])
    : kind === "subnet" ? neurons.map((n) => [n.hotkey, `uid ${n.uid}, ${short(n.hotkey)}${n.permit ? ", validates" : ""}`]) : [];
  const whom = members.find(([key]) => key === upon)?.[0] ?? members[0]?.[0] ?? "";
  const uallo = tools.amount(typed);
  const terms = useTerms(kind === "subnet" ? (subnet?.netuid ?? null) : null, false, uallo === null ? null : uallo / 10n ** 9n, beat);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (uallo === null) return say({ text: `“${typed}” is no amount: a number above 0, in ALLO, with at most 18 digits after the point` });
    if (kind === "subnet" && terms.limit === null) return say({ text: `“${terms.typed}” is no price: a number, or nothing for any price` });
    const from = signer.address;
    const deed = kind === "fund" && topic ? tools.fund(from, topic.topic_id, uallo)
      : kind === "reputer" && topic && whom ? tools.backReputer(from, topic.topic_id, whom, uallo)
      : kind === "validator" && whom ? tools.delegate(from, whom, uallo)
      : kind === "subnet" && subnet && whom ? tools.stake(from, whom, subnet.netuid, uallo, terms.limit ?? "") : null;
    if (!deed) return say({ text: "there is nobody to choose: see the pages of topics, validators and subnets" });
    setBusy(true);
    say(SENDING);
    const told = kind === "subnet" && subnet ? cleared(from, subnet.netuid, whom) : async () => "done";
    say(await carry(signer, card, deed, told));
    setBusy(false);
  };
  return (
    <form class="deeds" onSubmit={submit}>
      <h2>Send</h2>
      <fieldset class="choice left"><legend class="unseen">What to do</legend>
        {KINDS.map(([k, name]) => <label key={k}><input type="radio" name="kind" checked={kind === k} onChange={() => { setKind(k); setGroup(""); setUpon(""); say({ text: "" }); }} />{name}</label>)}
      </fieldset>
      <div class="controls">
        {kind === "validator" ? null : <label>{kind === "subnet" ? "subnet" : "topic"} <select name="group" value={String(kind === "subnet" ? (subnet?.netuid ?? "") : (topic?.topic_id ?? ""))} onChange={(e) => { setGroup(e.currentTarget.value); setUpon(""); }}>
          {groups.map(([key, name]) => <option key={key} value={key}>{name}</option>)}</select></label>}
        {kind === "fund" ? null : <label>{kind === "validator" ? "validator" : "upon"} <select name="upon" value={whom} onChange={(e) => setUpon(e.currentTarget.value)}>
          {members.map(([key, name]) => <option key={key} value={key}>{name}</option>)}</select></label>}
        <label>ALLO <input name="amount" inputMode="decimal" size={12} maxLength={32} value={typed} onInput={(e) => setTyped(e.currentTarget.value)} autocomplete="off" /></label>
        {kind === "subnet" && subnet ? <Terms terms={terms} sell={false} /> : null}
        <button class="main" type="submit" disabled={busy}>{busy ? "Sending…" : "Sign and send"}</button>
      </div>
      <Said id="outcome" said={said} />
      <p class="note">{EXPLAINED[kind]} Signing it costs a fee of {allo(BigInt(Math.ceil(GAS * gasPrice(card))))} ALLO.</p>
    </form>
  );
}

interface Stakes {
  validators: { operator: string; name: string; amount: string; reward: string }[];
  leaving: { operator: string; name: string; amount: string; until_ms: number }[];
  topics: { topic_id: number; reputer: string; name: string; amount: string; reward: string; leaving: string; leaves_block: number | null }[];
}

/** One place where something is staked: how much, what it earned, and how both come back. */
interface Held { key: string; place: string; link: string; amount: bigint; leaving: bigint; reward: bigint; collect: Deed; takeBack: (uallo: bigint) => Deed }

/** What this account has behind validators and reputers, with the two ways back: rewards at once, stake after its wait. */
function Holdings({ tools, signer, card, beat }: { tools: Tools; signer: Signer; card: Card; beat: string }) {
  const [tick, setTick] = useState(0);
  const stakes = useAsk<Stakes>(`/accounts/${signer.address}/stakes`, `${beat}/${tick}`).value;
  const [busy, setBusy] = useState("");
  const [said, say] = useState<Outcome>({ text: "" });
  const held: Held[] = [
    ...(stakes?.validators ?? []).map((v) => ({
      key: v.operator, place: `validator ${v.name || short(v.operator)}`, link: `#/validator/${v.operator}`, amount: BigInt(v.amount), leaving: 0n, reward: BigInt(v.reward),
      collect: tools.collectReward(signer.address, v.operator), takeBack: (uallo: bigint) => tools.undelegate(signer.address, v.operator, uallo),
    })),
    ...(stakes?.topics ?? []).map((t) => ({
      key: `${t.topic_id}/${t.reputer}`, place: `reputer ${t.name || short(t.reputer)} of topic ${t.topic_id}`, link: `#/topic/${t.topic_id}`, amount: BigInt(t.amount), leaving: BigInt(t.leaving), reward: BigInt(t.reward),
      collect: tools.collectFromReputer(signer.address, t.topic_id, t.reputer), takeBack: (uallo: bigint) => tools.leaveReputer(signer.address, t.topic_id, t.reputer, uallo),
    })),
  ];
  const act = async (key: string, deed: Deed, done: string) => {
    setBusy(key);
    say(SENDING);
    say(await carry(signer, card, deed, async () => done));
    setBusy("");
    setTick((n) => n + 1);
  };
  const takeBack = (event: SubmitEvent, h: Held) => {
    event.preventDefault();
    const typed = new FormData(event.currentTarget as HTMLFormElement).get("back");
    const uallo = tools.amount(String(typed ?? ""));
    if (uallo === null || uallo > h.amount) return say({ text: `“${typed}” cannot be taken back: a number above 0, at most ${exactAllo(h.amount.toString())}` });
    void act(h.key, h.takeBack(uallo), "on its way back");
  };
  if (!stakes) return null;
  return (
    <section aria-label="Staked" class="holdings">
      <h2>Staked</h2>
      {held.length === 0 ? <p class="empty">Nothing behind validators or reputers yet.</p> : (
        <ul class="plain">{held.map((h) => (
          <li key={h.key}>
            <a href={h.link}>{h.place}</a>: <b title={exactAllo(h.amount.toString())}>{allo(h.amount)} ALLO</b>{h.leaving > 0n ? <>, of which {allo(h.leaving)} ALLO leave</> : null}; earned <span title={exactAllo(h.reward.toString())}>{allo(h.reward)} ALLO</span>
            <form class="controls" onSubmit={(e) => takeBack(e, h)}>
              <button type="button" disabled={busy !== "" || h.reward === 0n} onClick={() => act(h.key, h.collect, "collected")}>Collect</button>
              <label>ALLO <input name="back" inputMode="decimal" size={12} maxLength={32} defaultValue={plainAllo(h.amount)} autocomplete="off" /></label>
              <button type="submit" disabled={busy !== ""}>Take back</button>
            </form>
          </li>))}
        </ul>)}
      {stakes.leaving.length ? <ul class="plain">{stakes.leaving.map((l, i) => <li key={i}>{allo(l.amount)} ALLO come back from {l.name || short(l.operator)} on {new Date(l.until_ms).toLocaleString()}</li>)}</ul> : null}
      <Said id="returned" said={said} />
      <SubnetStakes tools={tools} signer={signer} card={card} beat={beat} />
    </section>
  );
}

/** An amount as it is typed, to the last digit. */
const plainAllo = (uallo: bigint) => `${uallo / 10n ** 18n}.${String(uallo % 10n ** 18n).padStart(18, "0")}`.replace(/\.?0+$/, "");
