// The dashboard in a real browser, in front of a real demo: nothing of the node is imitated.
// DODONA=target/debug/dodona CHROMIUM=/usr/bin/chromium node --test tests/dashboard.test.mjs
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { ripemd160 } from "@noble/hashes/legacy.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { chromium } from "playwright-core";

const here = fileURLToPath(new URL(".", import.meta.url));
const program = resolve(process.env.DODONA ?? join(here, "../../target/debug/dodona"));
/** How long a busy machine may take for anything, ms. */
const PATIENCE = 120_000;
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

let browser, page, node, port, rest, home;
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

/** An address, written independently of the page's own code. */
function bech32(prefix, bytes) {
  const bits = Array.from(bytes, (b) => b.toString(2).padStart(8, "0")).join("");
  const words = bits.match(/.{1,5}/g).map((w) => parseInt(w.padEnd(5, "0"), 2));
  const head = [...prefix].map((c) => c.charCodeAt(0));
  let sum = 1;
  for (const v of [...head.map((c) => c >> 5), 0, ...head.map((c) => c & 31), ...words, 0, 0, 0, 0, 0, 0]) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ v;
    [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3].forEach((g, i) => { if ((top >> i) & 1) sum ^= g; });
  }
  const check = [5, 4, 3, 2, 1, 0].map((i) => ((sum ^ 1) >>> (5 * i)) & 31);
  return `${prefix}1${[...words, ...check].map((w) => "qpzry9x8gf2tvdw0s3jn54khce6mua7l"[w]).join("")}`;
}

const api = async (path) => (await fetch(`http://127.0.0.1:${port}/dodona/v1${path}`)).json();

async function start() {
  const doors = ["--rest-port", String(rest), "--grpc-port", "0", "--rpc-port", "0", "--dashboard-port", String(port)];
  node = spawn(program, ["demo", "--home", home, "--replay", "30", ...doors], { stdio: ["ignore", "ignore", "pipe"] });
  let told = "";
  node.stderr.on("data", (text) => (told = (told + text).slice(0, 2_000)));
  await until("the first scored epoch", async () => (await api("/topics/1")).epochs_scored > 0);
  return told;
}

/** A command of the program against the node under test. */
const run = async (...words) => (await promisify(execFile)(program, words, { env: { ...process.env, DODONA_NODE: `http://127.0.0.1:${rest}` } })).stdout;

async function end(signal) {
  const gone = new Promise((resolve) => node.once("exit", resolve));
  node.kill(signal);
  await gone;
}

const go = (hash) => page.goto(`http://127.0.0.1:${port}/${hash}`);
const height = async () => Number(await page.locator("#height").textContent());
/** The text of an element, once it matches. */
const sees = (selector, pattern, on = page) =>
  until(`${selector} to match ${pattern}`, async () => {
    const text = await on.locator(selector).first().textContent({ timeout: 1_000 });
    return pattern.test(text) ? text : null;
  });

