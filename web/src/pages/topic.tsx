// The live page of a topic: what the network says, how right it was, whom it trusts, who earns, and what comes next.
import { useState } from "preact/hooks";
import { Lines, Stack, type Stroke } from "../chart";
import { Flow, type FlowLink, type FlowNode } from "../flow";
import { beatOf, RULES, useAsk, useChart, useEpochs, useOtherwise, type Board, type Chart, type Epoch, type Pulse, type Row, type Topic, type Windows } from "../node";
import type { QueryEmissionResponse } from "../schema/topics";
import { allo, exactAllo, number, percent, whole } from "../units";
import { Why } from "./why";

const LAYERS = 7;

export function TopicPage({ id, why, mark, pulse }: { id: string; why: string[] | null; mark: string | null; pulse: Pulse }) {
  // What is highlighted stays so while a drawer has the address.
  const [own, setOwn] = useState({ id, mark });
  if (own.id !== id || (mark !== null && own.mark !== mark)) setOwn({ id, mark });
  const height = pulse.status?.height ?? 0;
  // Only what happened in this topic makes its pages be asked again.
  const beat = beatOf(pulse, id);
  const topics = useAsk<{ topics: Topic[] }>("/topics?limit=50", beat);
  const topic = topics.value?.topics.find((t) => String(t.topic_id) === id) ?? null;
  const { epochs, loading } = useEpochs(topic, beat, pulse.life);
  const [all, setAll] = useState(false);
  const { chart } = useChart(topic, topic?.spec.classification ? "" : (own.mark ?? ""), all, beat, pulse.life);
  const board = useAsk<Board>(topic ? `/topics/${id}/board?limit=100&mark=${encodeURIComponent(own.mark ?? "")}` : null, beat).value;
  const windows = useAsk<Windows>(topic ? `/topics/${id}/windows` : null, beat);
  if (!topics.value) return <p class="empty">{pulse.lost ? "No node answers at this address." : "Asking the node for its topics…"}</p>;
  if (topics.value.topics.length === 0) {
    return <p class="empty">This chain has no topics yet. Somebody has to ask a question first: <code>dodona topic create topic.toml</code>. The page shows it as soon as it is in a block.</p>;
  }
  if (!topic) return <p class="empty">Topic {id} does not exist. <a href="#/topic/1">To topic 1</a></p>;
  return (
    <>
      <nav class="tabs" aria-label="Topics">
        {topics.value.topics.map((t) => (
          <a key={t.topic_id} href={`#/topic/${t.topic_id}`} aria-current={t === topic ? "page" : undefined}>{t.topic_id} · {t.spec.title}</a>
        ))}
      </nav>
      <Headline topic={topic} epochs={epochs} loading={loading} />
      <div class="grid">
        <div class="wide">
          {topic.spec.classification ? <Classes topic={topic} chart={chart} all={setAll} pulse={pulse} /> : <Values topic={topic} chart={chart} rows={board?.rows ?? []} epochs={epochs} own={own.mark ?? ""} all={setAll} pulse={pulse} />}
          <Weights chart={chart} />
        </div>
        <aside>
          <Timeline windows={windows.value} topic={topic} pulse={pulse} />
          <Pay topic={topic} board={board} />
        </aside>
      </div>
      <Rewards topic={topic} board={board} beat={height} />
      <Members topic={topic} own={own.mark ?? ""} board={board} />
      {why && why[0] ? <Why topic={topic} address={why[0]} nonce={why[1] ?? ""} beat={why[1] ? "" : beat} /> : null}
    </>
  );
}

