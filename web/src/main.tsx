// The frame around every page: where one is (in the address, so that it can be shared), search, and the node's pulse.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Join } from "./pages/join";
import { Account, BlockPage, Explorer, Tx, ValidatorPage } from "./pages/explorer";
import { findSubnet, SubnetPage, Subnets } from "./pages/subnets";
import { TopicPage } from "./pages/topic";
import { Verify } from "./pages/verify";
import { WalletPage } from "./pages/wallet";
import { page, Refused, usePulse, type Board, type Pulse, type Topic } from "./node";
import "./style.css";

function useRoute(): string[] {
  const read = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(plain);
  const [route, set] = useState(read);
  useEffect(() => {
    const moved = () => set(read());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return route;
}

function plain(piece: string): string {
  try {
    return decodeURIComponent(piece);
  } catch {
    return piece;
  }
}

const PAGES: [string, string, string[]][] = [
  ["#/topic/1", "Live", ["topic"]],
  ["#/subnets", "Subnets", ["subnets", "subnet"]],
  ["#/verify/1", "Verify", ["verify"]],
  ["#/explore", "Explorer", ["explore", "block", "tx", "account", "validator"]],
  ["#/wallet", "Wallet", ["wallet"]],
  ["#/join/1", "Bring your model", ["join"]],
];

function App() {
  const route = useRoute();
  const pulse = usePulse();
  const [kind = "topic", what = "", ...more] = route;
  useEffect(() => {
    const name = PAGES.find(([, , kinds]) => kinds.includes(kind))?.[1] ?? "Not found";
    document.title = `${name} · Dodona`;
  }, [kind]);
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById("main")?.focus(); }}>
        Skip to the content
      </a>
      <header>
        <a class="name" href="#/topic/1">Dodona</a>
        <nav aria-label="Pages">
          {PAGES.map(([to, name, kinds]) => (
            <a key={to} href={to} aria-current={kinds.includes(kind) ? "page" : undefined}>{name}</a>
          ))}
        </nav>
        <Search />
        <Beat pulse={pulse} />
      </header>
      <div class="banner" role="status" aria-live="polite">
        {pulse.lost ? `The node does not answer since ${clock(pulse.since)}. What you see is the last it said; asked again every second.` : ""}
      </div>
      <main id="main" tabIndex={-1}>
        {kind === "topic" ? <TopicPage id={what || "1"} why={more[0] === "why" ? more.slice(1) : null} mark={more[0] === "mark" ? (more[1] ?? "") : null} pulse={pulse} />
          : kind === "verify" ? <Verify id={what || "1"} pulse={pulse} />
          : kind === "subnets" ? <Subnets pulse={pulse} />
          : kind === "subnet" ? <SubnetPage id={what} pulse={pulse} />
          : kind === "explore" ? <Explorer pulse={pulse} />
          : kind === "block" ? <BlockPage height={what} />
          : kind === "tx" ? <Tx hash={what} />
          : kind === "account" ? <Account address={what} pulse={pulse} />
          : kind === "validator" ? <ValidatorPage operator={what} pulse={pulse} />
          : kind === "wallet" ? <WalletPage key={route.join("/")} wish={route.slice(1)} pulse={pulse} />
          : kind === "join" ? <Join id={what || "1"} pulse={pulse} />
          : <p class="empty">There is no page “{kind}”. <a href="#/topic/1">To the live page</a></p>}
      </main>
    </>
  );
}

function clock(ms: number): string {
  return new Date(ms).toLocaleTimeString();
}

function Beat({ pulse }: { pulse: Pulse }) {
  const { status, lost } = pulse;
  return (
    <p class="beat" title={status ? `block ${status.block_id}, state ${status.app_hash}` : ""}>
      <span class={lost || !status ? "dot lost" : "dot"} aria-hidden="true" />
      {status ? <><span class="chain">{status.chain_id} · </span>block <b id="height">{status.height}</b></> : lost ? "no node" : "asking…"}
    </p>
  );
}

/** Where a search leads: a height, a hash, an address, a topic or subnet, or the name of a member. */
async function find(words: string): Promise<string | null> {
  const wanted = words.trim();
  if (/^\d+$/.test(wanted)) return `#/block/${wanted}`;
  if (/^(0x)?[0-9a-f]{64}$/i.test(wanted)) return `#/tx/${wanted.replace(/^0x/i, "").toLowerCase()}`;
  if (/^allovaloper1[0-9a-z]{20,80}$/.test(wanted)) return `#/validator/${wanted}`;
  if (/^allo1[0-9a-z]{20,80}$/.test(wanted)) return `#/account/${wanted}`;
  const numbered = /^topic\s+(\d+)$/i.exec(wanted);
  if (numbered) return `#/topic/${numbered[1]}`;
  const market = /^subnet\s+(\d+)$/i.exec(wanted);
  if (market) return `#/subnet/${market[1]}`;
  const { topics } = await page<{ topics: Topic[] }>("/topics?limit=50");
  const low = wanted.toLowerCase();
  for (const topic of topics) {
    const { rows } = await page<Board>(`/topics/${topic.topic_id}/board?limit=1&name=${encodeURIComponent(wanted)}`);
    const row = rows.find((row) => row.name.toLowerCase() === low);
    if (row) return `#/topic/${topic.topic_id}/why/${row.address}`;
  }
  const named = topics.find((topic) => topic.spec.title.toLowerCase().includes(low));
  if (named) return `#/topic/${named.topic_id}`;
  const netuid = await findSubnet(wanted);
  return netuid === null ? null : `#/subnet/${netuid}`;
}

function Search() {
  const [said, say] = useState("");
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const words = String(new FormData(event.currentTarget as HTMLFormElement).get("q") ?? "");
    if (!words.trim()) return;
    const from = location.hash;
    try {
      const to = await find(words);
      // Whoever has gone elsewhere meanwhile stays there.
      if (to && location.hash === from) location.hash = to;
      say(to ? "" : "nothing is called so: a height, a hash, an address, topic 1, subnet 1, or a name");
    } catch (error) {
      say(error instanceof Refused ? error.message : "the node does not answer");
    }
  };
  return (
    <form class="search" role="search" onSubmit={submit}>
      <input name="q" type="search" maxLength={100} aria-label="Search: height, hash, address, topic, subnet or member" placeholder="name, height, address, hash" autocomplete="off" />
      <button type="submit">Search</button>
      <span role="status" class="note">{said}</span>
    </form>
  );
}

const room = document.getElementById("app");
if (room) render(<App />, room);
