// The dashboard in a real browser, in front of a real demo: nothing of the node is imitated.
// DODONA=target/debug/dodona CHROMIUM=/usr/bin/chromium node --test tests/dashboard.test.mjs
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const here = fileURLToPath(new URL(".", import.meta.url));
const program = resolve(process.env.DODONA ?? join(here, "../../target/debug/dodona"));
/** How long a busy machine may take for anything, ms. */
const PATIENCE = 120_000;
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

let browser, page, node, port, home;
const troubles = [];

async function freePort() {
  const server = createServer();
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

async function until(what, ask) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask().catch(() => null);
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within ${PATIENCE} ms`);
    await new Promise((later) => setTimeout(later, 200));
  }
}

const api = async (path) => (await fetch(`http://127.0.0.1:${port}/dodona/v1${path}`)).json();

async function start() {
  const doors = ["--rest-port", "0", "--grpc-port", "0", "--rpc-port", "0", "--dashboard-port", String(port)];
  node = spawn(program, ["demo", "--home", home, "--replay", "30", ...doors], { stdio: ["ignore", "ignore", "pipe"] });
  let told = "";
  node.stderr.on("data", (text) => (told = (told + text).slice(0, 2_000)));
  await until("the first scored epoch", async () => (await api("/topics/1")).epochs_scored > 0);
  return told;
}

async function end(signal) {
  const gone = new Promise((resolve) => node.once("exit", resolve));
  node.kill(signal);
  await gone;
}

const go = (hash) => page.goto(`http://127.0.0.1:${port}/${hash}`);
const height = async () => Number(await page.locator("#height").textContent());
/** The text of an element, once it matches. */
const sees = (selector, pattern) =>
  until(`${selector} to match ${pattern}`, async () => {
    const text = await page.locator(selector).first().textContent({ timeout: 1_000 });
    return pattern.test(text) ? text : null;
  });

before(async () => {
  home = await mkdtemp(join(tmpdir(), "dodona-web-"));
  port = await freePort();
  const told = await start();
  assert.match(told.split("\n")[0], new RegExp(`dashboard http://127.0.0.1:${port}/`), "the demo names the dashboard first");
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  page = await browser.newPage({ viewport: { width: 1000, height: 900 } });
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => troubles.push(error.message));
  page.on("console", (said) => /Content Security Policy/.test(said.text()) && troubles.push(said.text()));
  page.on("request", (request) => {
    if (!request.url().startsWith(`http://127.0.0.1:${port}/`)) troubles.push(`asked elsewhere: ${request.url()}`);
  });
});

after(async () => {
  await browser?.close();
  if (node && node.exitCode === null) await end("SIGINT");
  if (home) await rm(home, { recursive: true, force: true });
});

test("the live page shows an answer with its unit and follows three epochs by itself", async () => {
  await go("");
  await sees(".answer", /The network says [\d\u202f.]+ MW/);
  const epoch = async () => Number(/for epoch (\d+)/.exec(await page.locator(".answer").textContent())?.[1]);
  const first = await until("an epoch", epoch);
  await until("three more epochs", async () => (await epoch()) >= first + 3);
  assert.ok((await page.locator(".board tbody tr").count()) > 10);
  assert.ok((await page.locator(".plot canvas").count()) > 0);
});

test("a topic of classes shows a probability for every label", async () => {
  await go("#/topic/2");
  await sees(".answer", /down \d+ %, flat \d+ %, up \d+ %/);
});

test("the search finds a height, a member and an address, and says when it finds nothing", async () => {
  await go("");
  const search = async (words) => {
    await page.fill("input[name=q]", words);
    await page.press("input[name=q]", "Enter");
  };
  await search("5");
  await sees("h1", /Block 5/);
  await search("boosted-trees");
  await sees("dialog h2", /Why\? allo1/);
  const { address } = (await api("/topics/1/leaderboard")).rows[0];
  await search(address);
  await sees("h1", new RegExp(address));
  await search("no such thing");
  await sees(".search .note", /nothing is called so/);
});

test("why a member earned what it earned is told with the chain's own digits, under an address of its own", async () => {
  const row = (await api("/topics/1/leaderboard")).rows.find((r) => r.name === "boosted-trees");
  const told = await api(`/topics/1/explain/${row.address}`);
  await go(`#/topic/1/why/${row.address}/${told.nonce}`);
  await sees("dialog", new RegExp(`nonce ${told.nonce}`));
  for (const line of told.parts[0].lines) {
    const shown = page.locator("dialog .lines tr", { has: page.locator(`th:text-is("${line.name}")`) }).first();
    assert.equal(await shown.locator("td").first().getAttribute("title"), line.value, line.name);
  }
  await page.keyboard.press("Escape");
  await until("the drawer to close", async () => (await page.locator("dialog").count()) === 0);
});