function Headline({ topic, epochs, loading }: { topic: Topic; epochs: Epoch[]; loading: boolean }) {
  const { unit } = topic.spec;
  const newest = epochs.findLast((e) => e.combined_at > 0);
  const scored = epochs.findLast((e) => e.state === "scored");
  const better = (than: number) => (than > 0 ? 1 - topic.mean_loss_network / than : null);
  const compared = (name: string, than: number) => {
    const by = better(than);
    if (by === null || topic.epochs_scored === 0) return null;
    return <span>{percent(Math.abs(by))} {by >= 0 ? "below" : "above"} the {name}</span>;
  };
  return (
    <section class="headline" aria-label="The newest answer">
      <h1 class="question">{topic.spec.target}</h1>
      {newest ? (
        topic.spec.classification ? (
          <p class="answer">The network says{" "}
            {newest.columns.map((c, i) => <span key={c.label}>{i > 0 ? ", " : ""}<b>{c.label}</b> {percent(c.combined, 0)}</span>)}
            <small> for epoch {newest.epoch}</small></p>
        ) : (
          <p class="answer">The network says <b id="inference">{number(newest.combined)}</b> {unit}
            <small> for epoch {newest.epoch}{newest.interval ? ` · 95 % between ${number(newest.interval.p2)} and ${number(newest.interval.p98)} ${unit}` : ""}</small></p>
        )
      ) : <p class="answer">{loading ? "Reading epochs…" : topic.active ? "No answer yet: the first epoch is still open." : `No answer: the topic sleeps (${topic.inactive_reason || "inactive"}).`}</p>}
      <p class="facts">
        {scored && !topic.spec.classification && scored.truth !== null ? <span>Epoch {scored.epoch}: said {number(scored.combined)}, was {number(scored.truth)} {unit}</span> : null}
        {scored && topic.spec.classification ? <span>Epoch {scored.epoch}: it was <b>{scored.columns.find((c) => c.truth === 1)?.label ?? "–"}</b></span> : null}
        {compared("plain mean", topic.mean_loss_mean) ? <span>Mean loss so far: {compared("plain mean", topic.mean_loss_mean)}, {compared("median", topic.mean_loss_median)}</span> : null}
        <span>{topic.inferers} inferers, {topic.forecasters} forecasters, {topic.reputers} reputers · rule {RULES[topic.spec.rule] ?? "?"}</span>
        <a href={`#/verify/${topic.topic_id}`}>Check this answer yourself</a>
        <a href={`#/wallet/fund/${topic.topic_id}`}>Fund it</a>
      </p>
    </section>
  );
}

const SPANS: [number, string][] = [[50, "50"], [100, "100"], [200, "200"], [0, "all"]];

function Span({ value, set }: { value: number; set: (n: number) => void }) {
  return (
    <fieldset class="choice"><legend>Epochs</legend>
      {SPANS.map(([n, name]) => <label key={n}><input type="radio" name="span" checked={value === n} onChange={() => set(n)} />{name}</label>)}
    </fieldset>
  );
}

/** The rule that a topic does not use: what would it have said? */
const OTHER: Record<string, string> = { power: "regret", regret: "power", median: "power", mean: "power" };

const otherRule = (topic: Topic) => OTHER[RULES[topic.spec.rule] ?? ""] ?? "power";

/** How the other rule fared, how far it has been computed, or why it cannot be. */
function OtherTold({ rule, other: { told, error } }: { rule: string; other: ReturnType<typeof useOtherwise> }) {
  if (error) return <p class="note" role="status">Rule {rule}: {error}</p>;
  if (!told) return <p class="note" role="status">Computing what the rule {rule} would have said…</p>;
  const [own, given] = [told.mean_loss, told.given_mean_loss];
  return (
    <p class="note" role="status">
      Rule {rule}, with the chain’s own code on the recorded inputs{told.since_epoch ? ` since epoch ${told.since_epoch}` : " of every epoch"}:{" "}
      {told.scored && own !== null && given !== null && given !== 0
        ? <>mean loss <b>{number(own)}</b> against {number(given)} of the answers that were given, <b>{percent(Math.abs(own / given - 1))} {own > given ? "worse" : "better"}</b> over {told.scored} epochs</>
        : "no epoch was scored yet"}
      {told.missing ? `; the node does not keep the inputs of ${told.missing} of them, which are left out` : ""}
      {told.steps_left ? `; still computing, ${told.steps_left} steps to go` : ""}.
    </p>
  );
}

const NONE: Chart = { oldest: 0, next: 0, epochs: [], nonces: [], scored: [], naive: [], mean: [], median: [], low: [], high: [], loss: [], labels: 0, columns: [], members: [], others: { count: [], low: [], high: [], weight: [] } };

