// Verification in the visitor's browser: the same verifier as `dodona verify`, on the bytes that the node served, and
// on the same bytes with one digit changed.
import { useState } from "preact/hooks";
import { load } from "../../../packages/verify/index.js";
import { text, type Pulse } from "../node";
import { number, short } from "../units";

type Report = Awaited<ReturnType<Awaited<ReturnType<typeof load>>>>;
interface Seen { proof: string; trust: string; report: Report; ms: number; changed: string | null }

let verifier: ReturnType<typeof load> | null = null;

/** Changes one digit of the document's value part, the way a liar on the way would. */
function tampered(proof: string): { text: string; what: string } {
  const place = /"(proof|key|root|app_hash|state_root|value|values|signature|signatures)"/g;
  let at = -1;
  for (const found of proof.matchAll(place)) {
    const digit = /[0-9]/.exec(proof.slice(found.index + found[0].length));
    if (digit) at = found.index + found[0].length + digit.index;
  }
  if (at < 0) at = proof.search(/[0-9]/);
  const old = proof[at] ?? "0";
  const other = old === "7" ? "3" : "7";
  return { text: proof.slice(0, at) + other + proof.slice(at + 1), what: `byte ${at}: “${old}” became “${other}”` };
}

export function Verify({ id, pulse }: { id: string; pulse: Pulse }) {
  const [tamper, setTamper] = useState(false);
  const [seen, set] = useState<Seen | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");

  const check = async (change: boolean, kept: { proof: string; trust: string } | null) => {
    setBusy(true);
    setError("");
    try {
      verifier ??= load("/assets/verify.wasm");
      const verify = await verifier;
      const trust = kept?.trust ?? (await text("/dodona/v1/trust"));
      const height = String((JSON.parse(trust) as { height: string }).height);
      const proof = kept?.proof ?? (await text(`/dodona/v1/topics/${encodeURIComponent(id)}/inference/proof?trusted_height=${encodeURIComponent(height)}`));
      const lie = change ? tampered(proof) : null;
      const started = performance.now();
      // A demo keeps its own time, so the age is told and not judged.
      const report = verify(lie?.text ?? proof, trust, { now: null });
      set({ proof, trust, report, ms: performance.now() - started, changed: lie?.what ?? null });
    } catch (problem) {
      verifier = null;
      setError(problem instanceof Error ? problem.message : String(problem));
    }
    setBusy(false);
  };

  const report = seen?.report;
  return (
    <section aria-label="Verify">
      <h1>Check it yourself</h1>
      <p>Your browser takes the proof of topic {id}’s newest inference from the node and checks every signature and every hash by itself, with the program that <code>dodona verify</code> also is. Nobody has to be believed but the validators named in the trust.</p>
      <div class="controls">
        <button class="main" disabled={busy} onClick={() => check(tamper, null)}>{busy ? "Checking…" : "Get the newest proof and check it"}</button>
        <label><input type="checkbox" checked={tamper} onChange={(e) => { const on = e.currentTarget.checked; setTamper(on); if (seen) void check(on, seen); }} />tamper: change one byte on the way</label>
      </div>
      {error ? <p class="empty" role="alert">{error}{pulse.lost ? " (the node does not answer)" : ""}</p> : null}
      {seen && report ? (
        <>
          <p class={report.verified ? "verdict good" : "verdict bad"} role="status" id="verdict">
            {report.verified ? "✓ Verified" : "✕ Not verified"}{seen.changed ? ` (tampered, ${seen.changed})` : ""} <small>in {seen.ms.toFixed(1)} ms</small>
          </p>
          <ol class="steps">
            {report.steps.map((step) => (
              <li key={step.name} class={step.ok ? "good" : "bad"}><b>{step.ok ? "✓" : "✕"} {step.name}</b><span>{step.detail}</span></li>
            ))}
          </ol>
          {report.verified && report.inference ? <p>So it is proven: {report.inference.values.map((v) => <b key={v.label}>{v.label}: {number(Number(v.value))} </b>)}</p> : null}
          <details><summary>The proof, {seen.proof.length} bytes</summary><pre tabIndex={0}>{seen.proof}</pre></details>
          <details><summary>The trust it was checked against</summary><pre tabIndex={0}>{seen.trust}</pre></details>
          <p class="note">This trust came from the same node ({short((JSON.parse(seen.trust) as { block_id: string }).block_id, 16, 8)}). A stranger takes it from somewhere else: <code>dodona trust export</code> on a machine of yours, and then <code>dodona verify proof.json --trust trust.json</code>.</p>
        </>
      ) : <p class="empty">Nothing was checked yet.</p>}
    </section>
  );
}
