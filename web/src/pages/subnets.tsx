// Subnets: what markets of production there are, and one of them: who judges whom, what the pool is worth, who is paid,
// and who would have to leave for a newcomer.
import { useEffect, useRef, useState } from "preact/hooks";
import { Lines, Stack } from "../chart";
import { Flow, type FlowLink, type FlowNode } from "../flow";
import { page, useAsk, type Pulse } from "../node";
import { Figure, Scroll, useTheme, useWidth } from "../parts";
import type { Identity, Neuron, QueryMetagraphResponse, QuerySubnetsResponse, Subnet } from "../schema/subnets";
import { allo, exactAllo, exactToken, number, percent, short, token } from "../units";

interface History {
  since: number; height: number;
  samples: { height: number; price: string; pool_tao: string; pool_alpha: string }[];
  epochs: { epoch: number; height: number; miners: string; validators: string; root: string; owner: string; withheld: string }[];
}
/** Parts of 65 535, as the chain stores scores. */
const FULL = 65_535;
const TOKEN = 1e9;
const RESTS = new Set(["registered", "started"]);

const called = (s: Subnet) => s.name || `subnet ${s.netuid}`;
const tokens = (text: string) => Number(text) / TOKEN;

export function Subnets({ pulse }: { pulse: Pulse }) {
  const asked = useAsk<QuerySubnetsResponse>("/subnets?limit=200", `${pulse.status?.height ?? 0}/${pulse.life}`);
  const { value, error } = asked;
  if (!value) return <p class="empty">{error ? `Subnets: ${error.message}` : pulse.lost ? "No node answers at this address." : "Asking…"}</p>;
  const next = value.create_from_block > value.height + 1 ? `from block ${value.create_from_block} on` : "now";
  return (
    <>
      <h1>Subnets <small>markets in which validators judge what miners make</small></h1>
      <p class="note">Emission flows into every subnet’s pool, and to its miners and validators by that judgement, in a token of the subnet’s own. Whoever stakes in a subnet buys that token from the pool: its price says how much ALLO one is worth.</p>
      <dl class="figures row">
        <Figure name="subnets, of at most">{value.subnets.length} of {value.limit}</Figure>
        <Figure name="a new one costs"><span title={exactAllo(value.create_cost)}>{allo(value.create_cost)} ALLO</span></Figure>
        <Figure name="can be created">{next}</Figure>
        <Figure name="and would replace">{value.replaces ? <a href={`#/subnet/${value.replaces}`}>subnet {value.replaces}</a> : "none, there is room"}</Figure>
      </dl>
      {value.subnets.length === 0 ? <p class="empty">There is no subnet yet. Somebody has to create the first: <code>dodona subnet create NAME --hotkey KEY --key OWNER</code></p> : (
        <Scroll name="All subnets"><table>
          <thead><tr><th scope="col">subnet</th><th scope="col" class="say">state</th><th scope="col">price, ALLO</th><th scope="col">in the pool, ALLO</th><th scope="col" title="the subnet’s part of the emission of every block">ALLO a block</th><th scope="col">neurons</th><th scope="col">to register, ALLO</th><th scope="col">next epoch</th><th scope="col" title="its place among the subnets that may have to make room for a new one">leaves as</th></tr></thead>
          <tbody>{value.subnets.map((s) => (
            <tr key={s.netuid}>
              <th scope="row"><a href={`#/subnet/${s.netuid}`}>{s.netuid} · {called(s)}</a></th><td class="say">{s.state}</td>
              <td title={s.price}>{number(Number(s.price))}</td><td title={exactToken(s.pool_tao, "ALLO")}>{token(s.pool_tao)}</td><td title={exactToken(s.tao_per_block, "ALLO")}>{token(s.tao_per_block)}</td>
              <td>{s.neurons}</td><td title={exactAllo(s.registration_cost)}>{allo(s.registration_cost)}</td><td>{s.next_epoch ? `block ${s.next_epoch}` : "–"}</td><td>{leaves(s)}</td>
            </tr>
          ))}</tbody></table></Scroll>
      )}
    </>
  );
}

const leaves = (s: Subnet) => (s.deregistration_rank ? `${s.deregistration_rank}. of ${s.deregistration_of}` : "not now");

