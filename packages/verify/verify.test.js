// The WebAssembly verifier in Node.js, on the documents in tests/proofs. Build first: ./build.sh; or name another build
// of it in VERIFY_WASM.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { load } from "./index.js";

const file = (name) => readFile(new URL(`../../tests/proofs/${name}`, import.meta.url));
const other = process.env.VERIFY_WASM;
const verify = await load(other ? await readFile(other) : undefined);
const trust = await file("trust.json");
const now = 100_000;

test("every document verifies, and says what it is about", async () => {
  for (const [name, value] of [["newest", 0.5], ["epoch", 0.5], ["linked", 0.5], ["no-topic"], ["no-inference"]]) {
    const report = verify(await file(`${name}.json`), trust, { now });
    assert.ok(report.verified, JSON.stringify(report.steps, null, 1));
    assert.equal(report.inference?.values[0].value, value);
    assert.deepEqual([report.chain_id, report.height, report.state_age_ms], ["test-1", 60, 40_000]);
  }
  assert.ok(verify(await file("linked.json"), await file("trust-later.json"), { now }).verified);
});

test("every one-byte change fails", async () => {
  const proof = await file("linked.json");
  for (let at = 0; at < proof.length; at++) {
    for (const flip of [1, 0x20]) {
      proof[at] ^= flip;
      assert.equal(verify(proof, trust, { now }).verified, false, `byte ${at}`);
      proof[at] ^= flip;
    }
  }
  assert.ok(verify(proof, trust, { now }).verified);
});

test("trust that is old, of another set or no trust at all does not help", async () => {
  const proof = await file("newest.json");
  const last = (...asked) => verify(...asked).steps.at(-1);
  assert.match(last(proof, trust).detail, /export a new one/);
  assert.ok(verify(proof, trust, { now: null }).verified, "without a clock");
  assert.equal(last(proof, trust, { now, maxAge: 1_000 }).name, "age");
  assert.equal(last(await file("linked.json"), proof, { now }).name, "trust");
  assert.equal(last("", trust, { now }).name, "format");
  assert.throws(() => verify({}, trust), TypeError);
  assert.throws(() => verify("x".repeat(2 << 20), trust), RangeError);
});
