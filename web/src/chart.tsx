// Charts over epochs: uPlot for lines that move every second, own SVG for shares. Lines differ by stroke as well as by
// colour; every chart says in words what it shows.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Stroke {
  name: string;
  values: (number | null)[];
  /** Name of a custom property of the style sheet. */
  colour: string;
  width?: number;
  dash?: number[];
  /** Dots instead of a line. */
  dots?: boolean;
  /** Small open circles instead of a line. */
  ring?: boolean;
  shown?: boolean;
}

export interface LinesProps {
  label: string;
  x: number[];
  strokes: Stroke[];
  /** Places of two strokes between which a band is filled. */
  band?: [number, number];
  unit: string;
  height: number;
  /** Newest epochs that are shown; 0 is all. */
  last: number;
  range?: [number, number];
}

/** Points of a line that are drawn at most: about two for each pixel of a wide window. */
const POINTS = 1_200;

/**
 * The part of the lines between two places of x, in at most `POINTS` points: where there are more, each stretch is drawn
 * by its least and its greatest value, dots by their last. What is seen is the same, however long the history is.
 */
export function thinned(x: number[], strokes: Stroke[], min: number, max: number): (number | null)[][] {
  let [from, to] = [0, x.length];
  while (from + 1 < to && (x[from + 1] ?? 0) < min) from += 1;
  while (to - 1 > from && (x[to - 2] ?? 0) > max) to -= 1;
  const count = to - from;
  if (count <= POINTS) return [x.slice(from, to), ...strokes.map((s) => s.values.slice(from, to))];
  const step = Math.ceil((2 * count) / POINTS);
  const out: (number | null)[][] = Array.from({ length: strokes.length + 1 }, () => []);
  for (let at = from; at < to; at += step) {
    const end = Math.min(to, at + step);
    out[0]?.push(x[at] ?? null, x[end - 1] === x[at] ? (x[at] ?? 0) + 0.5 : (x[end - 1] ?? null));
    strokes.forEach((stroke, i) => {
      let least: number | null = null;
      let greatest: number | null = null;
      let last: number | null = null;
      for (let k = at; stroke.shown !== false && k < end; k++) {
        const value = stroke.values[k] ?? null;
        if (value === null) continue;
        last = value;
        if (least === null || value < least) least = value;
        if (greatest === null || value > greatest) greatest = value;
      }
      // A rising line begins at its least value, a falling one at its greatest.
      const falls = (stroke.values[at] ?? 0) > (stroke.values[end - 1] ?? 0);
      if (stroke.dots || stroke.ring) out[i + 1]?.push(null, last);
      else out[i + 1]?.push(falls ? greatest : least, falls ? least : greatest);
    });
  }
  return out;
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || "gray";
}

