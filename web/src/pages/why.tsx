// "Why?": every input of a member's score and pay, as the chain explains it, in a drawer that has its own address.
import { useEffect, useRef } from "preact/hooks";
import { useAsk, type Explanation, type Line, type Topic } from "../node";
import { allo, exactAllo, number } from "../units";

export function Why({ topic, address, nonce, beat }: { topic: Topic; address: string; nonce: string; beat: string }) {
  const id = topic.topic_id;
  const path = nonce ? `/topics/${id}/epochs/${encodeURIComponent(nonce)}/explain/${encodeURIComponent(address)}` : `/topics/${id}/explain/${encodeURIComponent(address)}`;
  const asked = useAsk<Explanation>(path, beat);
  const drawer = useRef<HTMLDialogElement>(null);
  const back = () => { location.hash = `#/topic/${id}`; };
  useEffect(() => {
    const dialog = drawer.current;
    const before = document.activeElement;
    if (dialog && !dialog.open) dialog.show();
    dialog?.focus();
    const key = (event: KeyboardEvent) => { if (event.key === "Escape") back(); };
    addEventListener("keydown", key);
    return () => {
      removeEventListener("keydown", key);
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const told = asked.value;
  return (
    <dialog class="drawer" ref={drawer} tabIndex={-1} aria-label="Why it earned what it earned">
      <button class="close" onClick={back} aria-label="Close">✕</button>
      <h2>Why? <small>{address}</small></h2>
      {asked.error && !told ? <p class="empty">{asked.error.message}</p> : null}
      {!asked.error && !told ? <p class="empty">Asking…</p> : null}
      {told ? (
        <>
          <p>Epoch with nonce {told.nonce}, {told.state}. {nonce ? <a href={`#/topic/${id}/why/${address}`}>Follow the newest</a> : <a href={`#/topic/${id}/why/${address}/${told.nonce}`}>Link to exactly this epoch</a>} · <a href={`#/account/${address}`}>its account</a></p>
          {told.parts.map((part) => (
            <section key={part.role} aria-label={part.role}>
              <h3>{part.role}{part.took_part ? "" : " (did not take part)"}</h3>
              <p class="verdict">{part.verdict}</p>
              <p>Reward: <b title={exactAllo(part.reward)}>{allo(part.reward)} ALLO</b>{part.would_have_earned ? <>; it would have earned <span title={exactAllo(part.would_have_earned)}>{allo(part.would_have_earned)} ALLO</span></> : null}</p>
              <Lines lines={part.lines} />
            </section>
          ))}
          <h3>The epoch</h3>
          <Lines lines={told.topic} />
          <p class="note">Recompute it: <code>dodona export epoch --topic {id} --nonce {told.nonce} | dodona recompute -</code></p>
        </>
      ) : null}
    </dialog>
  );
}

function Lines({ lines }: { lines: Line[] }) {
  return (
    <table class="lines"><thead class="unseen"><tr><th scope="col">quantity</th><th scope="col">value</th><th scope="col">what it is</th></tr></thead>
      <tbody>{lines.map((line) => (
        <tr key={line.name}><th scope="row">{line.name}</th><td title={line.value}>{shown(line)}</td><td class="note">{line.note}</td></tr>
      ))}</tbody></table>
  );
}

function shown({ value, note }: Line): string {
  if (/^uallo\b/.test(note) && /^\d+$/.test(value)) return `${allo(value)} ALLO`;
  if (/^-?\d+$/.test(value) && value.length < 10) return value;
  return value !== "" && Number.isFinite(Number(value)) ? number(Number(value)) : value;
}
