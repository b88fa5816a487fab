// Small pieces that several pages are made of.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

export function Figure({ name, children }: { name: string; children: ComponentChildren }) {
  return <div><dt>{name}</dt><dd>{children}</dd></div>;
}

/** What may be wider than the window; it scrolls by itself, also by keyboard. */
export function Scroll({ name, children }: { name: string; children: ComponentChildren }) {
  return <div class="scroll" tabIndex={0} role="region" aria-label={name}>{children}</div>;
}

export function Raw({ value }: { value: unknown }) {
  return <details><summary>Raw view</summary><pre tabIndex={0}>{JSON.stringify(value, null, 2)}</pre></details>;
}

/** The width of an element, followed as the window changes. */
export function useWidth(): [{ current: HTMLDivElement | null }, number] {
  const room = useRef<HTMLDivElement>(null);
  const [width, set] = useState(0);
  useEffect(() => {
    const box = room.current;
    if (!box) return;
    set(box.clientWidth);
    const sized = new ResizeObserver(() => set(box.clientWidth));
    sized.observe(box);
    return () => sized.disconnect();
  }, []);
  return [room, width];
}

/** Calls again when the theme changes: what is drawn on a canvas does not follow the style sheet. */
export function useTheme(): number {
  const [count, set] = useState(0);
  useEffect(() => {
    const theme = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => set((n) => n + 1);
    theme.addEventListener("change", changed);
    return () => theme.removeEventListener("change", changed);
  }, []);
  return count;
}
