// What the page knows of its node: the pages it reads, their shapes, and a clock that follows the chain. A node that
// goes away is asked again until it is back; nothing has to be reloaded.
import { useEffect, useRef, useState } from "preact/hooks";
import type { QueryStatusResponse as Status } from "./schema/chain";
import type { LeaderboardRow, QueryEpochResponse as Epoch, QueryTopicResponse, TopicSpec } from "./schema/topics";

export type { Attribute, Event, QueryBlockResponse as Block, QueryStatusResponse as Status, TxReceipt as Receipt } from "./schema/chain";
export type { Column, Interval, Line, Part, QueryEpochResponse as Epoch, QueryExplainResponse as Explanation, QueryWindowsResponse as Windows } from "./schema/topics";

/** A topic; the node never tells of one without saying how it works. */
export interface Topic extends QueryTopicResponse { spec: TopicSpec }

/** A member, and what the newest scored epoch paid it, if it had a part in it. */
export interface Row extends LeaderboardRow { paid: string | null }

interface Sum { members: number; earners: number; paid: string }

/** Members of a topic: all of them where they are few, else those who matter now; what the newest scored epoch came to. */
export interface Board { epoch: number | null; nonce: number | null; budget: string; reward: string; inferers: Sum; forecasters: Sum; reputers: Sum; complete: boolean; rows: Row[] }

/** What another rule would have said, and with which loss beside that of the answers that were given. */
export interface Otherwise {
  rule: string; since_epoch: number | null; newest_epoch: number | null; scored: number; mean_loss: number | null;
  given_mean_loss: number | null; height: number;
  /** Steps of epochs that the node has still to compute, and epochs whose inputs it does not keep. */
  steps_left: number; missing: number;
  epochs: { epoch: number; columns: { label: string; combined: number }[]; loss: number | null }[];
}

/** A topic's history in columns, one entry per epoch in every list. */
export interface Chart {
  oldest: number; next: number; epochs: number[]; nonces: number[]; scored: boolean[]; naive: number[]; mean: number[];
  median: number[]; low: number[]; high: number[]; loss: (number | null)[];
  /** Labels of the newest answer; those with a column are the most probable ones. */
  labels: number;
  columns: { label: string; combined: (number | null)[]; truth: (number | null)[] }[];
  members: Drawn[];
  others: { count: number[]; low: (number | null)[]; high: (number | null)[]; weight: number[] };
}
export interface Drawn { address: string; name: string; forecaster: boolean; values: (number | null)[]; weights: (number | null)[]; one_out?: (number | null)[] }

export const RULES = ["?", "power", "regret", "median", "mean"];
/** How long the node may take to answer, ms. */
const PATIENCE = 10_000;
/** How often the node is asked for its height where it does not tell it by itself, ms. */
const BEAT = 1_000;
/** Newest epochs that are known in full; the others are in the chart. */
const KEPT = 12;
/** Epochs that stay in the chart. */
const DRAWN = 10_000;
/** Epochs of one answer of the chart. */
const COLUMNS = 500;
const PAGE = 50;

/** An answer that says no. */
export class Refused extends Error {
  constructor(readonly status: number, text: string) {
    super(text);
  }
}

export async function text(path: string): Promise<string> {
  const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
  const body = await answer.text();
  if (answer.ok) return body;
  let said = body;
  try {
    const { error, message } = JSON.parse(body) as { error?: string; message?: string };
    said = error ?? message ?? body;
  } catch {
    // What is no JSON is shown as it is.
  }
  throw new Refused(answer.status, said || `status ${answer.status}`);
}

export async function ask<A>(path: string): Promise<A> {
  return JSON.parse(await text(path)) as A;
}

export const page = <A>(path: string) => ask<A>(`/dodona/v1${path}`);

export interface Asked<A> { value: A | null; error: Error | null }

/** Asks again whenever `beat` changes; keeps the last answer to the same question on the screen meanwhile. */
export function useAsk<A>(path: string | null, beat: unknown = 0, how: (path: string) => Promise<A> = page): Asked<A> {
  const [asked, set] = useState<Asked<A> & { path: string | null }>({ value: null, error: null, path: null });
  const running = useRef(false);
  const current = useRef(path);
  useEffect(() => {
    const moved = current.current !== path;
    current.current = path;
    if (path === null || (running.current && !moved)) return;
    running.current = true;
    how(path)
      .then((value) => current.current === path && set({ value, error: null, path }))
      .catch((error: Error) => {
        if (current.current === path) set((old) => ({ value: old.path === path ? old.value : null, error, path }));
      })
      .finally(() => (running.current = false));
  }, [path, beat]);
  return asked.path === path ? asked : { value: null, error: null };
}