export function SubnetPage({ id, pulse }: { id: string; pulse: Pulse }) {
  const height = pulse.status?.height ?? 0;
  const path = `/subnets/${encodeURIComponent(id)}`;
  const asked = useAsk<Subnet>(path, `${height}/${pulse.life}`);
  const { value: subnet, error } = asked;
  // Scores, weights and pay move with epochs; registrations and commits now and then in between.
  const beat = `${subnet?.epochs ?? 0}/${Math.floor(height / 5)}/${pulse.life}`;
  const graph = useAsk<QueryMetagraphResponse>(subnet ? `${path}/metagraph?weights=true` : null, beat);
  const history = useAsk<History>(subnet ? `${path}/history?points=300` : null, beat);
  if (!subnet) return <p class="empty">{error ? `Subnet ${id}: ${error.message}` : pulse.lost ? "No node answers at this address." : "Asking…"}{error ? <> <a href="#/subnets">All subnets</a></> : null}</p>;
  const neurons = graph.value?.neurons ?? [];
  return (
    <>
      <h1>Subnet {subnet.netuid} · {called(subnet)} <small>{subnet.state}{RESTS.has(subnet.state) ? "" : `, epoch ${subnet.epochs}`}</small></h1>
      <p><a href="#/subnets">All subnets</a> · owner <a href={`#/account/${subnet.owner}`} title={subnet.owner}>{short(subnet.owner)}</a> · since block {subnet.registered} · its token is {subnet.symbol} · <a href={`#/wallet/subnet/${subnet.netuid}`}>stake in it</a></p>
      <Said identity={subnet.identity} />
      <dl class="figures row">
        <Figure name="price of its token"><span title={subnet.price}>{number(Number(subnet.price))} ALLO</span></Figure>
        <Figure name="averaged price"><span title={subnet.average_price}>{number(Number(subnet.average_price))} ALLO</span></Figure>
        <Figure name="in the pool"><span title={`${exactToken(subnet.pool_tao, "ALLO")}; ${exactToken(subnet.pool_alpha, "of its token")}`}>{token(subnet.pool_tao)} ALLO, {token(subnet.pool_alpha)} of its token</span></Figure>
        <Figure name="of its token outside"><span title={exactToken(subnet.alpha_out, "of its token")}>{token(subnet.alpha_out)}</span></Figure>
        <Figure name="emission a block"><span title={`${exactToken(subnet.tao_per_block, "ALLO")} into the pool; ${exactToken(subnet.alpha_per_block, "of its token")} outside`}>{token(subnet.tao_per_block)} ALLO, {token(subnet.alpha_per_block)} of its token</span></Figure>
        <Figure name="next epoch">{subnet.next_epoch ? `block ${subnet.next_epoch}${away(subnet.next_epoch, pulse)}` : "not started"}</Figure>
        <Figure name="to register, in the next block"><span title={exactAllo(subnet.registration_cost)}>{allo(subnet.registration_cost)} ALLO</span></Figure>
        <Figure name="place among those that may have to leave">{subnet.deregistration_rank ? <b>{leaves(subnet)}</b> : height < subnet.prunable_from ? `protected until block ${subnet.prunable_from}` : "not among them"}</Figure>
      </dl>
      <Pool history={history.value} />
      <PaidOut subnet={subnet} history={history.value} neurons={neurons} />
      <Judgement neurons={neurons} loading={!graph.value} />
      <Metagraph subnet={subnet} neurons={neurons} height={height} />
      <details><summary>{subnet.hyperparameters.length} hyperparameters</summary>
        <Scroll name="Hyperparameters"><table><thead><tr><th scope="col">name</th><th scope="col">value</th></tr></thead><tbody>{subnet.hyperparameters.map((h) => <tr key={h.name}><th scope="row">{h.name}</th><td>{h.value}</td></tr>)}</tbody></table></Scroll>
      </details>
    </>
  );
}

/** What the owner says of it: nobody has checked that. The chain takes addresses of pages only if they begin with http. */
function Said({ identity }: { identity: Identity | null }) {
  if (!identity) return null;
  const pages = [["page", identity.url], ["source", identity.repository]].filter(([, at]) => at);
  return <p class="said">{identity.description}{pages.map(([name, at]) => <> · <a href={at} rel="noopener noreferrer nofollow">{name}</a></>)}{identity.contact ? ` · ${identity.contact}` : ""}</p>;
}

function away(block: number, pulse: Pulse): string {
  const left = block - (pulse.status?.height ?? 0);
  return pulse.blockMs && left > 0 ? `, in ${Math.max(1, Math.round((left * pulse.blockMs) / 1000))} s` : "";
}