function Values({ topic, chart, rows, epochs, own, all, pulse }: { topic: Topic; chart: Chart | null; rows: Row[]; epochs: Epoch[]; own: string; all: (on: boolean) => void; pulse: Pulse }) {
  const [last, setLast] = useState(100);
  const [shown, show] = useState({ members: true, naive: false, mean: false, median: false, other: false });
  const rule = otherRule(topic);
  const drawn = chart ?? NONE;
  const other = useOtherwise(shown.other ? topic : null, rule, drawn.epochs[0] ?? 0, pulse.life);
  const answered = epochs.filter((e) => e.combined_at > 0);
  const marked = drawn.members.find((m) => m.address === own && m.values.some((v) => v !== null));
  const owner = marked ? marked.name || own.slice(0, 14) : "";
  const choices = rows.filter((r) => r.role !== "reputer").map((r): [string, string] => [r.address, r.name || r.address.slice(0, 14)]).sort((a, b) => a[1].localeCompare(b[1]));
  if (own && owner && !choices.some(([address]) => address === own)) choices.push([own, owner]);
  const lines = drawn.members.filter((m) => m.address !== own);
  const others = Math.max(0, ...drawn.others.count);
  const strokes: Stroke[] = [
    ...(others ? [{ name: "others from", values: drawn.others.low, colour: "--member", width: 0.5, dash: [2, 4], shown: shown.members }, { name: "others to", values: drawn.others.high, colour: "--member", width: 0.5, dash: [2, 4], shown: shown.members }] : []),
    ...lines.map((m): Stroke => ({ name: m.name, values: m.values, colour: "--member", width: 0.7, shown: shown.members })),
    { name: "low", values: drawn.low, colour: "--band", width: 0 },
    { name: "high", values: drawn.high, colour: "--band", width: 0 },
    { name: "mean", values: drawn.mean, colour: "--mean", width: 1.5, dash: [2, 3], shown: shown.mean },
    { name: "median", values: drawn.median, colour: "--median", width: 1.5, dash: [10, 3, 2, 3], shown: shown.median },
    { name: "naive", values: drawn.naive, colour: "--naive", width: 1.5, dash: [8, 4], shown: shown.naive },
    ...(marked ? [{ name: owner, values: marked.values, colour: "--own", width: 2.4 }] : []),
    { name: "network", values: drawn.columns[0]?.combined ?? [], colour: "--network", width: 2.2 },
    // On top of the network's line, which these often touch.
    { name: `rule ${rule}`, values: shown.other ? drawn.epochs.map((e) => other.said.get(e)?.columns[0]?.combined ?? null) : new Array<null>(drawn.epochs.length).fill(null), colour: "--other", width: 2, dash: [4, 4], shown: shown.other },
    ...(marked ? [{ name: `network without ${owner}`, values: marked.one_out ?? new Array<null>(drawn.epochs.length).fill(null), colour: "--own", width: 1.5, dash: [2, 5] }] : []),
    { name: "truth", values: drawn.columns[0]?.truth ?? [], colour: "--truth", dots: true },
  ];
  const band = strokes.findIndex((s) => s.name === "low");
  const toggle = (key: keyof typeof shown, name: string, mark: string) => (
    <label><input type="checkbox" checked={shown[key]} onChange={() => show({ ...shown, [key]: !shown[key] })} /><i class={`mark ${mark}`} aria-hidden="true" />{name}</label>
  );
  return (
    <section aria-label="Answers and truth">
      <h2>Answers and truth <small>{topic.spec.unit}, by epoch</small></h2>
      <div class="controls">
        <span><i class="mark truth" aria-hidden="true" />truth</span><span><i class="mark network" aria-hidden="true" />network, 95 % band</span>
        {toggle("members", "members", "member")}{toggle("naive", "without forecasters", "naive")}{toggle("mean", "plain mean", "mean")}{toggle("median", "median", "median")}{toggle("other", `what ${rule} would have said`, "other")}
        <label>highlight <select value={owner ? own : ""} onChange={(e) => { location.hash = `#/topic/${topic.topic_id}/mark/${e.currentTarget.value}`; }}>
          <option value="">nobody</option>
          {choices.map(([address, name]) => <option key={address} value={address}>{name}</option>)}
        </select></label>
        {owner ? <><span><i class="mark own" aria-hidden="true" />{owner}</span><span><i class="mark without" aria-hidden="true" />network without it</span></> : null}
        <Span value={last} set={(n) => { setLast(n); all(n === 0); }} />
      </div>
      {shown.other ? <OtherTold rule={rule} other={other} /> : null}
      {own && !owner ? <p class="note" role="status">{own} has not answered this topic yet. Its line appears with its first answer that counts.</p> : null}
      <Lines height={340} last={last} x={drawn.epochs} strokes={strokes} band={[band, band + 1]} unit={topic.spec.unit}
        label={drawn.epochs.length ? `Line chart of ${drawn.epochs.length} epochs up to epoch ${drawn.epochs[drawn.epochs.length - 1]}: truth, network inference with its 95 % band, and ${drawn.members.length} members, in ${topic.spec.unit}. The newest inference is ${number(drawn.columns[0]?.combined[drawn.epochs.length - 1])}.` : "No epochs yet"} />
      <p class="note">Drag to zoom, double-click to go back.{others ? ` The ${lines.length} members with the largest weights have lines; ${others} others lie between the dotted ones.` : ""}</p>
      <Table epochs={answered} unit={topic.spec.unit} />
    </section>
  );
}