/** What a message of the live stream says; without a list of topics anything may have changed. */
interface News { status: Status; topics: number[] | null }

export interface Pulse {
  status: Status | null; lost: boolean; since: number; blockMs: number | null; life: number;
  /** Counts what happened in each topic, and what may have happened in any. */
  moved: { any: number; of: Record<number, number> };
}

/** What has to change before a topic's pages are asked again. */
export const beatOf = (pulse: Pulse, topic: number | string) => `${pulse.moved.any}/${pulse.moved.of[Number(topic)] ?? 0}/${pulse.life}`;

/** Silence of the stream after which the node is asked whether it is there, ms. */
const SILENCE = 4_000;
/** How long a page waits before it asks for a stream again that it was refused, ms. */
const ANEW = 15_000;

/**
 * The chain's height, as the node tells it after every block; asked for once a second where there is no stream. `life`
 * changes when the chain is another one than before.
 */
export function usePulse(): Pulse {
  const [pulse, set] = useState<Pulse>({ status: null, lost: false, since: Date.now(), blockMs: null, life: 0, moved: { any: 0, of: {} } });
  useEffect(() => {
    let ended = false;
    let timer: ReturnType<typeof setTimeout>;
    let stream: EventSource | null = null;
    let heard = 0;
    let refused = 0;
    let first: { height: number; at: number } | null = null;
    let last: Status | null = null;
    let life = 0;
    const told = ({ status, topics }: News) => {
      const at = Date.now();
      if (last && (status.height < last.height || status.chain_id !== last.chain_id)) {
        life += 1;
        first = null;
      }
      const same = last !== null && status.block_id === last.block_id;
      // The pace over the last twenty blocks or so: enough to say when the next question comes.
      if (!first || status.height - first.height > 20) first = { height: status.height, at };
      const blocks = status.height - first.height;
      const measured = blocks >= 3 ? (at - first.at) / blocks : null;
      last = status;
      if (ended) return;
      set((old) => {
        const of = { ...old.moved.of };
        for (const topic of topics ?? []) of[topic] = (of[topic] ?? 0) + 1;
        const moved = same ? old.moved : { any: old.moved.any + (topics ? 0 : 1), of };
        return { status, lost: false, since: at, blockMs: measured ?? old.blockMs, life, moved };
      });
    };
    const open = () => {
      if (ended || typeof EventSource === "undefined") return;
      stream = new EventSource("/dodona/v1/live");
      stream.onmessage = (message) => {
        heard = Date.now();
        try {
          told(JSON.parse(String(message.data)) as News);
        } catch {
          // What does not decode is passed over: the next question tells.
        }
      };
      stream.onerror = () => {
        heard = 0;
        // A browser comes again by itself unless it was told no.
        if (stream?.readyState === EventSource.CLOSED) refused = Date.now();
      };
    };
    const beat = async () => {
      if (stream?.readyState === EventSource.CLOSED && Date.now() - refused > ANEW) open();
      if (Date.now() - heard > SILENCE) {
        try {
          told({ status: await page<Status>("/status"), topics: null });
        } catch {
          if (!ended) set((old) => ({ ...old, lost: true }));
        }
      }
      if (!ended) timer = setTimeout(beat, BEAT);
    };
    void beat();
    open();
    return () => {
      ended = true;
      clearTimeout(timer);
      stream?.close();
    };
  }, []);
  return pulse;
}