function Pool({ history }: { history: History | null }) {
  const samples = history?.samples ?? [];
  const x = samples.map((s) => s.height);
  const newest = samples[samples.length - 1];
  return (
    <section aria-label="The pool">
      <h2>The pool <small>{history ? `by block, since block ${samples[0]?.height ?? history.height}, as far as this node has kept it` : ""}</small></h2>
      {samples.length < 2 ? <p class="empty plot-room">The chart begins with the second sample; there is one every ten blocks.</p> : (
        <div class="pair">
          <figure><figcaption>Price of its token, ALLO</figcaption>
            <Lines height={180} last={0} x={x} unit="ALLO" strokes={[{ name: "price", values: samples.map((s) => Number(s.price)), colour: "--network", width: 2 }]}
              label={`Line chart of the price of the subnet's token over ${samples.length} samples; now ${number(Number(newest?.price))} ALLO`} /></figure>
          <figure><figcaption><i class="mark network" aria-hidden="true" />ALLO and <i class="mark naive" aria-hidden="true" />its own token in the pool</figcaption>
            <Lines height={180} last={0} x={x} unit="ALLO" strokes={[{ name: "ALLO", values: samples.map((s) => tokens(s.pool_tao)), colour: "--network", width: 2 }, { name: "its token", values: samples.map((s) => tokens(s.pool_alpha)), colour: "--naive", width: 1.5, dash: [8, 4] }]}
              label={`Line chart of what lies in the pool over ${samples.length} samples; now ${token(newest?.pool_tao ?? "0")} ALLO and ${token(newest?.pool_alpha ?? "0")} of its token`} /></figure>
        </div>
      )}
    </section>
  );
}

const ROLES: ["miners" | "validators" | "root" | "owner" | "withheld", string][] = [["miners", "miners"], ["validators", "validators"], ["root", "stake at the root"], ["owner", "owner"], ["withheld", "nobody (withheld)"]];
const ACTORS = 7;

function PaidOut({ subnet, history, neurons }: { subnet: Subnet; history: History | null; neurons: Neuron[] }) {
  const epochs = history?.epochs ?? [];
  const newest = epochs[epochs.length - 1];
  if (!newest) return <section aria-label="Pay"><h2>Where emission goes</h2><p class="empty">{history ? "No epoch has paid anybody yet." : "Asking…"}</p></section>;
  const part = (e: (typeof epochs)[number], role: (typeof ROLES)[number][0]) => Number(e[role]);
  const total = (e: (typeof epochs)[number]) => ROLES.reduce((sum, [role]) => sum + part(e, role), 0);
  const said = (name: string, value: number) => `${name}: ${token(String(Math.round(value)))}`;
  const nodes: FlowNode[] = [{ id: "all", column: 0, name: `epoch ${newest.epoch}: ${token(String(total(newest)))}`, value: total(newest), said: `epoch ${newest.epoch} paid ${token(String(total(newest)))} of the subnet's token` }];
  const links: FlowLink[] = [];
  for (const [role, name] of ROLES) {
    const value = part(newest, role);
    nodes.push({ id: role, column: 1, name, value, said: said(name, value) });
    links.push({ from: "all", to: role, value, said: said(name, value) });
  }
  const actors = (role: "miners" | "validators", score: (n: Neuron) => number) => {
    const sum = neurons.reduce((all, n) => all + score(n), 0);
    if (sum === 0) return;
    const sorted = neurons.filter((n) => score(n) > 0).sort((a, b) => score(b) - score(a));
    const shown = sorted.slice(0, ACTORS);
    const rest = sorted.slice(ACTORS).reduce((all, n) => all + score(n), 0);
    const add = (id: string, name: string, share: number) => {
      const value = (part(newest, role) * share) / sum;
      nodes.push({ id, column: 2, name, value, said: said(name, value) });
      links.push({ from: role, to: id, value, said: said(name, value) });
    };
    for (const n of shown) add(`${role}${n.uid}`, `uid ${n.uid}: ${percent(score(n) / sum, 0)}`, score(n));
    if (rest > 0) add(`${role}rest`, sorted.length - ACTORS === 1 ? "1 other" : `${sorted.length - ACTORS} others`, rest);
  };
  actors("miners", (n) => n.incentive);
  actors("validators", (n) => n.dividends);
  const recent = epochs.slice(-100).filter((e) => total(e) > 0);
  const layers = ROLES.map(([role, name]) => ({ name, values: recent.map((e) => part(e, role) / total(e)) }));
  return (
    <section aria-label="Pay">
      <h2>Where emission goes <small>in the subnet’s token; neurons by incentive and dividends of the newest epoch</small></h2>
      <Flow nodes={nodes} links={links} height={220} label={`Epoch ${newest.epoch} paid ${ROLES.map(([role, name]) => said(name, part(newest, role))).join(", ")}`} />
      {recent.length > 1 ? <><h3>Shares, epochs {recent[0]?.epoch} to {newest.epoch}</h3><Stack height={120} layers={layers} label={`Stacked shares of pay; now ${layers.map((l) => `${l.name} ${percent(l.values[l.values.length - 1], 0)}`).join(", ")}`} /></> : null}
      <p class="note">{token(subnet.alpha_pending)} of its token wait for the next epoch.</p>
    </section>
  );
}