before(async () => {
  home = await mkdtemp(join(tmpdir(), "dodona-web-"));
  port = await freePort();
  rest = await freePort();
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
  // What is of now may have moved with a block between the two questions.
  for (const line of told.parts[0].lines.filter((line) => !/^now\b/.test(line.note))) {
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

test("a subnet is listed, found, and shown with its judges, its pool and its pay", async () => {
  await go("#/subnets");
  await sees("main", /There is no subnet yet/);
  const owner = ["--key", "demo:consumer"];
  await run("subnet", "create", "prose", "--hotkey", "demo:judge", ...owner);
  await run("subnet", "hyperparameters", "1", "--set", "tempo=5", "--set", "weights_rate_limit=1", "--set", "commit_reveal=false", "--set", "emission_enabled=true", ...owner);
  await run("subnet", "start", "1", ...owner);
  for (const miner of ["demo:m1", "demo:m2", "demo:m3"]) await run("subnet", "register", "1", "--hotkey", miner, ...owner);
  await run("subnet", "stake", "1", "50", "--hotkey", "demo:judge", ...owner);
  await sees("main table", /1 · prose.*emitting/s);
  // The purse gives the judge what its transactions cost.
  const { owner_hotkey } = await api("/subnets/1");
  await fetch(`http://127.0.0.1:${port}/cosmos/auth/v1beta1/account_info/${owner_hotkey}`);
  await until("a permit to judge", async () => (await api("/subnets/1/metagraph")).neurons[0].permit);
  await run("subnet", "weights", "1", "1=100", "2=50", "3=10", "--key", "demo:judge");
  const judged = await until("pay by judgement", async () => {
    const { neurons } = await api("/subnets/1/metagraph?weights=true");
    return neurons[1].incentive > 0 ? neurons : null;
  });
  await page.fill("input[name=q]", "subnet 1");
  await page.press("input[name=q]", "Enter");
  await sees("h1", /Subnet 1 · prose/);
  await until("the heat map", async () => (await page.locator("canvas.heat").getAttribute("aria-label")).includes("1 judges, 3 judged"));
  await sees("section[aria-label=Pay] svg.flow", /epoch \d+: [\d.]+.*uid 0: 100 %/s);
  await until("the chart of the pool", async () => (await page.locator("section[aria-label='The pool'] canvas").count()) === 2);
  const row = page.locator("section[aria-label=Neurons] tbody tr").nth(1);
  assert.match(await row.textContent(), /mines/);
  assert.equal(judged[0].weights.length, 3);
  await page.check("section[aria-label='Who judges whom'] input >> nth=1");
  await sees("section[aria-label='Who judges whom']", /uid 0|No bonds yet/);
  await go("#/subnets");
  await page.fill("input[name=q]", "prose");
  await page.press("input[name=q]", "Enter");
  await until("the page of the subnet", async () => page.url().endsWith("#/subnet/1"));
  await go("#/subnet/77");
  await sees("main", /Subnet 77: not found: subnet 77/);
  await go("#/subnet/x");
  await sees("main", /netuid `x`: send a whole number/);
});

test("what the other rule would have said is computed from the recorded inputs, and drawn", async () => {
  const { epochs } = await api("/topics/1/otherwise?rule=power&limit=500");
  const given = new Map((await api("/topics/1/chart")).epochs.map((epoch, i) => [epoch, i]));
  const chart = await api("/topics/1/chart");
  // The topic's own rule, computed in the same way, says what the chain said, to the last digit.
  assert.ok(epochs.length > 20);
  for (const e of epochs.filter((e) => given.has(e.epoch))) {
    assert.equal(e.columns[0].combined, chart.columns[0].combined[chart.epochs.indexOf(e.epoch)], `epoch ${e.epoch}`);
    assert.equal(e.loss, e.given_loss);
  }
  await go("#/topic/1");
  await page.check("text=what regret would have said");
  await sees("main", /Rule regret, with the chain’s own code.*mean loss [\d\u202f.]+ against/s);
  // Classes: a probability of every label.
  const classes = (await api("/topics/2/otherwise?rule=regret&limit=500")).epochs;
  assert.ok(classes.length > 20);
  for (const e of classes) assert.ok(Math.abs(e.columns.reduce((sum, c) => sum + c.combined, 0) - 1) < 1e-9, `epoch ${e.epoch}`);
  await go("#/topic/2");
  await page.check("text=what regret would have said");
  await sees("main", /Rule regret, with the chain’s own code.*mean loss [\d\u202f.]+ against/s);
  for (const [path, said] of [["/topics/1/otherwise?rule=mean", /send power or regret/], ["/topics/99/otherwise?rule=power", /not found/], ["/topics/1/chart?members=x", /member `x`/]]) {
    assert.match((await api(path)).error, said);
  }
});

test("the pay of an epoch flows from its sources to everybody, and the next window has a time", async () => {
  await go("#/topic/1");
  await sees(".rewards svg.flow", /funding and fees: .*topic 1: .*boosted-trees: /s);
  await sees(".timeline", /next window in about \d+ s/);
  await sees(".timeline", /scored with block \d+/);
});

test("the node tells of its blocks by itself, and is asked where it cannot", async () => {
  const asked = [];
  const listen = (request) => asked.push(new URL(request.url()).pathname);
  page.on("request", listen);
  await go("#/topic/1");
  await page.reload();
  const first = await until("a height", height);
  await until("four blocks", async () => (await height()) >= first + 4);
  page.off("request", listen);
  assert.ok(asked.includes("/dodona/v1/live"));
  assert.ok(asked.filter((path) => path === "/dodona/v1/status").length <= 2, "the height is not asked for while it is told");
  const other = await browser.newPage();
  await other.route("**/dodona/v1/live", (route) => route.abort());
  await other.goto(`http://127.0.0.1:${port}/#/topic/1`);
  const told = async () => Number(await other.locator("#height").textContent());
  const from = await until("a height without a stream", told);
  await until("two blocks without a stream", async () => (await told()) >= from + 2);
  await other.close();
});

/** Everything that the wallet can send, once, by whoever signs on this page: a topic funded, stake behind a validator, a reputer and in a subnet, and the way back. */
async function sendsEverything(on) {
  const seen = (selector, pattern) => sees(selector, pattern, on);
  const send = async (outcome) => {
    await on.click("text=Sign and send");
    await seen("#outcome", outcome);
  };
  const funded = BigInt((await api("/topics/1")).funded);
  await on.fill("input[name=amount]", "none");
  await send(/“none” is no amount/);
  await on.fill("input[name=amount]", "0.25");
  await send(/done, in block \d+/);
  assert.equal(BigInt((await api("/topics/1")).funded) - funded, 250_000_000_000_000_000n);
  await on.check("text=delegate to a validator");
  await seen("select[name=upon]", /\w/);
  await send(/done, in block \d+/);
  await on.check("text=stake behind a reputer");
  await seen("select[name=upon]", /reputer-1/);
  await send(/done, in block \d+/);
  // What is staked earns, and comes back by the same page.
  const behind = on.locator(".holdings li", { hasText: "validator" });
  await until("the delegation among what is staked", async () => (await behind.count()) === 1);
  await behind.locator("input[name=back]").fill("2");
  await behind.locator("text=Take back").click();
  await seen("#returned", /cannot be taken back/);
  await until("a reward of blocks", async () => behind.locator("text=Collect").isEnabled());
  await behind.locator("text=Collect").click();
  await seen("#returned", /collected, in block \d+/);
  await behind.locator("input[name=back]").fill("0.25");
  await behind.locator("text=Take back").click();
  await seen("#returned", /on its way back, in block \d+/);
  await seen(".holdings", /0\.2500 ALLO come back from/);
  const upon = on.locator(".holdings li", { hasText: "reputer-1 of topic" });
  await until("a reward of the reputer’s epochs", async () => upon.locator("text=Collect").isEnabled());
  await upon.locator("text=Collect").click();
  await seen("#returned", /collected, in block \d+/);
  await upon.locator("text=Take back").click();
  await seen("#returned", /on its way back, in block \d+/);
  await seen(".holdings", /of which 0\.2500 ALLO leave/);
  // Into a subnet and out again, at a price that is told and limited.
  await on.check("text=stake in a subnet");
  await seen("select[name=upon]", /uid 0/);
  await on.fill("input[name=amount]", "5000000");
  await send(/(fund|balance|spend|hold)/i);
  await on.fill("input[name=amount]", "1");
  await seen(".terms", /it brings [\d.]+ of its token for 1\.0000 ALLO, [\d.]+ ALLO each/);
  await on.fill("input[name=limit]", "0.000001");
  await seen(".terms", /At this limit nothing is traded now/);
  await on.fill("input[name=limit]", "cheap");
  await send(/“cheap” is no price/);
  await on.fill("input[name=limit]", "");
  await send(/done: bought [\d.]+ of its token for [\d.]+ ALLO after the fee, in block \d+/);
  const row = on.locator(".holdings li", { hasText: "subnet 1" });
  await until("the stake in the subnet", async () => (await row.count()) === 1);
  const { hotkey, amount } = (await api(`/subnets/holdings?coldkey=${await on.locator("a[href^='#/account/']").first().getAttribute("title")}`)).holdings[0];
  await row.locator("summary").click();
  await until("what its sale would bring", async () => /it brings [\d.]+ ALLO for [\d.]+ of its token/.test(await row.locator(".terms").textContent()));
  const limit = Number(await row.locator("input[name=limit]").inputValue());
  assert.ok(limit > 0 && limit < Number((await api("/subnets/1")).price), `the limit ${limit} is below the price`);
  await row.locator("input[name=sell]").fill("999");
  await row.locator("button").click();
  await seen("#sold", /“999” cannot be taken back/);
  await row.locator("input[name=sell]").fill("0.4");
  await row.locator("input[name=limit]").fill("999999");
  await row.locator("button").click();
  await seen("#sold", /nothing was traded at this limit, 0\.4000 of its token stay staked, in block \d+/);
  await row.locator("input[name=limit]").fill("");
  await row.locator("button").click();
  await seen("#sold", /done: sold 0\.4000 of its token for [\d.]+ ALLO before the fee, in block \d+/);
  const coldkey = await on.locator("a[href^='#/account/']").first().getAttribute("title");
  const left = (await api(`/subnets/holdings?coldkey=${coldkey}`)).holdings.find((h) => h.hotkey === hotkey);
  assert.ok(Number(left.amount) < Number(amount) - 3e8, `${left.amount} of ${amount} are left`);
}

test("a test wallet made in the page funds a topic, delegates, stakes, collects and takes back", async () => {
  await go("#/wallet/fund/1");
  await page.click("text=Make a test wallet");
  await sees("#balance", /1\u202f000\.0000 ALLO|[1-9]\d*\.\d{4} ALLO/);
  await sendsEverything(page);
  await page.click("#sold a");
  await sees(".verdict", /It took effect/);
  const secret = await page.evaluate(() => sessionStorage.getItem("dodona-test-key"));
  assert.match(secret, /^[0-9a-f]{64}$/);
});

/** What hardware wallets sign: JSON with sorted keys, without what HTML could take for its own. Written independently of the page. */
function sortedJson(value) {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value).replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${sortedJson(value[key])}`).join(",")}}`;
}

/** A page with a stand-in for Keplr, whose key is its own; it signs what it is shown, and nothing else of Keplr is imitated. */
async function withKeplr(ledger) {
  const secret = secp256k1.utils.randomSecretKey();
  const other = await browser.newPage();
  other.setDefaultTimeout(PATIENCE);
  other.on("pageerror", (error) => troubles.push(error.message));
  const seen = [];
  const sign = (bytes) => Buffer.from(secp256k1.sign(bytes, secret, { lowS: true })).toString("base64");
  await other.exposeFunction("askStandIn", (what, value) => {
    seen.push([what, value]);
    if (what === "amino") return sign(Buffer.from(sortedJson(value)));
    if (what !== "sign") return Array.from(secp256k1.getPublicKey(secret, true));
    const length = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...length(n >> 7)]);
    const field = (at, bytes) => [(at << 3) | 2, ...length(bytes.length), ...bytes];
    const number = Number(value.accountNumber);
    const doc = [...field(1, value.body), ...field(2, value.auth), ...field(3, Buffer.from(value.chainId)), ...(number ? [32, ...length(number)] : [])];
    return sign(Uint8Array.from(doc));
  });
  const own = bech32("allo", ripemd160(sha256(secp256k1.getPublicKey(secret, true))));
  await other.addInitScript(([address, ledger]) => {
    globalThis.keplr = {
      experimentalSuggestChain: async (card) => void (await globalThis.askStandIn("suggest", card)),
      enable: async (chain) => void (await globalThis.askStandIn("enable", chain)),
      getKey: async (chain) => ({ name: "stand-in", bech32Address: address, isNanoLedger: ledger, pubKey: Uint8Array.from(await globalThis.askStandIn("key", chain)) }),
      signDirect: async (chain, from, doc) => {
        if (ledger) throw new Error("a Ledger signs no bytes");
        const signature = await globalThis.askStandIn("sign", { chainId: doc.chainId, accountNumber: String(doc.accountNumber), body: Array.from(doc.bodyBytes), auth: Array.from(doc.authInfoBytes) });
        return { signed: doc, signature: { signature } };
      },
      // Whoever holds the Ledger may change the fee and the memo.
      signAmino: async (chain, from, doc) => {
        const signed = { ...doc, memo: "<seen & signed>", fee: { ...doc.fee, gas: String(Number(doc.fee.gas) + 1) } };
        return { signed, signature: { signature: await globalThis.askStandIn("amino", signed) } };
      },
    };
  }, [own, ledger]);
  await other.goto(`http://127.0.0.1:${port}/#/wallet/fund/1`);
  await other.click("text=Connect Keplr");
  await sees("#balance", /ALLO/, other);
  return { other, seen };
}

