// The live page of a topic: what the network says, how right it was, whom it trusts, who earns, and what comes next.
import { useState } from "preact/hooks";
import { Lines, Stack, type Stroke } from "../chart";
import { RULES, useAsk, useEpochs, type Epoch, type Pulse, type Row, type Topic, type Windows } from "../node";
import { allo, exactAllo, number, percent, whole } from "../units";
import { Why } from "./why";

const LAYERS = 7;

export function TopicPage({ id, why, mark, pulse }: { id: string; why: string[] | null; mark: string | null; pulse: Pulse }) {
  // What is highlighted stays so while a drawer has the address.
  const [own, setOwn] = useState({ id, mark });
  if (own.id !== id || (mark !== null && own.mark !== mark)) setOwn({ id, mark });
  const beat = pulse.status?.height ?? 0;
  const topics = useAsk<{ topics: Topic[] }>("/topics?limit=50", `${beat}/${pulse.life}`);
  const topic = topics.value?.topics.find((t) => String(t.topic_id) === id) ?? null;
  const { epochs, loading } = useEpochs(topic, beat, pulse.life);
  const board = useAsk<{ rows: Row[] }>(topic ? `/topics/${id}/leaderboard?limit=200` : null, beat);
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
          {topic.spec.classification ? <Classes topic={topic} epochs={epochs} /> : <Values topic={topic} epochs={epochs} own={own.mark ?? ""} />}
          <Weights epochs={epochs} />
        </div>
        <aside>
          <Timeline windows={windows.value} topic={topic} pulse={pulse} />
          <Pay topic={topic} epochs={epochs} />
        </aside>
      </div>
      <Board topic={topic} own={own.mark ?? ""} rows={board.value?.rows ?? []} newest={epochs.findLast((e) => e.state === "scored") ?? null} />
      {why && why[0] ? <Why topic={topic} address={why[0]} nonce={why[1] ?? ""} beat={why[1] ? 0 : beat} /> : null}
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

function Values({ topic, epochs, own }: { topic: Topic; epochs: Epoch[]; own: string }) {
  const [last, setLast] = useState(100);
  const [shown, show] = useState({ members: true, naive: false, mean: false, median: false });
  const answered = epochs.filter((e) => e.combined_at > 0);
  const members = [...new Map(answered.flatMap((e) => e.parts.map((p) => [p.address, p.name] as const))).entries()].sort();
  const index = new Map(members.map(([address], i) => [address, i]));
  const lines: (number | null)[][] = members.map(() => new Array<number | null>(answered.length).fill(null));
  answered.forEach((e, k) => e.parts.forEach((p) => {
    const line = lines[index.get(p.address) ?? -1];
    if (line) line[k] = p.value;
  }));
  const of = (pick: (e: Epoch) => number | null | undefined) => answered.map((e) => pick(e) ?? null);
  const part = (e: Epoch) => e.parts.find((p) => p.address === own);
  const owner = members.find(([address]) => address === own)?.[1] ?? "";
  const strokes: Stroke[] = [
    ...members.map(([, name], i): Stroke => ({ name, values: lines[i] ?? [], colour: "--member", width: 0.7, shown: shown.members })),
    { name: "low", values: of((e) => e.interval?.p2), colour: "--band", width: 0 },
    { name: "high", values: of((e) => e.interval?.p98), colour: "--band", width: 0 },
    { name: "mean", values: of((e) => e.mean), colour: "--mean", width: 1.5, dash: [2, 3], shown: shown.mean },
    { name: "median", values: of((e) => e.median), colour: "--median", width: 1.5, dash: [10, 3, 2, 3], shown: shown.median },
    { name: "naive", values: of((e) => e.naive), colour: "--naive", width: 1.5, dash: [8, 4], shown: shown.naive },
    ...(owner ? [{ name: owner, values: of((e) => part(e)?.value), colour: "--own", width: 2.4 }] : []),
    { name: "network", values: of((e) => e.combined), colour: "--network", width: 2.2 },
    // On top of the network's line, which it often touches.
    ...(owner ? [{ name: `network without ${owner}`, values: of((e) => part(e)?.one_out), colour: "--own", width: 1.5, dash: [2, 5] }] : []),
    { name: "truth", values: of((e) => e.truth), colour: "--truth", dots: true },
  ];
  const newest = answered[answered.length - 1];
  const toggle = (key: keyof typeof shown, name: string, mark: string) => (
    <label><input type="checkbox" checked={shown[key]} onChange={() => show({ ...shown, [key]: !shown[key] })} /><i class={`mark ${mark}`} aria-hidden="true" />{name}</label>
  );
  return (
    <section aria-label="Answers and truth">
      <h2>Answers and truth <small>{topic.spec.unit}, by epoch</small></h2>
      <div class="controls">
        <span><i class="mark truth" aria-hidden="true" />truth</span><span><i class="mark network" aria-hidden="true" />network, 95 % band</span>
        {toggle("members", "members", "member")}{toggle("naive", "without forecasters", "naive")}{toggle("mean", "plain mean", "mean")}{toggle("median", "median", "median")}
        <label>highlight <select value={owner ? own : ""} onChange={(e) => { location.hash = `#/topic/${topic.topic_id}/mark/${e.currentTarget.value}`; }}>
          <option value="">nobody</option>
          {members.map(([address, name]) => <option key={address} value={address}>{name || address.slice(0, 14)}</option>)}
        </select></label>
        {owner ? <><span><i class="mark own" aria-hidden="true" />{owner}</span><span><i class="mark without" aria-hidden="true" />network without it</span></> : null}
        <Span value={last} set={setLast} />
      </div>
      {own && !owner ? <p class="note" role="status">{own} has not answered this topic yet. Its line appears with its first answer that counts.</p> : null}
      <Lines height={340} last={last} x={answered.map((e) => e.epoch)} strokes={strokes} band={[members.length, members.length + 1]} unit={topic.spec.unit}
        label={newest ? `Line chart of ${answered.length} epochs up to epoch ${newest.epoch}: truth, network inference with its 95 % band, and ${members.length} members, in ${topic.spec.unit}. The newest inference is ${number(newest.combined)}.` : "No epochs yet"} />
      <p class="note">Drag to zoom, double-click to go back.</p>
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

const LABEL_STROKES: [string, number[] | undefined][] = [["--label0", undefined], ["--label1", [8, 4]], ["--label2", [2, 3]], ["--label3", [10, 3, 2, 3]]];

function Classes({ topic, epochs }: { topic: Topic; epochs: Epoch[] }) {
  const [last, setLast] = useState(50);
  const answered = epochs.filter((e) => e.combined_at > 0 && e.columns.length > 0);
  const labels = [...new Set(answered.flatMap((e) => e.columns.map((c) => c.label)))];
  const column = (e: Epoch, label: string) => e.columns.find((c) => c.label === label);
  const style = (i: number) => LABEL_STROKES[i % LABEL_STROKES.length] ?? ["--label0", undefined];
  const strokes: Stroke[] = labels.flatMap((label, i): Stroke[] => {
    const [colour, dash] = style(i);
    return [
      { name: label, values: answered.map((e) => column(e, label)?.combined ?? null), colour, width: 1.6, ...(dash ? { dash } : {}) },
      { name: `${label} happened`, values: answered.map((e) => (column(e, label)?.truth === 1 ? (column(e, label)?.combined ?? null) : null)), colour, dots: true },
    ];
  });
  // How often something happened, by how probable it was said to be.
  const bins = Array.from({ length: 5 }, (_, i) => ({ from: i / 5, said: 0, happened: 0 }));
  for (const e of answered) for (const c of e.columns) {
    const bin = bins[Math.min(4, Math.floor(c.combined * 5))];
    if (c.truth !== null && bin) {
      bin.said += 1;
      bin.happened += c.truth === 1 ? 1 : 0;
    }
  }
  return (
    <section aria-label="Probabilities by label">
      <h2>Probabilities <small>by epoch; a dot marks what happened, at the probability it was given</small></h2>
      <div class="controls">
        {labels.map((label, i) => <span key={label}><i class={`mark label${i % 4}`} aria-hidden="true" />{label}</span>)}
        <Span value={last} set={setLast} />
      </div>
      <Lines height={340} last={last} x={answered.map((e) => e.epoch)} strokes={strokes} unit="%" range={[-0.03, 1.03]}
        label={`Line chart of the probabilities of ${labels.join(", ")} over ${answered.length} epochs of ${topic.spec.title}`} />
      <details><summary>Is 80 % right eight times in ten?</summary>
        <div class="scroll" tabIndex={0} role="region" aria-label="Calibration"><table><thead><tr><th>said</th><th>times</th><th>happened</th></tr></thead><tbody>
          {bins.map((b) => <tr key={b.from}><td>{percent(b.from, 0)} to {percent(b.from + 0.2, 0)}</td><td>{b.said}</td><td>{b.said ? percent(b.happened / b.said, 0) : "–"}</td></tr>)}
        </tbody></table></div>
      </details>
    </section>
  );
}

function Weights({ epochs }: { epochs: Epoch[] }) {
  const answered = epochs.filter((e) => e.combined_at > 0).slice(-200);
  const newest = answered[answered.length - 1];
  const total = new Map<string, { name: string; sum: number }>();
  for (const e of answered) for (const p of e.parts) {
    const entry = total.get(p.address) ?? { name: p.name || p.address.slice(0, 12), sum: 0 };
    entry.sum += p.weight;
    total.set(p.address, entry);
  }
  const top = [...total].sort((a, b) => b[1].sum - a[1].sum).slice(0, LAYERS);
  const layers = top.map(([address, { name }]) => ({ name, values: answered.map((e) => e.parts.find((p) => p.address === address)?.weight ?? 0) }));
  const others = answered.map((e, k) => Math.max(0, e.parts.reduce((sum, p) => sum + p.weight, 0) - layers.reduce((sum, l) => sum + (l.values[k] ?? 0), 0)));
  layers.push({ name: "all others", values: others });
  return (
    <section aria-label="Weights over time">
      <h2>Whom it trusts <small>weights, epochs {answered[0]?.epoch ?? 0} to {newest?.epoch ?? 0}</small></h2>
      <Stack height={200} layers={layers} label={`Stacked weights over time; now ${layers.map((l) => `${l.name} ${percent(l.values[l.values.length - 1], 0)}`).join(", ")}`} />
    </section>
  );
}

function Timeline({ windows, topic, pulse }: { windows: Windows | null; topic: Topic; pulse: Pulse }) {
  const height = pulse.status?.height ?? 0;
  const left = Math.max(1, (windows?.next_epoch_block ?? topic.next_epoch_block) - (windows?.height ?? height));
  const seconds = pulse.blockMs ? `about ${Math.max(1, Math.round((left * pulse.blockMs) / 1000))} s` : "in how many seconds is known after a few blocks";
  const range = (a: number, b: number) => (a === b ? `block ${a}` : `blocks ${a}–${b}`);
  return (
    <section class="timeline" aria-label="Windows">
      <h2>What comes next</h2>
      <p>{topic.active ? <>Next question in <b>{left}</b> {left === 1 ? "block" : "blocks"}<br />{seconds}</> : <>The topic sleeps: {topic.inactive_reason || "inactive"}</>}</p>
      <ol>
        {(windows?.windows ?? []).slice(-4).map((w) => (
          <li key={w.nonce} class={w.state}><b>epoch {w.epoch}</b> {w.state === "open" ? "takes answers" : "waits for truth"}
            <small>answers in {range(w.worker_first, w.worker_last)}, truth in {range(w.truth_first, w.truth_last)}</small></li>
        ))}
      </ol>
    </section>
  );
}

function Pay({ topic, epochs }: { topic: Topic; epochs: Epoch[] }) {
  const scored = epochs.findLast((e) => e.state === "scored");
  const sum = (rewards: string[]) => rewards.reduce((all, one) => all + whole(one), 0n);
  const workers = scored ? sum(scored.parts.map((p) => p.reward)) : 0n;
  const reputers = scored ? sum(scored.truths.map((t) => t.reward)) : 0n;
  const line = (name: string, amount: string | bigint) => <div key={name}><dt>{name}</dt><dd title={exactAllo(amount)}>{allo(amount)} ALLO</dd></div>;
  return (
    <section aria-label="Pay">
      <h2>Where the pay goes <small>{scored ? `epoch ${scored.epoch}` : ""}</small></h2>
      <dl class="figures">
        {line("to workers", workers)}{line("to reputers", reputers)}{line("waiting in the pot", topic.pot)}{line("paid so far", topic.paid)}{line("funded by consumers", topic.funded)}{line("stake behind the truth", topic.stake)}
      </dl>
    </section>
  );
}

function Board({ topic, rows, newest, own }: { topic: Topic; rows: Row[]; newest: Epoch | null; own: string }) {
  const last = new Map<string, string>();
  for (const p of newest?.parts ?? []) last.set(p.address, p.reward);
  for (const t of newest?.truths ?? []) last.set(t.address, t.reward);
  const rank = (r: Row) => (r.role === "reputer" ? -1 : (r.weight ?? 0));
  const sorted = [...rows].sort((a, b) => rank(b) - rank(a) || a.name.localeCompare(b.name));
  return (
    <section aria-label="Leaderboard">
      <h2>Leaderboard <small>click a name: why?</small></h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Members of the topic">
        <table class="board">
          <thead><tr><th scope="col">member</th><th scope="col">role</th><th scope="col">weight</th><th scope="col">mean loss</th><th scope="col" title="smoothed score: what the network's loss gained by it">contribution</th><th scope="col">last pay, ALLO</th><th scope="col">earned, ALLO</th><th scope="col">heard</th><th scope="col">missed</th></tr></thead>
          <tbody>{sorted.map((r) => (
            <tr key={`${r.role}/${r.address}`} class={r.address === own ? "own" : undefined}>
              <th scope="row"><a href={`#/topic/${topic.topic_id}/why/${r.address}`}>{r.name || r.address.slice(0, 14)}</a></th>
              <td>{r.role}</td>
              <td class="weight">{r.role === "reputer" ? "–" : <><span class="bar" aria-hidden="true"><i style={{ width: `${Math.min(100, (r.weight ?? 0) * 100)}%` }} /></span><b>{percent(r.weight)}</b></>}</td>
              <td title={String(r.running_loss ?? "")}>{r.role === "reputer" ? "–" : number(r.running_loss)}</td>
              <td title={String(r.score ?? "")}>{number(r.score)}</td>
              <td title={exactAllo(last.get(r.address) ?? "0")}>{allo(last.get(r.address) ?? "0")}</td>
              <td title={exactAllo(r.earned)}>{allo(r.earned)}</td>
              <td>{r.submitted}</td><td>{r.missed}</td>
            </tr>
          ))}</tbody>
        </table>
      </div>
    </section>
  );
}