/** Who judges whom: a row for each judge, a column for each of those it judges; the darker the more. */
function Judgement({ neurons, loading }: { neurons: Neuron[]; loading: boolean }) {
  const [what, set] = useState<"weights" | "bonds">("weights");
  const [told, tell] = useState("");
  const theme = useTheme();
  const [room, width] = useWidth();
  const canvas = useRef<HTMLCanvasElement>(null);
  const rows = neurons.filter((n) => n[what].length > 0);
  const columns = [...new Set(rows.flatMap((n) => n[what].map((e) => e.uid)))].sort((a, b) => a - b);
  // Weights are told in parts of 65 535 of the largest, bonds in parts of all; each row is shown against its sum.
  const shares = rows.map((n) => {
    const sum = n[what].reduce((all, e) => all + e.value, 0);
    return new Map(n[what].map((e) => [e.uid, sum > 0 ? e.value / sum : 0]));
  });
  const top = Math.max(1e-9, ...shares.flatMap((row) => [...row.values()]));
  const head = 46;
  const cell = Math.max(3, Math.min(34, Math.floor((width - head) / Math.max(1, columns.length))));
  const tall = Math.max(10, Math.min(28, cell));
  const size = { width: head + cell * columns.length, height: 20 + tall * rows.length };
  useEffect(() => {
    const board = canvas.current;
    const pen = board?.getContext("2d");
    if (!board || !pen || width === 0) return;
    const ratio = Math.min(3, devicePixelRatio || 1);
    board.width = Math.round(size.width * ratio);
    board.height = Math.round(size.height * ratio);
    const style = getComputedStyle(document.documentElement);
    const [ink, quiet, line] = ["--network", "--quiet", "--line"].map((name) => style.getPropertyValue(name).trim() || "gray");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, size.width, size.height);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const step = Math.max(1, Math.ceil(26 / cell));
    pen.fillStyle = quiet ?? "gray";
    columns.forEach((uid, k) => { if (k % step === 0) pen.fillText(String(uid), head + k * cell + 1, 9); });
    rows.forEach((n, i) => {
      pen.globalAlpha = 1;
      pen.fillStyle = quiet ?? "gray";
      pen.fillText(`uid ${n.uid}`, 0, 20 + i * tall + tall / 2);
      columns.forEach((uid, k) => {
        const share = shares[i]?.get(uid) ?? 0;
        pen.globalAlpha = 1;
        pen.fillStyle = line ?? "gray";
        pen.fillRect(head + k * cell, 20 + i * tall, cell - 1, tall - 1);
        pen.globalAlpha = share / top;
        pen.fillStyle = ink ?? "blue";
        pen.fillRect(head + k * cell, 20 + i * tall, cell - 1, tall - 1);
      });
    });
  }, [JSON.stringify([what, rows.map((n) => [n.uid, n[what]])]), width, theme]);
  const look = (event: PointerEvent) => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const [i, k] = [Math.floor((event.clientY - box.top - 20) / tall), Math.floor((event.clientX - box.left - head) / cell)];
    const [row, column] = [rows[i], columns[k]];
    tell(row && column !== undefined ? `uid ${row.uid} on uid ${column}: ${percent(shares[i]?.get(column) ?? 0, 2)}` : "");
  };
  return (
    <section aria-label="Who judges whom">
      <h2>Who judges whom <small>a row for each judge, a column for each judged; darker is more of the row</small></h2>
      <div class="controls">
        <fieldset class="choice left"><legend>Show</legend>
          {(["weights", "bonds"] as const).map((name) => <label key={name}><input type="radio" name="judgement" checked={what === name} onChange={() => set(name)} />{name}</label>)}
        </fieldset>
        <span class="note" aria-hidden="true">{told}</span>
      </div>
      <div ref={room}>
        {rows.length === 0 ? <p class="empty">{loading ? "Asking…" : what === "weights" ? "Nobody has judged yet. Sealed weights appear when they are revealed." : "No bonds yet: they grow with epochs."}</p> : (
          <div class="scroll" tabIndex={0} role="region" aria-label={`Heat map of ${what}`}>
            <canvas ref={canvas} role="img" width={size.width} height={size.height} class="heat"
              aria-label={`Heat map: ${rows.length} judges, ${columns.length} judged. ${rows.slice(0, 5).map((n, i) => `uid ${n.uid}: ${largest(shares[i])}`).join("; ")}`} onPointerMove={look} onPointerLeave={() => tell("")} />
          </div>
        )}
      </div>
      {rows.length ? <details><summary>As a table</summary><Scroll name={`Largest ${what}`}><table><thead><tr><th scope="col">judge</th><th scope="col" class="say">its largest {what}</th></tr></thead>
        <tbody>{rows.map((n, i) => <tr key={n.uid}><th scope="row">uid {n.uid}</th><td class="say">{largest(shares[i])}</td></tr>)}</tbody></table></Scroll></details> : null}
    </section>
  );
}