/** The newest epochs of a topic, in order; only what can still change is asked for again. */
export function useEpochs(topic: Topic | null, beat: string, life: number): { epochs: Epoch[]; loading: boolean } {
  const [epochs, set] = useState<Epoch[]>([]);
  const [loading, setLoading] = useState(true);
  const busy = useRef(false);
  const kept = useRef<{ key: string; map: Map<number, Epoch>; final: number }>({ key: "", map: new Map(), final: 0 });
  const id = topic?.topic_id;
  useEffect(() => {
    if (!topic || busy.current) return;
    const key = `${topic.topic_id}/${life}`;
    if (kept.current.key !== key) {
      kept.current = { key, map: new Map(), final: Math.max(0, topic.epochs_opened - KEPT) };
      set([]);
      setLoading(true);
    }
    busy.current = true;
    const mine = kept.current;
    const read = async () => {
      for (;;) {
        const from = mine.final;
        const { epochs: found } = await page<{ epochs: Epoch[] }>(
          `/topics/${topic.topic_id}/epochs?from=${from}&limit=${PAGE}&members=false`,
        );
        for (const epoch of found) {
          mine.map.set(epoch.epoch, epoch);
          if (epoch.epoch === mine.final && (epoch.state === "scored" || epoch.state === "void")) mine.final += 1;
        }
        // Epochs that the chain has forgotten leave a gap at the front.
        const lowest = found[0]?.epoch;
        if (lowest !== undefined && lowest > mine.final) mine.final = lowest;
        for (const number of mine.map.keys()) if (number < mine.final - KEPT) mine.map.delete(number);
        if (found.length < PAGE || mine.final === from) break;
      }
    };
    read()
      .then(() => {
        if (kept.current !== mine) return;
        set([...mine.map.values()].sort((a, b) => a.epoch - b.epoch));
        setLoading(false);
      })
      .catch(() => undefined) // the pulse tells that the node is away
      .finally(() => (busy.current = false));
  }, [id, beat, life, topic?.epochs_opened]);
  return { epochs: epochs[0] && epochs[0].topic_id !== id ? [] : epochs, loading };
}

/** Answers of another rule, gathered page by page; asked again as epochs are combined and scored. */
export function useOtherwise(topic: Topic | null, rule: string, from: number, life: number): { said: Map<number, Otherwise["epochs"][number]>; told: Otherwise | null; error: string } {
  const [state, set] = useState<{ key: string; told: Otherwise | null; error: string }>({ key: "", told: null, error: "" });
  const kept = useRef<{ key: string; said: Map<number, Otherwise["epochs"][number]>; next: number }>({ key: "", said: new Map(), next: 0 });
  const busy = useRef(false);
  // Older answers are asked for when the chart goes back further.
  const key = topic ? `${topic.topic_id}/${rule}/${life}/${Math.floor(from / COLUMNS)}` : "";
  const [again, more] = useState(0);
  useEffect(() => {
    if (!topic || busy.current) return;
    if (kept.current.key !== key) kept.current = { key, said: new Map(), next: from };
    const mine = kept.current;
    busy.current = true;
    page<Otherwise>(`/topics/${topic.topic_id}/otherwise?rule=${rule}&from=${Math.max(mine.next, from)}&limit=${PAGE * 4}`)
      .then((told) => {
        for (const epoch of told.epochs) mine.said.set(epoch.epoch, epoch);
        const newest = told.epochs[told.epochs.length - 1]?.epoch;
        if (newest !== undefined) mine.next = Math.max(mine.next, newest);
        for (const epoch of mine.said.keys()) if (epoch < from) mine.said.delete(epoch);
        set({ key, told, error: "" });
        // Another page, or a memory that is still catching up: there is more at once.
        if (told.steps_left > 0 || (newest !== undefined && told.newest_epoch !== null && newest < told.newest_epoch)) more((n) => n + 1);
      })
      .catch((error: Error) => set((old) => ({ key, told: old.key === key ? old.told : null, error: error instanceof Refused ? error.message : "" })))
      .finally(() => (busy.current = false));
  }, [key, topic?.epochs_opened, topic?.epochs_scored, again]);
  return state.key === key ? { said: kept.current.said, told: state.told, error: state.error } : { said: new Map(), told: null, error: "" };
}

const LISTS = ["epochs", "nonces", "scored", "naive", "mean", "median", "low", "high", "loss"] as const;