test("the browser verifies an inference, and refuses its twin with one byte changed", async () => {
  await go("#/verify/1");
  await page.click("button.main");
  await sees("#verdict", /✓ Verified/);
  assert.equal(await page.locator(".steps .bad").count(), 0);
  await page.check("input[type=checkbox]");
  await sees("#verdict", /✕ Not verified \(tampered/);
  assert.equal(await page.locator(".steps .bad").count(), 1);
});

test("blocks and transactions are told in sentences", async () => {
  await go("#/block/20");
  await sees(".sentences", /Topic 1 combined \d+ answers/);
  await page.locator(".hashes a").first().click();
  await sees(".sentences.big", /answers topic \d|truth for topic|\w/);
  await sees(".verdict", /It took effect/);
});

test("a member that is highlighted has a line of its own, its row too, and the answer without it", async () => {
  const { rows } = await api("/topics/1/leaderboard");
  const { address, name } = rows.find((row) => row.role === "inferer");
  await go("#/topic/1");
  await sees(".answer", /The network says/);
  await page.selectOption(".controls select", address);
  await until("the address of the page", async () => page.url().endsWith(`#/topic/1/mark/${address}`));
  await sees(".controls", new RegExp(`${name}.*network without it`, "s"));
  assert.equal(await page.locator("tr.own th").textContent(), name);
  // Closing what was asked about another keeps the line.
  await go(`#/topic/1/why/${rows[0].address}`);
  await sees("dialog", /nonce/);
  await page.keyboard.press("Escape");
  await sees(".controls", /network without it/);
  // From the page of newcomers, whose worker has not answered yet.
  await go("#/join/1");
  await page.fill("input[name=address]", "nobody");
  await page.press("input[name=address]", "Enter");
  await sees("main form .note", /begins with allo1/);
  const stranger = `allo1${"q".repeat(38)}`;
  await page.fill("input[name=address]", stranger);
  await page.press("input[name=address]", "Enter");
  await sees("section > .note[role=status]", new RegExp(`${stranger} has not answered this topic yet`));
});

test("validators are shown with their attendance and with whom stands behind them", async () => {
  const { validators } = await api("/validators");
  await go("#/explore");
  await sees("section[aria-label=Validators] tbody", new RegExp(`${validators[0].name}.*bonded.*100\\.0 %`, "s"));
  await page.click("section[aria-label=Validators] tbody a");
  await sees("h1", new RegExp(validators[0].operator));
  await sees("main table", /100\.0 %/);
  await go(`#/account/${validators[0].account}`);
  await sees("dl", /balance/);
});

test("every page is free of serious findings of axe, and fits into a narrow window", async () => {
  const axe = await readFile(join(here, "../node_modules/axe-core/axe.min.js"), "utf8");
  const { address } = (await api("/topics/1/leaderboard")).rows[0];
  const { validators } = await api("/validators");
  const pages = ["#/topic/1", "#/topic/2", `#/topic/1/why/${address}`, "#/verify/1", "#/explore", "#/block/20", "#/join/1", `#/topic/1/mark/${address}`, `#/validator/${validators[0].operator}`];
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const hash of pages) {
      await page.setViewportSize({ width: 400, height: 900 });
      await go(hash);
      await page.reload();
      await sees("main", /\S.{40}/s);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${hash} is ${over} px too wide`);
      // Evaluated by the debugger, which the page's policy does not bind.
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const serious = violations.filter((v) => v.impact === "serious" || v.impact === "critical");
      assert.deepEqual(serious.map((v) => [v.id, v.nodes.map((n) => n.html.slice(0, 160))]), [], `${hash}, ${scheme}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1000, height: 900 });
});

test("a node killed under the page is missed aloud, and followed again when it is back", async () => {
  await go("#/topic/1");
  const at = await until("a height", height);
  await end("SIGKILL");
  await sees(".banner", /does not answer/);
  await start();
  await until("the banner to go", async () => (await page.locator(".banner").textContent()) === "");
  await until("the chain to go on", async () => (await height()) > at);
});

test("nothing went wrong meanwhile, no policy was broken and no other host was asked", () => {
  assert.deepEqual(troubles.filter((t) => !/Failed to fetch/.test(t)), []);
});
