/** One thing that was checked; where it does not hold, `detail` says why and what to do. */
export interface Step { name: string; ok: boolean; detail: string }

/** One label of an inference; `interval` holds the percentiles 2.28, 15.87, 50, 84.13 and 97.72. */
export interface Label { label: string; value: number; interval: [number, number, number, number, number] }

/** A network inference: asked at the end of block `nonce`, made at the end of block `at`, whose time is `time_ms`. */
export interface Inference {
  topic: number; nonce: number; values: Label[]; members: number; at: number; time_ms: number;
}

export type Claim =
  | { what: "newest_inference"; topic: string }
  | { what: "inference"; topic: string; nonce: string }
  | { what: "no_topic"; topic: string };

/** What came of it. Unless `verified`, everything but the steps is null. A claim without inference is its absence. */
export interface Report {
  verified: boolean;
  steps: Step[];
  claim: Claim | null;
  inference: Inference | null;
  chain_id: string | null;
  height: number | null;
  block_id: string | null;
  time_ms: number | null;
  state_age_ms: number | null;
  age_ms: number | null;
}

export type Verify = (
  proof: string | Uint8Array,
  trust: string | Uint8Array,
  policy?: { now?: number | null; maxAge?: number | null },
) => Report;

/** Loads the verifier; by default verify.wasm beside the module. */
export function load(source?: URL | string | Response | BufferSource | WebAssembly.Module): Promise<Verify>;
