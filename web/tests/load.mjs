// How smooth the live page stays under a made-up load, and how soon it paints: a real demo, but the history of its
// topic is answered by this program with as many epochs and members as wanted. Prints figures; fails below the limits.
// DODONA=target/debug/dodona EPOCHS=10000 MEMBERS=1000 node tests/load.mjs
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const program = resolve(process.env.DODONA ?? join(fileURLToPath(new URL(".", import.meta.url)), "../../target/debug/dodona"));
const [EPOCHS, MEMBERS] = [Number(process.env.EPOCHS ?? 10_000), Number(process.env.MEMBERS ?? 1_000)];
/** Lines of their own, as the node chooses them. */
const LINES = 24;
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

const home = await mkdtemp(join(tmpdir(), "dodona-load-"));
const node = spawn(program, ["demo", "--home", home, "--replay", "30", ...["rest", "grpc", "rpc", "dashboard", "metrics"].flatMap((d) => [`--${d}-port`, "0"])], { stdio: ["ignore", "ignore", "pipe"] });
let told = "";
node.stderr.on("data", (text) => (told += text));
const wait = (ms) => new Promise((later) => setTimeout(later, ms));
while (!/epoch 3\d/.test(told)) await wait(200);
// Another server of the page may be named, while it is written.
const base = process.env.DASHBOARD ?? /dashboard (http:\S+?)\/?\s/.exec(told)[1];

/** What the node would say of these epochs. */
function history(from, limit, opened) {
  const shift = opened - EPOCHS;
  const numbers = Array.from({ length: Math.max(0, Math.min(limit, EPOCHS - from)) }, (_, i) => from + i);
  const wave = (n, k) => 25_000 + 8_000 * Math.sin((n + shift) / 40 + k / 200) + 500 * Math.sin(n * (1 + k / 7));
  const list = (f) => numbers.map(f);
  return {
    topic_id: 1, oldest: 0, labels: 1, next: from + numbers.length, epochs: numbers, nonces: list((n) => n + 3), scored: list((n) => n < EPOCHS - 2), naive: list((n) => wave(n, 1)), mean: list((n) => wave(n, 2)),
    median: list((n) => wave(n, 3)), low: list((n) => wave(n, 0) - 400), high: list((n) => wave(n, 0) + 400), loss: list(() => 1),
    columns: [{ label: "y", combined: list((n) => wave(n, 0)), truth: list((n) => (n < EPOCHS - 2 ? wave(n, 0) + 90 : null)) }],
    members: Array.from({ length: LINES }, (_, k) => ({ address: `allo1${String(k).padStart(38, "q")}`, name: `member ${k}`, forecaster: false, values: list((n) => Math.fround(wave(n, k + 4))), weights: list(() => 1 / LINES) })),
    others: { count: list(() => MEMBERS - LINES), low: list((n) => wave(n, 0) - 4_000), high: list((n) => wave(n, 0) + 4_000), weight: list(() => 0.1) },
  };
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
let failed = false;
try {
  // First paint, without any made-up load, three times: the middle one counts.
  const paints = [];
  for (let i = 0; i < 3; i++) {
    const page = await browser.newPage({ viewport: { width: 1000, height: 900 } });
    await page.goto(`${base}/`);
    paints.push(await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime).then((h) => h.jsonValue()));
    await page.close();
  }
  paints.sort((a, b) => a - b);
  console.log(`first contentful paint: ${paints.map((p) => p.toFixed(0)).join(", ")} ms; the limit is 1000`);
  failed ||= paints[1] > 1_000;

  const page = await browser.newPage({ viewport: { width: 1000, height: 900 } });
  page.on("pageerror", (error) => { failed = true; console.log(error.message); });
  let bytes = 0;
  await page.route(/\/topics\/1\/chart\?/, async (route) => {
    const query = new URL(route.request().url()).searchParams;
    const body = JSON.stringify(history(Number(query.get("from")), Number(query.get("limit")), EPOCHS));
    bytes += body.length;
    await route.fulfill({ contentType: "application/json", body });
  });
  // The topic has as many epochs as are made up, and one more every second: the worst case, all of them on the screen.
  await page.route(/\/v1\/topics\?/, async (route) => {
    const answer = await route.fetch();
    const body = await answer.json();
    body.topics[0].epochs_opened = EPOCHS;
    await route.fulfill({ json: body });
  });
  await page.goto(`${base}/#/topic/1`);
  await page.locator(".plot canvas").first().waitFor();
  await page.check("input[name=span] >> nth=3");
  const began = Date.now();
  await page.waitForFunction((n) => document.querySelector(".plot")?.getAttribute("aria-label")?.includes(`of ${n} epochs`), EPOCHS, { timeout: 120_000 });
  console.log(`${EPOCHS} epochs of ${MEMBERS} members read and drawn in ${Date.now() - began} ms, ${(bytes / 1e6).toFixed(1)} MB of JSON`);
  /** Frames a second while something is done: the mean, and the slowest second. */
  const frames = (ms) => page.evaluate((ms) => new Promise((done) => {
    const at = [];
    const begin = performance.now();
    const frame = (now) => {
      at.push(now);
      if (now - begin < ms) return requestAnimationFrame(frame);
      const seconds = Array.from({ length: Math.floor(ms / 1000) }, (_, s) => at.filter((t) => t - begin >= s * 1000 && t - begin < (s + 1) * 1000).length);
      return done({ mean: (at.length - 1) / ((at[at.length - 1] - at[0]) / 1000), worst: Math.min(...seconds) });
    };
    requestAnimationFrame(frame);
  }), ms);
  const blank = await browser.newPage({ viewport: { width: 1000, height: 900 } });
  const still = await blank.evaluate(() => new Promise((done) => {
    let count = 0;
    const begin = performance.now();
    const frame = (now) => (now - begin < 3_000 ? (count++, requestAnimationFrame(frame)) : done(count / 3));
    requestAnimationFrame(frame);
  }));
  await blank.close();
  console.log(`this machine, an empty page: ${still.toFixed(1)} frames/s`);
  const box = await page.locator(".plot .u-over").first().boundingBox();
  const idle = await frames(6_000);
  console.log(`following, one block a second: ${idle.mean.toFixed(1)} frames/s, slowest second ${idle.worst}`);
  const moving = frames(6_000);
  const end = Date.now() + 5_500;
  while (Date.now() < end) {
    const t = Date.now() / 300;
    await page.mouse.move(box.x + box.width * (0.5 + 0.4 * Math.sin(t)), box.y + box.height * (0.5 + 0.3 * Math.cos(t)));
  }
  const moved = await moving;
  console.log(`with the pointer moving over the chart: ${moved.mean.toFixed(1)} frames/s, slowest second ${moved.worst}`);
  const zooming = frames(6_000);
  const stop = Date.now() + 5_500;
  while (Date.now() < stop) {
    await page.mouse.move(box.x + box.width * 0.3, box.y + 100);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.7, box.y + 120, { steps: 5 });
    await page.mouse.up();
    await page.mouse.dblclick(box.x + box.width * 0.5, box.y + 100);
  }
  const zoomed = await zooming;
  console.log(`zooming in and out: ${zoomed.mean.toFixed(1)} frames/s, slowest second ${zoomed.worst}`);
  // A machine that cannot draw an empty page fast enough measures itself.
  failed ||= still >= 50 && (idle.mean < 30 || moved.mean < 30 || zoomed.mean < 30);
} finally {
  await browser.close();
  const gone = new Promise((done) => node.once("exit", done));
  node.kill("SIGINT");
  await gone;
  await rm(home, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;
