// Checks proofs of Dodona's inferences. The work is done by verify.wasm, built from crates/light-wasm; this file hands
// bytes in and the report out. No dependencies, no network but for loading verify.wasm in a browser.

const utf8 = new TextEncoder();

/** Loads the verifier; `source` is a compiled module, bytes, a Response or a URL, by default verify.wasm beside this file. */
export async function load(source) {
  source ??= new URL("verify.wasm", import.meta.url);
  if (source instanceof URL && source.protocol === "file:") {
    source = await (await import("node:fs/promises")).readFile(source);
  } else if (source instanceof URL || typeof source === "string") {
    source = await fetch(source);
  }
  if (typeof Response !== "undefined" && source instanceof Response) {
    if (!source.ok) throw new Error(`verify.wasm: status ${source.status}`);
    source = await source.arrayBuffer();
  }
  const module = source instanceof WebAssembly.Module ? source : await WebAssembly.compile(source);
  const { exports } = await WebAssembly.instantiate(module, {});

  function give(room, what, value) {
    const bytes = typeof value === "string" ? utf8.encode(value) : value;
    if (!(bytes instanceof Uint8Array)) throw new TypeError(`${what}: text or bytes, exactly as they were received`);
    const at = room(bytes.length);
    if (at === 0) throw new RangeError(`${what}: ${bytes.length} bytes are too many`);
    new Uint8Array(exports.memory.buffer, at, bytes.length).set(bytes);
  }

  /** Verifies a proof against a trust; `now` and `maxAge` in milliseconds, `now: null` leaves ages unchecked. */
  return function verify(proof, trust, { now = Date.now(), maxAge = null } = {}) {
    give(exports.document, "proof", proof);
    give(exports.trust, "trust", trust);
    exports.verify(now ?? -1, maxAge ?? -1);
    const answer = new Uint8Array(exports.memory.buffer, exports.answer(), exports.answer_length());
    return JSON.parse(new TextDecoder().decode(answer));
  };
}