function Table({ epochs, unit }: { epochs: Epoch[]; unit: string }) {
  return (
    <details><summary>The last ten as a table</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label="The last ten epochs"><table><thead><tr><th>epoch</th><th>network, {unit}</th><th>95 %</th><th>truth, {unit}</th><th>loss</th><th>state</th></tr></thead>
        <tbody>{epochs.slice(-10).reverse().map((e) => (
          <tr key={e.nonce}><td>{e.epoch}</td><td>{number(e.combined)}</td><td>{e.interval ? `${number(e.interval.p2)} … ${number(e.interval.p98)}` : "–"}</td><td>{number(e.truth)}</td><td>{number(e.network_loss)}</td><td>{e.state}{e.void_reason ? `: ${e.void_reason}` : ""}</td></tr>
        ))}</tbody></table></div>
    </details>
  );
}

/** Colour and stroke of a label: the first sixteen differ. */
const labelStyle = (i: number) => ({ colour: i % 4, stroke: (i + Math.floor(i / 4)) % 4 });
const DASHES: (number[] | undefined)[] = [undefined, [8, 4], [2, 3], [10, 3, 2, 3]];
const BORDERS = ["solid", "dashed", "dotted", "double"];

function Classes({ topic, chart, all, pulse }: { topic: Topic; chart: Chart | null; all: (on: boolean) => void; pulse: Pulse }) {
  const [last, setLast] = useState(50);
  const [asked, ask] = useState(false);
  const rule = otherRule(topic);
  const drawn = chart ?? NONE;
  const other = useOtherwise(asked ? topic : null, rule, drawn.epochs[0] ?? 0, pulse.life);
  const labels = drawn.columns.map((c) => c.label);
  const strokes: Stroke[] = drawn.columns.flatMap((column, i): Stroke[] => {
    const { colour, stroke } = labelStyle(i);
    const dash = DASHES[stroke];
    return [
      { name: column.label, values: column.combined, colour: `--label${colour}`, width: 1.6, ...(dash ? { dash } : {}) },
      { name: `${column.label} happened`, values: column.combined.map((said, k) => (column.truth[k] === 1 ? said : null)), colour: `--label${colour}`, dots: true },
    ];
  });
  // Above the answers that were given, which these often touch.
  strokes.push(...drawn.columns.map((column, i): Stroke => ({
    name: `${column.label}, rule ${rule}`, values: drawn.epochs.map((e) => (asked ? (other.said.get(e)?.columns.find((c) => c.label === column.label)?.combined ?? null) : null)),
    colour: `--label${labelStyle(i).colour}`, ring: true, shown: asked,
  })));
  // How often something happened, by how probable it was said to be.
  const bins = Array.from({ length: 5 }, (_, i) => ({ from: i / 5, said: 0, happened: 0 }));
  for (const column of drawn.columns) column.combined.forEach((said, k) => {
    const truth = column.truth[k] ?? null;
    const bin = said === null ? undefined : bins[Math.min(4, Math.floor(said * 5))];
    if (truth !== null && bin) {
      bin.said += 1;
      bin.happened += truth === 1 ? 1 : 0;
    }
  });
  return (
    <section aria-label="Probabilities by label">
      <h2>Probabilities <small>by epoch; a dot marks what happened, at the probability it was given</small></h2>
      <div class="controls">
        {labels.map((label, i) => <span key={label}><i class="mark" style={{ borderTop: `3px ${BORDERS[labelStyle(i).stroke]} var(--label${labelStyle(i).colour})` }} aria-hidden="true" />{label}</span>)}
        <label><input type="checkbox" checked={asked} onChange={() => ask(!asked)} /><i class="mark ring" aria-hidden="true" />what {rule} would have said</label>
        <Span value={last} set={(n) => { setLast(n); all(n === 0); }} />
      </div>
      {asked ? <OtherTold rule={rule} other={other} /> : null}
      <Lines height={340} last={last} x={drawn.epochs} strokes={strokes} unit="%" range={[-0.03, 1.03]}
        label={`Line chart of the probabilities of ${labels.join(", ")} over ${drawn.epochs.length} epochs of ${topic.spec.title}`} />
      {drawn.labels > labels.length ? <p class="note">The {labels.length} labels that are most probable now have lines; the answer has {drawn.labels}.</p> : null}
      <details><summary>Is 80 % right eight times in ten?</summary>
        <div class="scroll" tabIndex={0} role="region" aria-label="Calibration"><table><thead><tr><th>said</th><th>times</th><th>happened</th></tr></thead><tbody>
          {bins.map((b) => <tr key={b.from}><td>{percent(b.from, 0)} to {percent(b.from + 0.2, 0)}</td><td>{b.said}</td><td>{b.said ? percent(b.happened / b.said, 0) : "–"}</td></tr>)}
        </tbody></table></div>
      </details>
    </section>
  );
}