/** Puts the rows of `found` in the place of those that `chart` has from the first of them on. */
export function join(chart: Chart | null, found: Chart): Chart {
  if (!chart || chart.epochs.length === 0) return found;
  const first = found.epochs[0];
  if (first === undefined) return { ...chart, oldest: found.oldest, next: found.next };
  const at = chart.epochs.findIndex((epoch) => epoch >= first);
  const kept = at < 0 ? chart.epochs.length : at;
  const total = kept + found.epochs.length;
  const drop = Math.max(0, total - DRAWN);
  const both = <T>(old: T[], fresh: T[]): T[] => old.slice(drop, kept).concat(drop > kept ? fresh.slice(drop - kept) : fresh);
  const nothing = <T>(n: number) => new Array<T | null>(n).fill(null);
  // What one of the two does not know is a gap.
  const old = <T>(list: T[] | undefined) => list ?? nothing<T>(chart.epochs.length) as T[];
  const fresh = <T>(list: T[] | undefined) => list ?? nothing<T>(found.epochs.length) as T[];
  const labels = [...new Set([...chart.columns, ...found.columns].map((c) => c.label))];
  const joined: Chart = {
    ...found,
    columns: labels.map((label) => {
      const [a, b] = [chart.columns.find((c) => c.label === label), found.columns.find((c) => c.label === label)];
      return { label, combined: both(old(a?.combined), fresh(b?.combined)), truth: both(old(a?.truth), fresh(b?.truth)) };
    }),
    members: found.members.map((b) => {
      const a = chart.members.find((m) => m.address === b.address);
      return { ...b, name: b.name || (a?.name ?? ""), values: both(old(a?.values), b.values), weights: both(old(a?.weights), b.weights), ...(b.one_out ? { one_out: both(old(a?.one_out), b.one_out) } : {}) };
    }),
    others: {
      count: both(chart.others.count, found.others.count), low: both(chart.others.low, found.others.low),
      high: both(chart.others.high, found.others.high), weight: both(chart.others.weight, found.others.weight),
    },
  };
  const rows = joined as unknown as Record<string, unknown[]>;
  for (const name of LISTS) rows[name] = both(chart[name] as unknown[], found[name] as unknown[]);
  return joined;
}

/**
 * The history of a topic for charts, with the lines of whom the network trusts most and of `mark`. The newest epochs
 * come first; older ones only where `all` is wanted.
 */
export function useChart(topic: Topic | null, mark: string, all: boolean, beat: string, life: number): { chart: Chart | null; loading: boolean } {
  const [state, set] = useState<{ key: string; chart: Chart | null }>({ key: "", chart: null });
  const kept = useRef<{ key: string; chart: Chart | null; from: number; final: number; members: string; labels: string }>({ key: "", chart: null, from: 0, final: 0, members: "", labels: "" });
  const busy = useRef(false);
  const [again, more] = useState(0);
  const key = topic ? `${topic.topic_id}/${mark}/${life}/${all}` : "";
  useEffect(() => {
    if (!topic || busy.current) return;
    if (kept.current.key !== key) {
      const from = all ? 0 : Math.max(0, topic.epochs_opened - COLUMNS);
      kept.current = { key, chart: null, from, final: from, members: "", labels: "" };
    }
    busy.current = true;
    const mine = kept.current;
    const read = async () => {
      for (;;) {
        const marked = mark ? `&mark=${encodeURIComponent(mark)}` : "";
        const found = await page<Chart>(`/topics/${topic.topic_id}/chart?from=${mine.final}&limit=${COLUMNS}&members=${mine.members}${marked}${mine.labels}`);
        // Whoever has a line keeps it, and so do labels: another choice would leave gaps.
        if (found.columns.length > 0 && found.labels > found.columns.length) mine.labels ||= `&labels=${encodeURIComponent(JSON.stringify(found.columns.map((c) => c.label)))}`;
        mine.members ||= found.members.filter((m) => m.address !== mark).map((m) => m.address).join(",");
        mine.chart = join(mine.chart, found);
        // Asked again from the first epoch that is not scored yet, or void meanwhile.
        const waits = found.epochs[found.scored.indexOf(false)] ?? found.next;
        const stuck = found.next <= mine.final || found.epochs.length === 0;
        // An epoch that never comes to an end is not waited for.
        mine.final = Math.max(mine.final, Math.min(waits, found.next), found.next - 50);
        if (stuck || found.next >= topic.epochs_opened - 50) break;
      }
    };
    read()
      .then(() => kept.current === mine && set({ key, chart: mine.chart }))
      .catch(() => undefined) // the pulse tells that the node is away
      .finally(() => {
        busy.current = false;
        if (kept.current !== mine) more((n) => n + 1);
      });
  }, [key, beat, topic?.epochs_opened, again]);
  // While another choice is being read, what was there stays.
  const same = state.key.split("/")[0] === key.split("/")[0];
  return { chart: same ? state.chart : null, loading: state.key !== key };
}