export function Lines({ label, x, strokes, band, unit, height, last, range }: LinesProps) {
  const room = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const zoomed = useRef(false);
  const span = useRef(last);
  // What makes another chart; new values only move the one that is there.
  const shape = JSON.stringify([strokes.map((s) => [s.name, s.colour, s.dots, s.ring]), band, unit, range, height]);

  const newest = () => {
    const first = x[0] ?? 0;
    const end = x[x.length - 1] ?? 1;
    const from = span.current > 0 ? Math.max(first, end - span.current) : first;
    return { min: from, max: Math.max(end, from + 1) };
  };
  // What zooming looks at: the lines of the newest call.
  const whole = useRef({ x, strokes });
  whole.current = { x, strokes };
  const show = (chart: uPlot, { min, max }: { min: number; max: number }) => {
    chart.setData(thinned(whole.current.x, whole.current.strokes, min, max) as uPlot.AlignedData, false);
    chart.setScale("x", { min, max });
  };
  const view = (chart: uPlot) => show(chart, newest());

  useEffect(() => {
    const box = room.current;
    if (!box) return;
    const build = () => {
      plot.current?.destroy();
      const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
      const fill = colour("--band");
      const chart = new uPlot(
        {
          width: box.clientWidth || 300,
          height,
          legend: { show: false },
          cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false }, bind: { dblclick: () => null } },
          scales: { x: { time: false }, y: range ? { range } : {} },
          axes: [
            { ...axis, size: 30, values: (_, at) => at.map((v) => (Number.isInteger(v) ? String(v) : "")) },
            { ...axis, size: 64, values: (_, at) => at.map((v) => (unit === "%" ? `${Math.round(v * 100)} %` : v.toLocaleString("en", { maximumSignificantDigits: 6 }).replaceAll(",", "\u202f"))) },
          ],
          series: [
            {},
            ...strokes.map((s): uPlot.Series => ({
              label: s.name,
              show: s.shown !== false,
              stroke: colour(s.colour),
              width: s.dots || s.ring ? 0 : (s.width ?? 1),
              ...(s.dash ? { dash: s.dash } : {}),
              points: s.dots ? { show: true, size: 6, fill: colour(s.colour), stroke: colour("--paper"), width: 1 }
                : s.ring ? { show: true, size: 5, fill: colour("--card"), stroke: colour(s.colour), width: 1.2 } : { show: false },
            })),
          ],
          bands: band ? [{ series: [band[1] + 1, band[0] + 1], fill }] : [],
          hooks: {
            setSelect: [(u) => {
              if (u.select.width <= 0) return;
              zoomed.current = true;
              const [min, max] = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
              u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
              show(u, { min, max });
            }],
          },
        },
        thinned(x, strokes, newest().min, newest().max) as uPlot.AlignedData,
        box,
      );
      chart.over.addEventListener("dblclick", () => {
        zoomed.current = false;
        view(chart);
      });
      plot.current = chart;
      view(chart);
    };
    build();
    const sized = new ResizeObserver(() => plot.current?.setSize({ width: box.clientWidth, height }));
    sized.observe(box);
    const theme = matchMedia("(prefers-color-scheme: dark)");
    theme.addEventListener("change", build);
    return () => {
      sized.disconnect();
      theme.removeEventListener("change", build);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => {
    const chart = plot.current;
    if (!chart) return;
    if (span.current !== last) {
      span.current = last;
      zoomed.current = false;
    }
    chart.batch(() => {
      strokes.forEach((s, i) => {
        if (chart.series[i + 1]?.show !== (s.shown !== false)) chart.setSeries(i + 1, { show: s.shown !== false });
      });
      // A part that somebody looks at stays where it is; otherwise the newest comes into view.
      const { min, max } = chart.scales["x"] ?? {};
      if (zoomed.current && typeof min === "number" && typeof max === "number") show(chart, { min, max });
      else view(chart);
    });
  });

  return <div class="plot" role="img" aria-label={label} ref={room} style={{ height: `${height}px` }} />;
}

export interface Layer { name: string; values: number[] }

/** Shares over time, stacked; each layer is named at its right end where there is room. */
export function Stack({ label, layers, height }: { label: string; layers: Layer[]; height: number }) {
  const points = layers[0]?.values.length ?? 0;
  if (points < 2) return <p class="empty" style={{ height: `${height}px` }}>Weights appear with the second epoch.</p>;
  const width = 1000;
  const below = new Array<number>(points).fill(0);
  const drawn = layers.map((layer, i) => {
    const at = (k: number, share: number) => `${((k / (points - 1)) * width).toFixed(1)},${(height * (1 - share)).toFixed(1)}`;
    const low = [...below];
    layer.values.forEach((v, k) => { below[k] = (below[k] ?? 0) + v; });
    const up = below.map((v, k) => at(k, Math.min(1, v)));
    const down = low.map((v, k) => at(k, Math.min(1, v))).reverse();
    const middle = ((low[points - 1] ?? 0) + (below[points - 1] ?? 0)) / 2;
    return { name: layer.name, share: layer.values[points - 1] ?? 0, path: `M${up.join("L")}L${down.join("L")}Z`, middle, i };
  });
  return (
    <div class="stack" style={{ height: `${height}px` }}>
      <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={label}>
        {drawn.map((d) => <path key={d.name} d={d.path} class={`layer l${d.i % 8}`} />)}
      </svg>
      <ul aria-hidden="true">
        {drawn.filter((d) => d.share > 0.045).map((d) => (
          <li key={d.name} style={{ top: `${(1 - d.middle) * 100}%` }}><i class={`key l${d.i % 8}`} /><b>{Math.round(d.share * 100)} %</b> {d.name}</li>
        ))}
      </ul>
    </div>
  );
}