function Weights({ chart }: { chart: Chart | null }) {
  const drawn = chart ?? NONE;
  const from = Math.max(0, drawn.epochs.length - 200);
  const epochs = drawn.epochs.slice(from);
  const lists = drawn.members.map((m) => ({ name: m.name || m.address.slice(0, 12), values: m.weights.slice(from).map((w) => w ?? 0) }));
  const sum = (values: number[]) => values.reduce((all, v) => all + v, 0);
  const layers = lists.sort((a, b) => sum(b.values) - sum(a.values)).slice(0, LAYERS);
  layers.push({ name: "all others", values: epochs.map((_, k) => Math.max(0, 1 - layers.reduce((all, l) => all + (l.values[k] ?? 0), 0))) });
  return (
    <section aria-label="Weights over time">
      <h2>Whom it trusts <small>weights, epochs {epochs[0] ?? 0} to {epochs[epochs.length - 1] ?? 0}</small></h2>
      <Stack height={200} layers={layers} label={`Stacked weights over time; now ${layers.map((l) => `${l.name} ${percent(l.values[l.values.length - 1], 0)}`).join(", ")}`} />
    </section>
  );
}

function Timeline({ windows, topic, pulse }: { windows: Windows | null; topic: Topic; pulse: Pulse }) {
  const height = pulse.status?.height ?? 0;
  const left = Math.max(1, Math.max(windows?.next_epoch_block ?? 0, topic.next_epoch_block) - height);
  const wait = (blocks: number) => (pulse.blockMs ? `${Math.max(1, Math.round((Math.max(1, blocks) * pulse.blockMs) / 1000))} s` : "");
  const seconds = pulse.blockMs ? `next window in about ${wait(left)}` : "in how many seconds is known after a few blocks";
  const range = (a: number, b: number) => (a === b ? `block ${a}` : `blocks ${a}–${b}`);
  return (
    <section class="timeline" aria-label="Windows">
      <h2>What comes next</h2>
      <p>{topic.active ? <>Next question in <b>{left}</b> {left === 1 ? "block" : "blocks"}<br />{seconds}</> : <>The topic sleeps: {topic.inactive_reason || "inactive"}</>}</p>
      <ol>
        {(windows?.windows ?? []).slice(-4).map((w) => (
          <li key={w.nonce} class={w.state}><b>epoch {w.epoch}</b> {w.state !== "open" ? "waits for truth" : !w.seal_last ? "takes answers" : height < w.seal_last ? "takes sealed answers" : "opens sealed answers"}
            <Steps w={w} height={height} wait={wait} />
            <small>{w.seal_last ? <>sealed in {range(w.worker_first, w.seal_last)}, opened in {range(w.seal_last + 1, w.worker_last)}</> : <>answers in {range(w.worker_first, w.worker_last)}</>}, truth in {range(w.truth_first, w.truth_last)}</small></li>
        ))}
      </ol>
    </section>
  );
}

