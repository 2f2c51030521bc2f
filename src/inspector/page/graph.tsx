/**
 * The picture: nodes in layers from left to right, and lines between them.
 */
import { graphlib, layout } from '@dagrejs/dagre';
import { escaped } from '../../trace/lines.js';
import type { Node, Scene } from '../scene.js';
import { scene, selected } from './state.js';

const [WIDTH, HEIGHT, GAP, ABOVE, MARGIN] = [158, 40, 46, 12, 12];
/** Which column a kind of node is in. */
const COLUMNS = { process: 0, context: 1, space: 2, group: 2, device: 3 } as const;

interface Placed {
  readonly nodes: readonly (Node & { readonly x: number; readonly y: number })[];
  readonly lines: readonly {
    readonly key: string;
    readonly d: string;
    readonly access: boolean;
    readonly on: boolean;
  }[];
  readonly width: number;
  readonly height: number;
}

/** The order in a column is the layout's; the columns are always the same, so that nothing jumps. */
function place({ nodes, lines }: Scene, focus: string | undefined): Placed {
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: 'LR', nodesep: ABOVE });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { key } of nodes) graph.setNode(key, { width: WIDTH, height: HEIGHT });
  for (const { from, to } of lines) graph.setEdge(from, to);
  if (nodes.length > 0) layout(graph);
  const wanted = (key: string) => (graph.node(key) as { y: number }).y;
  const bottoms = [0, 0, 0, 0];
  const placed = new Map<string, Node & { readonly x: number; readonly y: number }>();
  for (const each of nodes.toSorted((a, b) => wanted(a.key) - wanted(b.key))) {
    const column = COLUMNS[each.kind];
    const y = Math.max(wanted(each.key) + MARGIN, bottoms[column]! + ABOVE + HEIGHT / 2);
    bottoms[column] = y + HEIGHT / 2;
    placed.set(each.key, { ...each, x: MARGIN + WIDTH / 2 + column * (WIDTH + GAP), y });
  }
  return {
    width: 2 * MARGIN + 4 * WIDTH + 3 * GAP,
    height: Math.max(...bottoms) + MARGIN,
    nodes: [...placed.values()],
    lines: lines.map(({ from, to, access }) => ({
      key: `${from} ${to}`,
      d: wayBetween(placed.get(from)!, placed.get(to)!),
      access,
      on: from === focus || to === focus,
    })),
  };
}

interface Place {
  readonly x: number;
  readonly y: number;
}

/** From the right of one to the left of the other; within a column around its right. */
function wayBetween(a: Place, b: Place): string {
  const start = a.x + WIDTH / 2;
  const end = a.x === b.x ? start : b.x - WIDTH / 2;
  const [out, back] =
    a.x === b.x ? [start + GAP / 2, start + GAP / 2] : [(start + end) / 2, (start + end) / 2];
  return `M${start},${a.y} C${out},${a.y} ${back},${b.y} ${end},${b.y}`;
}

function select(key: string): void {
  selected.value = key;
}

/** Moves the focus to the next node by an arrow key; Enter and the space bar select. */
function onKey(event: KeyboardEvent, key: string): void {
  const all = [...document.querySelectorAll<SVGGElement>('g.node')];
  const here = all.indexOf(event.currentTarget as SVGGElement);
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (event.key === 'Enter' || event.key === ' ') select(key);
  else if (step !== undefined) all[here + step]?.focus();
  else return;
  event.preventDefault();
}

export function Graph() {
  const { nodes, lines, width, height } = place(scene.value, selected.value);
  const ordered = nodes.toSorted((a, b) => COLUMNS[a.kind] - COLUMNS[b.kind] || a.y - b.y);
  return (
    <svg width={width} height={height} aria-label="who may reach what">
      <title>Programs, address spaces and devices</title>
      {lines.map(({ key, d, access, on }) => (
        <path key={key} d={d} class={`${access ? 'access' : 'has'}${on ? ' on' : ''}`} />
      ))}
      {ordered.map(({ key, kind, title, note, x, y }) => (
        // biome-ignore lint/a11y/useSemanticElements: there are no buttons in a picture
        <g
          key={key}
          class={`node ${kind}${selected.value === key ? ' selected' : ''}`}
          transform={`translate(${x - WIDTH / 2},${y - HEIGHT / 2})`}
          tabIndex={0}
          role="button"
          data-key={key}
          onClick={() => select(key)}
          onKeyDown={(event) => onKey(event, key)}
        >
          <rect width={WIDTH} height={HEIGHT} rx={5} />
          <text x={9} y={17}>
            {escaped(title).slice(0, 24)}
          </text>
          <text x={9} y={32} class="note">
            {escaped(note).slice(0, 28)}
          </text>
        </g>
      ))}
    </svg>
  );
}