function largest(row: Map<number, number> | undefined): string {
  return [...(row ?? [])].sort((a, b) => b[1] - a[1]).slice(0, 5).map(([uid, share]) => `uid ${uid} ${percent(share)}`).join(", ");
}

/** Permits go by stake: who has one may judge, and still be a miner. */
function does(n: Neuron): string {
  const judges = n.permit && n.weights.length > 0;
  const words = [judges ? "validates" : "", n.incentive > 0 || n.axon ? "mines" : "", n.permit && !judges ? "may validate" : ""];
  return words.filter(Boolean).join(", ") || "–";
}

function Metagraph({ subnet, neurons, height }: { subnet: Subnet; neurons: Neuron[]; height: number }) {
  const share = (value: number) => <td title={`${value} of ${FULL}`}>{percent(value / FULL)}</td>;
  const stays = (n: Neuron) => (n.protected ? "stays: the owner’s" : height < n.immune_until ? `immune until ${n.immune_until}` : n.eviction_rank ? `${n.eviction_rank}. of ${n.eviction_of}` : "not now");
  return (
    <section aria-label="Neurons">
      <h2>Neurons <small>{neurons.length} of them, scores of epoch {subnet.epochs}</small></h2>
      <Scroll name="Metagraph"><table>
        <thead><tr><th scope="col">uid</th><th scope="col" class="say">hotkey</th><th scope="col" class="say">does</th><th scope="col">stake weight</th><th scope="col">trust</th><th scope="col">consensus</th><th scope="col">incentive</th><th scope="col">dividends</th><th scope="col" title="of the newest epoch, in the subnet’s token; what the owner’s own miners would get is withheld">emission</th><th scope="col">judged</th><th scope="col" class="say">reached at</th><th scope="col">evicted as</th></tr></thead>
        <tbody>{neurons.map((n) => (
          <tr key={n.uid}>
            <th scope="row">{n.uid}</th><td class="say"><a href={`#/account/${n.hotkey}`} title={`${n.hotkey}, of ${n.coldkey}`}>{short(n.hotkey)}</a></td>
            <td class="say">{does(n)}</td>
            <td title={exactToken(n.stake_weight, "")}>{token(n.stake_weight)}</td>{share(n.trust)}{share(n.consensus)}{share(n.incentive)}{share(n.dividends)}
            <td title={exactToken(n.emission, "of its token")}>{token(n.emission)}</td><td>{n.last_update ? `block ${n.last_update}` : "–"}</td>
            <td class="say">{n.axon ? `${n.axon.ip}:${n.axon.port}` : "–"}</td><td>{stays(n)}</td>
          </tr>
        ))}</tbody></table></Scroll>
    </section>
  );
}

/** The netuid of a subnet of this name, or with it in its name. */
export async function findSubnet(name: string): Promise<number | null> {
  const { subnets } = await page<QuerySubnetsResponse>("/subnets?limit=200");
  const low = name.toLowerCase();
  return (subnets.find((s) => s.name.toLowerCase() === low) ?? subnets.find((s) => s.name.toLowerCase().includes(low)))?.netuid ?? null;
}