/** An epoch's way from its question to its score, with the part that is behind it. */
function Steps({ w, height, wait }: { w: Windows["windows"][number]; height: number; wait: (blocks: number) => string }) {
  const first = w.worker_first - 1;
  const all = Math.max(1, w.truth_last - first);
  const at = (block: number) => `${Math.min(100, Math.max(0, ((block - first) / all) * 100))}%`;
  const scored = w.truth_last - height;
  return (
    <span class="steps-bar" title={`asked in block ${first}, scored at the end of block ${w.truth_last}`}>
      <svg width="100%" height="12" role="img" aria-label={`block ${height} of ${first} to ${w.truth_last}`}>
        <rect x="0" y="3" width="100%" height="6" class="way" />
        <rect x={at(first)} y="3" width={`${((w.worker_last - first) / all) * 100}%`} height="6" class="answers" />
        <rect x={at(w.truth_first - 1)} y="3" width={`${((w.truth_last - w.truth_first + 1) / all) * 100}%`} height="6" class="truths" />
        <circle cx={at(height)} cy="6" r="5" class="now" />
      </svg>
      <small>scored with block {w.truth_last}{scored > 0 && wait(scored) ? `, in ${wait(scored)}` : ""}</small>
    </span>
  );
}

const ACTORS = 8;

/** From new tokens, funding and fees to everybody who was paid for the newest scored epoch. */
function Rewards({ topic, board, beat }: { topic: Topic; board: Board | null; beat: number }) {
  const emission = useAsk<QueryEmissionResponse>("/emission", Math.floor(beat / 10)).value;
  if (!board || board.epoch === null || !emission) return <section aria-label="Rewards" class="rewards"><h2>How pay flows</h2><p class="empty">{board?.epoch === null ? "Appears with the first scored epoch." : "Asking…"}</p></section>;
  const coins = (amount: bigint) => Number(amount / 10n ** 9n) / 1e9;
  const nodes: FlowNode[] = [];
  const links: FlowLink[] = [];
  const node = (id: string, column: number, name: string, amount: bigint, note = "") =>
    amount > 0n && nodes.push({ id, column, name: `${name}: ${allo(amount)}`, value: coins(amount), said: `${name}: ${exactAllo(amount)}${note}` });
  const link = (from: string, to: string, amount: bigint, said: string) => links.push({ from, to, value: coins(amount), said: `${said}: ${exactAllo(amount)}` });
  // All of it for the blocks of one epoch.
  const blocks = BigInt(Math.max(1, topic.spec.epoch_length));
  const [all, keepers, topics] = [whole(emission.block_emission) * blocks, whole(emission.block_validators) * blocks, whole(emission.block_topics) * blocks];
  const [could, paid] = [whole(board.budget), whole(board.reward)];
  const others = topics > could ? topics - could : 0n;
  const source = whole(emission.ecosystem_balance) >= whole(emission.block_emission) ? "funding and fees" : "new tokens";
  node("source", 0, source, all > 0n ? all : could, "; taken from the ecosystem account, where funding and fees go, and minted as far as that runs short");
  if (all > 0n) {
    node("keepers", 1, "validators of blocks", keepers);
    link("source", "keepers", keepers, "to validators and their delegators");
    node("others", 1, "other topics and subnets", others);
    link("source", "others", others, "to other topics and subnets");
  }
  node("topic", 1, `topic ${topic.topic_id}`, could);
  link("source", "topic", could, `to topic ${topic.topic_id}`);
  const roles = [
    ["inferers", "inferers", "inferer", board.inferers], ["forecasters", "forecasters", "forecaster", board.forecasters], ["reputers", "reputers and delegators", "reputer", board.reputers],
  ] as const;
  for (const [id, name, role, sum] of roles) {
    const total = whole(sum.paid);
    node(id, 2, name, total);
    link("topic", id, total, `to ${name}`);
    const earned = board.rows.filter((r) => r.role === role && whole(r.paid ?? "0") > 0n).sort((a, b) => (whole(b.paid ?? "0") > whole(a.paid ?? "0") ? 1 : -1)).slice(0, ACTORS);
    let rest = total;
    for (const r of earned) {
      const key = `${id}/${r.address}`;
      const amount = whole(r.paid ?? "0");
      rest -= amount;
      node(key, 3, r.name || r.address.slice(0, 12), amount);
      link(id, key, amount, r.name || r.address);
    }
    const others = sum.earners - earned.length;
    node(`${id}/rest`, 3, others === 1 ? "1 other" : `${others} others`, rest);
    link(id, `${id}/rest`, rest, "others");
  }
  if (could > paid) {
    node("kept", 2, "stays in the pot", could - paid);
    link("topic", "kept", could - paid, "stays in the pot");
  }
  return (
    <section aria-label="Rewards" class="rewards">
      <h2>How pay flows <small>ALLO, epoch {board.epoch}: {topic.spec.epoch_length} {topic.spec.epoch_length === 1 ? "block" : "blocks"} of emission</small></h2>
      <Flow nodes={nodes} links={links} height={280}
        label={`Of ${allo(all)} ALLO, topic ${topic.topic_id} received ${allo(could)} and paid ${allo(paid)}: ${roles.map(([, name, , sum]) => `${name} ${allo(sum.paid)}`).join(", ")}`} />
    </section>
  );
}