test("Keplr is told about the chain, and what it signs is accepted", async () => {
  const { other, seen } = await withKeplr(false);
  await other.click("text=Sign and send");
  await sees("#outcome", /done, in block/, other);
  const card = seen.find(([what]) => what === "suggest")[1];
  assert.equal(card.chainId, (await api("/status")).chain_id);
  assert.equal(card.bech32Config.bech32PrefixAccAddr, "allo");
  assert.deepEqual(seen.map(([what]) => what), ["suggest", "enable", "key", "sign"]);
  await other.close();
});

test("a Ledger behind Keplr signs JSON, for everything that the wallet sends", async () => {
  const { other, seen } = await withKeplr(true);
  await sees("main", /Keplr, stand-in, on a Ledger/, other);
  await sendsEverything(other);
  const signed = seen.filter(([what]) => what === "amino").map(([, doc]) => doc.msgs[0].type);
  assert.deepEqual([...new Set(signed)].sort(), [
    "/dodona.subnets.v1.MsgStake", "/dodona.subnets.v1.MsgUnstake", "/dodona.topics.v1.MsgClaimDelegateRewards", "/dodona.topics.v1.MsgDelegateStake",
    "/dodona.topics.v1.MsgFundTopic", "/dodona.topics.v1.MsgRemoveDelegateStake", "cosmos-sdk/MsgDelegate", "cosmos-sdk/MsgUndelegate", "cosmos-sdk/MsgWithdrawDelegationReward",
  ]);
  assert.ok(!seen.some(([what]) => what === "sign"));
  await other.close();
});

test("every page is free of serious findings of axe, and fits into a narrow window", async () => {
  const axe = await readFile(join(here, "../node_modules/axe-core/axe.min.js"), "utf8");
  const { address } = (await api("/topics/1/leaderboard")).rows[0];
  const { validators } = await api("/validators");
  const pages = ["#/topic/1", "#/topic/2", `#/topic/1/why/${address}`, "#/verify/1", "#/explore", "#/block/20", "#/join/1", "#/subnets", "#/subnet/1", "#/wallet/validator", `#/topic/1/mark/${address}`, `#/validator/${validators[0].operator}`];
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
