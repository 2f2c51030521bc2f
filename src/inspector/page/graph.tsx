/**
 * The picture: nodes in layers from left to right, and lines between them.
 */
import { graphlib, layout } from '@dagrejs/dagre';
import { escaped } from '../../trace/lines.js';
import type { Node, Scene } from '../scene.js';
import { scene, selected } from './state.js';

const [WIDTH, HEIGHT] = [176, 40];
/** The lines of a scene with more are drawn straight: their ways would take long to find. */
const COLUMNS = ['process', 'context', 'space', 'device'];

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

function place({ nodes, lines }: Scene, focus: string | undefined): Placed {
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: 'LR', nodesep: 14, ranksep: 70, marginx: 12, marginy: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { key } of nodes) graph.setNode(key, { width: WIDTH, height: HEIGHT });
  for (const { from, to } of lines) graph.setEdge(from, to);
  layout(graph);
  const at = (key: string) => graph.node(key) as { x: number; y: number };
  const { width = 0, height = 0 } = graph.graph();
  return {
    width,
    height,
    nodes: nodes.map((each) => ({ ...each, x: at(each.key).x, y: at(each.key).y })),
    lines: lines.map(({ from, to, access }) => {
      const [a, b] = [at(from), at(to)];
      const [start, end] = [a.x + WIDTH / 2, b.x - WIDTH / 2];
      const middle = (start + end) / 2;
      const d = `M${start},${a.y} C${middle},${a.y} ${middle},${b.y} ${end},${b.y}`;
      return { key: `${from} ${to}`, d, access, on: from === focus || to === focus };
    }),
  };
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
  const ordered = nodes.toSorted((a, b) => COLUMNS.indexOf(a.kind) - COLUMNS.indexOf(b.kind) || a.y - b.y);
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
