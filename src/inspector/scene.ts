/**
 * Scene: what the picture shows of a machine: nodes from programs on the left to devices on the right,
 * and lines that say who may reach what.
 *
 * Of address spaces as many are shown as can be looked at: without a search those of the contexts that have
 * the fewest. The others of a context are one node.
 */
import type { Item, OpenItem, SpaceItem, UseItem } from './model.js';
import type { Items } from './past.js';

/** Address spaces that are shown one by one, and open files of a process. */
const MOST = 60;
const MOST_FILES = 12;

export interface Node {
  readonly key: string;
  readonly kind: 'process' | 'file' | 'context' | 'space' | 'group' | 'device';
  readonly title: string;
  readonly note: string;
  /** Of an open file: the node of its process, below which it stands. */
  readonly process?: string;
}

export interface Line {
  readonly from: string;
  readonly to: string;
  /** A device's entry: what it may reach. */
  readonly access: boolean;
}

export interface Scene {
  readonly nodes: readonly Node[];
  readonly lines: readonly Line[];
  /** Address spaces that fit what is searched for, and how many of them are in groups. */
  readonly found: number;
  readonly grouped: number;
}

/** The scene of `items`, of which address spaces by `search` in their names. */
export function sceneOf(items: Items, search: string): Scene {
  const wanted = search.trim().toLowerCase();
  const spaces: [string, SpaceItem][] = [];
  for (const [key, item] of items) if (item.type === 'space') spaces.push([key, item]);
  const found = wanted === '' ? spaces : spaces.filter(([, { name }]) => name.toLowerCase().includes(wanted));
  const shown = new Set((wanted === '' ? fewest(found) : found.slice(0, MOST)).map(([key]) => key));
  const nodeOf = new Map<string, string>();
  const groups = new Map<string, number>();
  for (const [key, { context = '' }] of spaces) {
    const group = `group ${context}`;
    nodeOf.set(key, shown.has(key) ? key : group);
    if (!shown.has(key)) groups.set(group, (groups.get(group) ?? 0) + 1);
  }
  const nodes: Node[] = [];
  for (const [key, item] of items)
    if (item.type !== 'space' || shown.has(key)) nodes.push(...node(key, item));
  for (const each of filesOf(items, nodeOf)) nodes.push(each);
  for (const [key, count] of groups)
    nodes.push({ key, kind: 'group', title: counted(count, 'address space'), note: 'search to see some' });
  const lines = linesOf(items, nodeOf, nodes);
  return { nodes: distinct(nodes), lines, found: found.length, grouped: spaces.length - shown.size };
}

/** Those of the contexts with the fewest: each context's all, and as many as can be looked at. */
function fewest(spaces: readonly [string, SpaceItem][]): [string, SpaceItem][] {
  const byContext = new Map<string, [string, SpaceItem][]>();
  for (const entry of spaces) {
    const { context = '' } = entry[1];
    const others = byContext.get(context);
    if (others === undefined) byContext.set(context, [entry]);
    else others.push(entry);
  }
  const shown: [string, SpaceItem][] = [];
  for (const each of [...byContext.values()].sort((one, other) => one.length - other.length)) {
    if (shown.length + each.length > MOST) break;
    shown.push(...each);
  }
  return shown;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function node(key: string, item: Item): Node[] {
  switch (item.type) {
    case 'context':
      return [{ key, kind: 'context', title: `${item.abi} ${item.id}`, note: `of process ${item.pid}` }];
    case 'space': {
      const note = item.of ?? (item.kind === 'nested' ? 'nested' : counted(item.count, 'mapping'));
      return [{ key, kind: 'space', title: item.name, note }];
    }
    case 'device':
      return [{ key, kind: 'device', title: item.name, note: `${item.rid}${item.mdev ? ' mdev' : ''}` }];
    case 'open':
      return item.pid === undefined ? [] : [processNode(item.pid, item.program)];
    default:
      return [];
  }
}

/** The open files, each in the order of its descriptor; those of a process beyond MOST_FILES are one node. */
function* filesOf(items: Items, nodeOf: Map<string, string>): Generator<Node> {
  const byProcess = new Map<number, [string, OpenItem][]>();
  for (const [key, item] of items)
    if (item.type === 'open' && item.pid !== undefined)
      byProcess.set(item.pid, [...(byProcess.get(item.pid) ?? []), [key, item]]);
  for (const [pid, files] of byProcess) {
    const process = `process ${pid}`;
    files.sort(([, one], [, other]) => (one.fd ?? Infinity) - (other.fd ?? Infinity));
    for (const [key, { fd, path }] of files.slice(0, MOST_FILES)) {
      nodeOf.set(key, key);
      yield { key, kind: 'file', title: fd === undefined ? path : `${fd} ${path}`, note: '', process };
    }
    const rest = files.slice(MOST_FILES);
    const key = `files ${pid}`;
    for (const [each] of rest) nodeOf.set(each, key);
    if (rest.length > 0)
      yield { key, kind: 'file', title: `${rest.length} more open files`, note: '', process };
  }
}

function processNode(pid: number, program = ''): Node {
  return { key: `process ${pid}`, kind: 'process', title: `process ${pid}`, note: program };
}

function linesOf(items: Items, nodeOf: ReadonlyMap<string, string>, nodes: readonly Node[]): Line[] {
  const there = new Set(nodes.map(({ key }) => key));
  const lines = new Map<string, Map<string, Line>>();
  // Thousands of address spaces that are one node have the same lines: they are asked for first.
  const add = (from: string | undefined, to: string | undefined, access = false) => {
    if (from === undefined || to === undefined || lines.get(from)?.get(to)?.access === access) return;
    if (from === to || !there.has(from) || !there.has(to)) return;
    const others = lines.get(from) ?? new Map<string, Line>();
    lines.set(from, others.set(to, { from, to, access }));
  };
  for (const [key, item] of items) {
    if (item.type === 'open') add(nodeOf.get(key), item.target);
    else if (item.type === 'space') {
      add(item.context, nodeOf.get(key));
      if (item.parent !== undefined) add(nodeOf.get(item.parent), nodeOf.get(key));
    } else if (item.type === 'use') add(nodeOf.get(item.space ?? ''), item.device, true);
  }
  return [...lines.values()].flatMap((others) => [...others.values()]);
}

function distinct(nodes: readonly Node[]): Node[] {
  return [...new Map(nodes.map((each) => [each.key, each])).values()];
}

/** The entries that lead to address space `key`, or those of device `key`. */
export function usesOf(items: Items, key: string): UseItem[] {
  return [...items.values()].filter(
    (item): item is UseItem => item.type === 'use' && (item.space === key || item.device === key),
  );
}