function Pay({ topic, board }: { topic: Topic; board: Board | null }) {
  const workers = whole(board?.inferers.paid ?? "0") + whole(board?.forecasters.paid ?? "0");
  const reputers = whole(board?.reputers.paid ?? "0");
  const line = (name: string, amount: string | bigint) => <div key={name}><dt>{name}</dt><dd title={exactAllo(amount)}>{allo(amount)} ALLO</dd></div>;
  return (
    <section aria-label="Pay">
      <h2>Where the pay goes <small>{board && board.epoch !== null ? `epoch ${board.epoch}` : ""}</small></h2>
      <dl class="figures">
        {line("to workers", workers)}{line("to reputers", reputers)}{line("waiting in the pot", topic.pot)}{line("paid so far", topic.paid)}{line("funded by consumers", topic.funded)}{line("stake behind the truth", topic.stake)}
      </dl>
    </section>
  );
}

function Members({ topic, board, own }: { topic: Topic; board: Board | null; own: string }) {
  const rows = board?.rows ?? [];
  const rank = (r: Row) => (r.role === "reputer" ? -1 : (r.weight ?? 0));
  const sorted = [...rows].sort((a, b) => rank(b) - rank(a) || a.name.localeCompare(b.name));
  return (
    <section aria-label="Leaderboard">
      <h2>Leaderboard <small>click a name: why? Pay in ALLO</small></h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Members of the topic">
        <table class="board">
          <thead><tr><th scope="col">member</th><th scope="col">role</th><th scope="col">weight</th><th scope="col" title="how wrong it was, newer epochs counting more">mean loss</th><th scope="col" title="smoothed score: what the network’s loss gained by it; below 0 the network was better without it">contribution</th><th scope="col" title="in the newest scored epoch">last pay</th><th scope="col">earned</th><th scope="col" title="epochs in which its answer counted">heard</th><th scope="col" title="epochs without an answer since its first">missed</th></tr></thead>
          <tbody>{sorted.map((r) => (
            <tr key={`${r.role}/${r.address}`} class={r.address === own ? "own" : undefined}>
              <th scope="row"><a href={`#/topic/${topic.topic_id}/why/${r.address}`} title={r.name || r.address}>{r.name || r.address.slice(0, 14)}</a></th>
              <td>{r.role}</td>
              <td class="weight">{r.role === "reputer" ? "–" : <><span class="bar" aria-hidden="true"><i style={{ width: `${Math.min(100, (r.weight ?? 0) * 100)}%` }} /></span><b>{percent(r.weight)}</b></>}</td>
              <td title={String(r.running_loss ?? "")}>{r.role === "reputer" ? "–" : number(r.running_loss)}</td>
              <td title={String(r.score ?? "")}>{number(r.score)}</td>
              <td title={exactAllo(r.paid ?? "0")}>{r.paid === null ? "–" : allo(r.paid)}</td>
              <td title={exactAllo(r.earned)}>{allo(r.earned)}</td>
              <td>{r.submitted}</td><td>{r.missed}</td>
            </tr>
          ))}</tbody>
        </table>
      </div>
      {board && !board.complete ? <p class="note">Of {topic.inferers} inferers, {topic.forecasters} forecasters and {topic.reputers} reputers, those with the largest weights, pay and stake now; the search finds others by name or address.</p> : null}
    </section>
  );
}
