/**
 * The picture: nodes in layers from left to right, and lines between them.
 */
import { graphlib, layout } from '@dagrejs/dagre';
import { escaped } from '../../trace/lines.js';
import type { Node, Scene } from '../scene.js';
import { scene, selected } from './state.js';

const [WIDTH, HEIGHT, GAP, ABOVE, MARGIN] = [158, 40, 46, 12, 12];
/** An open file stands below its process, close to what is above it. */
const [FILE_HEIGHT, FILE_ABOVE, INDENT] = [22, 3, 14];
/** Which column a kind of node is in. */
const COLUMNS = { process: 0, file: 0, context: 1, space: 2, group: 2, device: 3 } as const;

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
  const nodeOf = new Map(nodes.map(({ key, process }) => [key, process ?? key]));
  for (const key of nodeOf.values()) graph.setNode(key, { width: WIDTH, height: HEIGHT });
  for (const { from, to } of lines) graph.setEdge(nodeOf.get(from)!, nodeOf.get(to)!);
  if (nodes.length > 0) layout(graph);
  const wanted = (key: string) => (graph.node(nodeOf.get(key)!) as { y: number }).y;
  const bottoms = [0, 0, 0, 0];
  const placed = new Map<string, Node & { readonly x: number; readonly y: number }>();
  for (const each of nodes.toSorted(
    (a, b) => wanted(a.key) - wanted(b.key) || processOf(a).localeCompare(processOf(b)),
  )) {
    const column = COLUMNS[each.kind];
    const file = each.kind === 'file';
    const [height, above] = file ? [FILE_HEIGHT, FILE_ABOVE] : [HEIGHT, ABOVE];
    const least = bottoms[column]! + above + height / 2;
    const y = file ? least : Math.max(wanted(each.key) + MARGIN, least);
    bottoms[column] = y + height / 2;
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

/** The process whose own node, or whose open file, a node is: they stand together. */
function processOf({ key, process }: Node): string {
  return process ?? key;
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
          transform={`translate(${x - WIDTH / 2},${y - (kind === 'file' ? FILE_HEIGHT : HEIGHT) / 2})`}
          tabIndex={0}
          role="button"
          data-key={key}
          onClick={() => select(key)}
          onKeyDown={(event) => onKey(event, key)}
        >
          {kind === 'file' ? (
            <>
              <rect x={INDENT} width={WIDTH - INDENT} height={FILE_HEIGHT} rx={4} />
              <text x={INDENT + 7} y={15} class="note">
                {escaped(title).slice(0, 25)}
              </text>
            </>
          ) : (
            <>
              <rect width={WIDTH} height={HEIGHT} rx={5} />
              <text x={9} y={17}>
                {escaped(title).slice(0, 24)}
              </text>
              <text x={9} y={32} class="note">
                {escaped(note).slice(0, 28)}
              </text>
            </>
          )}
        </g>
      ))}
    </svg>
  );
}
