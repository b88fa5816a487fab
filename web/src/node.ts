// What the page knows of its node: the pages it reads, their shapes, and a clock that follows the chain. A node that
// goes away is asked again until it is back; nothing has to be reloaded.
import { useEffect, useRef, useState } from "preact/hooks";

export interface Status {
  chain_id: string; height: number; block_id: string; app_hash: string; time_ms: number; txs: number; supply: string;
  minted: string; mempool_txs: number; version: string; accounts: number; gas_price: string;
}
export interface Interval { p2: number; p16: number; p50: number; p84: number; p98: number }
export interface Part {
  address: string; name: string; forecaster: boolean; value: number; weight: number; one_out: number | null;
  loss: number | null; score: number | null; reward: string; values: number[];
}
export interface Column {
  label: string; combined: number; naive: number; mean: number; median: number; interval: Interval | null;
  truth: number | null;
}
export interface Epoch {
  topic_id: number; nonce: number; epoch: number; state: string; void_reason: string; combined: number;
  naive: number; mean: number; median: number; interval: Interval | null; parts: Part[]; truth: number | null;
  network_loss: number | null; mean_loss: number | null; median_loss: number | null;
  truths: { address: string; name: string; reward: string }[]; reward: string; topic_reward: string;
  combined_at: number; scored_at: number; columns: Column[]; outliers: string[];
}
export interface Topic {
  topic_id: number;
  spec: { title: string; target: string; unit: string; truth_source: string; classification: boolean; labels: string[];
    rule: number; loss: number; epoch_length: number; worker_window: number; truth_lag: number; truth_window: number };
  epochs_opened: number; epochs_scored: number; epochs_void: number; active: boolean; inactive_reason: string;
  workers: number; reputers: number; pot: string; paid: string; funded: string; stake: string;
  mean_loss_network: number; mean_loss_mean: number; mean_loss_median: number; next_epoch_block: number;
  inferers: number; forecasters: number; runs_dry_epochs: number;
}
export interface Row {
  address: string; name: string; role: string; submitted: number; missed: number; mean_loss: number | null;
  running_loss: number | null; weight: number | null; score: number | null; earned: string; stake: string;
  merit: number | null;
}
export interface Windows {
  height: number; next_epoch_block: number;
  windows: { nonce: number; epoch: number; state: string; worker_first: number; worker_last: number;
    truth_first: number; truth_last: number }[];
}
export interface Block {
  height: number; block_id: string; parent: string; app_hash: string; proposer: string; time_ms: number;
  tx_hashes: string[]; signatures: number; events: Event[];
}
export interface Event { kind: string; attributes: { key: string; value: string }[] }
export interface Receipt {
  hash: string; height: number; index: number; codespace: string; code: number; log: string; gas_wanted: number;
  gas_used: number; events: Event[];
}
export interface Explanation {
  topic_id: number; nonce: number; state: string;
  parts: { role: string; took_part: boolean; verdict: string; reward: string; would_have_earned: string; lines: Line[] }[];
  topic: Line[];
}
export interface Line { name: string; value: string; note: string }

export const RULES = ["?", "power", "regret", "median", "mean"];
/** How long the node may take to answer, ms. */
const PATIENCE = 10_000;
/** How often the node is asked for its height, ms. */
const BEAT = 1_000;
/** Epochs that stay on the page. */
export const KEPT = 400;
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

export interface Pulse { status: Status | null; lost: boolean; since: number; blockMs: number | null; life: number }

/** The chain's height, once a second. `life` changes when the chain is another one than before. */
export function usePulse(): Pulse {
  const [pulse, set] = useState<Pulse>({ status: null, lost: false, since: Date.now(), blockMs: null, life: 0 });
  useEffect(() => {
    let ended = false;
    let timer: ReturnType<typeof setTimeout>;
    let first: { height: number; at: number } | null = null;
    let last: Status | null = null;
    let life = 0;
    const beat = async () => {
      try {
        const status = await page<Status>("/status");
        const at = Date.now();
        if (last && (status.height < last.height || status.chain_id !== last.chain_id)) {
          life += 1;
          first = null;
        }
        // The pace over the last twenty blocks or so: enough to say when the next question comes.
        if (!first || status.height - first.height > 20) first = { height: status.height, at };
        const blocks = status.height - first.height;
        const measured = blocks >= 3 ? (at - first.at) / blocks : null;
        last = status;
        if (!ended) {
          set((old) => ({ status, lost: false, since: at, blockMs: measured ?? old.blockMs, life }));
        }
      } catch {
        if (!ended) set((old) => ({ ...old, lost: true }));
      }
      if (!ended) timer = setTimeout(beat, BEAT);
    };
    void beat();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, []);
  return pulse;
}

/** The newest epochs of a topic, in order; only what can still change is asked for again. */
export function useEpochs(topic: Topic | null, beat: number, life: number): { epochs: Epoch[]; loading: boolean } {
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
          `/topics/${topic.topic_id}/epochs?from=${from}&limit=${PAGE}`,
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
