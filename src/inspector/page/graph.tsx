/**
 * The picture: nodes in layers from left to right, and lines between them.
 */
import { graphlib, layout } from '@dagrejs/dagre';
import { computed } from '@preact/signals';
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
    readonly from: string;
    readonly to: string;
    readonly access: boolean;
  }[];
  readonly width: number;
  readonly height: number;
}

/**
 * Which node of the layout each node is: an open file is its process, and nodes of a kind that have the same
 * lines are one, a high one, in which they stand one below the other. Else sixty address spaces of a context
 * would take the layout longer than a key press may.
 */
function standIns({ nodes, lines }: Scene): Map<string, string> {
  const linesOf = new Map<string, string>();
  const add = (key: string, line: string) => linesOf.set(key, `${linesOf.get(key) ?? ''}\n${line}`);
  for (const { from, to } of lines) {
    add(from, `to ${to}`);
    add(to, `from ${from}`);
  }
  const first = new Map<string, string>();
  return new Map(
    nodes.map(({ key, kind, process }) => {
      if (kind === 'process' || process !== undefined) return [key, process ?? key];
      const alike = `${kind}${linesOf.get(key) ?? ''}`;
      const standIn = first.get(alike) ?? key;
      first.set(alike, standIn);
      return [key, standIn];
    }),
  );
}

/** The order in a column is the layout's; the columns are always the same, so that nothing jumps. */
function place(shown: Scene): Placed {
  const { nodes, lines } = shown;
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: 'LR', nodesep: ABOVE });
  graph.setDefaultEdgeLabel(() => ({}));
  const nodeOf = standIns(shown);
  const heights = new Map<string, number>();
  for (const { key, kind } of nodes) {
    const standIn = nodeOf.get(key)!;
    const before = heights.get(standIn);
    if (before === undefined) heights.set(standIn, HEIGHT);
    else if (kind !== 'file') heights.set(standIn, before + ABOVE + HEIGHT);
  }
  for (const [key, height] of heights) graph.setNode(key, { width: WIDTH, height });
  for (const { from, to } of lines) graph.setEdge(nodeOf.get(from)!, nodeOf.get(to)!);
  if (nodes.length > 0) layout(graph);
  const wanted = (key: string) => {
    const { y, height } = graph.node(nodeOf.get(key)!) as { y: number; height: number };
    return y - height / 2 + HEIGHT / 2;
  };
  const bottoms = [0, 0, 0, 0];
  const placed = new Map<string, Node & { readonly x: number; readonly y: number }>();
  for (const each of nodes.toSorted(
    (a, b) => wanted(a.key) - wanted(b.key) || nodeOf.get(a.key)!.localeCompare(nodeOf.get(b.key)!),
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
      ...{ from, to, access },
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

/** Made anew when what is shown changes, and not when something is selected. */
const picture = computed(() => place(scene.value));

export function Graph() {
  const { nodes, lines, width, height } = picture.value;
  const focus = selected.value;
  const ordered = nodes.toSorted((a, b) => COLUMNS[a.kind] - COLUMNS[b.kind] || a.y - b.y);
  return (
    <svg width={width} height={height} aria-label="who may reach what">
      <title>Programs, address spaces and devices</title>
      {lines.map(({ key, d, from, to, access }) => (
        <path
          key={key}
          d={d}
          class={`${access ? 'access' : 'has'}${from === focus || to === focus ? ' on' : ''}`}
        />
      ))}
      {ordered.map(({ key, kind, title, note, x, y }) => (
        // biome-ignore lint/a11y/useSemanticElements: there are no buttons in a picture
        <g
          key={key}
          class={`node ${kind}${focus === key ? ' selected' : ''}`}
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
