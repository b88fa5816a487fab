// The verifier in a browser: serves this folder and tests/proofs on loopback, lets a headless Chromium verify, and
// compares. Needs `npm install --no-save playwright-core` and a Chromium: CHROMIUM=/usr/bin/chromium node browser.mjs
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const types = { js: "text/javascript", wasm: "application/wasm", json: "application/json", html: "text/html" };
const server = createServer(async (request, response) => {
  try {
    const path = request.url === "/" ? null : request.url;
    const inside = path?.startsWith("/proofs/") ? `../../tests${path}` : `.${path}`;
    const body = path === null ? "<!doctype html><title>verify</title>" : await readFile(new URL(inside, import.meta.url));
    response.setHeader("content-type", types[path?.split(".").pop() ?? "html"]);
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const seen = await page.evaluate(async () => {
    const { load } = await import("/index.js");
    const verify = await load();
    const text = async (name) => (await fetch(`/proofs/${name}.json`)).text();
    const [proof, trust] = [await text("linked"), await text("trust")];
    const start = performance.now();
    const report = verify(proof, trust, { now: 100_000 });
    const took = performance.now() - start;
    const changed = verify(proof.replace('"round":2', '"round":3'), trust, { now: 100_000 });
    return { agent: navigator.userAgent, took, report, changed: changed.steps.at(-1) };
  });
  console.log(seen.agent);
  console.log(`verified: ${seen.report.verified}, value ${seen.report.inference?.values[0].value}, ${seen.took.toFixed(1)} ms`);
  console.log(`changed: ${seen.changed.name}: ${seen.changed.detail}`);
  if (!seen.report.verified || seen.changed.ok) process.exitCode = 1;
} finally {
  await browser.close();
  server.close();
}
