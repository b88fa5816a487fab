// Where tokens go: nodes in columns, bands between them as wide as what flows. Own SVG; every band and every node says
// in its title what it is, and the picture as a whole says it in words.
import { useWidth } from "./parts";

export interface FlowNode { id: string; column: number; name: string; value: number; said: string; href?: string }
export interface FlowLink { from: string; to: string; value: number; said: string }

const GAP = 10;
const BAR = 10;
/** Room for the names of the last column. */
const TAIL = 230;
/** Room for the names of the others, a column. */
const NAMED = 210;

interface Placed extends FlowNode { x: number; y: number; height: number; out: number; into: number }

export function Flow({ label, nodes, links, height = 260 }: { label: string; nodes: FlowNode[]; links: FlowLink[]; height?: number }) {
  const [room, measured] = useWidth();
  const columns = Math.max(0, ...nodes.map((n) => n.column)) + 1;
  const width = Math.max(NAMED * (columns - 1) + TAIL, measured);
  const of = (column: number) => nodes.filter((n) => n.column === column && n.value > 0);
  const all = Array.from({ length: columns }, (_, i) => of(i));
  // One scale for all columns: the fullest one decides.
  const scale = Math.min(...all.filter((c) => c.length > 0).map((c) => (height - GAP * (c.length - 1)) / c.reduce((sum, n) => sum + n.value, 0)));
  const placed = new Map<string, Placed>();
  all.forEach((column, i) => {
    let y = 0;
    for (const node of column) {
      const size = Math.max(1.5, node.value * scale);
      const x = columns > 1 ? (i * (width - TAIL - BAR)) / (columns - 1) : 0;
      placed.set(node.id, { ...node, x, y, height: size, out: y, into: y });
      // Names need their own line, however little flows.
      y += Math.max(size, 15) + GAP / 2;
    }
  });
  const tall = Math.max(height, ...[...placed.values()].map((n) => n.y + Math.max(n.height, 16)));
  const bands = links.flatMap((link) => {
    const [from, to] = [placed.get(link.from), placed.get(link.to)];
    if (!from || !to || link.value <= 0) return [];
    const size = Math.max(1, link.value * scale);
    const [x1, x2] = [from.x + BAR, to.x];
    const [y1, y2] = [from.out + size / 2, to.into + size / 2];
    from.out += size;
    to.into += size;
    const middle = (x1 + x2) / 2;
    return [{ key: `${link.from}>${link.to}`, d: `M${x1},${y1}C${middle},${y1} ${middle},${y2} ${x2},${y2}`, size, said: link.said }];
  });
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Flow">
      <div ref={room}>
        <svg class="flow" width={width} height={tall} role="img" aria-label={label}>
          {bands.map((b) => <path key={b.key} d={b.d} stroke-width={b.size} class="band"><title>{b.said}</title></path>)}
          {[...placed.values()].map((n) => (
            <g key={n.id}>
              <rect x={n.x} y={n.y} width={BAR} height={n.height} class={`node c${n.column % 4}`}><title>{n.said}</title></rect>
              <text x={n.x + BAR + 5} y={n.y + Math.min(n.height / 2, Math.max(n.height, 15)) + 4.5}>{n.name}<title>{n.said}</title></text>
            </g>
          ))}
        </svg>
      </div>
    </div>
  );
}
