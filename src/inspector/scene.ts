/**
 * Scene: what the picture shows of a machine: nodes from programs on the left to devices on the right,
 * and lines that say who may reach what.
 *
 * Of address spaces as many are shown as can be looked at: without a search those of the contexts that have
 * the fewest. The others of a context are one node.
 */
import type { ContextItem, DeviceItem, OpenItem, SpaceItem, UseItem } from './model.js';
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

/** An address space, as it is searched for and shown. */
interface Space {
  readonly key: string;
  readonly item: SpaceItem;
  /** Its name in small letters. */
  readonly name: string;
  /** The node that it is one of, where it is not shown by itself. */
  readonly group: string;
}

/**
 * The scenes of `items`: one for each search. What they have in common is found once, so that a key that is
 * pressed costs a look at each name.
 */
export class Scenes {
  readonly #spaces = new Map<string, Space>();
  /** By group. */
  readonly #groups = new Map<string, Space[]>();
  /** The nodes that are no address spaces, and the lines between them. */
  readonly #nodes = new Map<string, Node>();
  readonly #lines: Line[] = [];
  readonly #nested: Space[] = [];
  readonly #uses: UseItem[] = [];

  constructor(items: Items) {
    const files = new Map<number, [string, OpenItem][]>();
    for (const [key, item] of items) {
      if (item.type === 'space') this.#addSpace(key, item);
      else if (item.type === 'use') this.#uses.push(item);
      else if (item.type === 'open') {
        if (item.pid !== undefined) entryOf(files, item.pid, none<[string, OpenItem]>).push([key, item]);
      } else if (item.type !== 'more') this.#addNode(node(key, item));
    }
    for (const [pid, all] of files) this.#addFiles(pid, all);
  }

  /** Of address spaces it has those with `search` in their names. */
  of(search: string): Scene {
    const wanted = search.trim().toLowerCase();
    const all = [...this.#spaces.values()];
    const found = wanted === '' ? all : all.filter(({ name }) => name.includes(wanted));
    const shown = new Map(
      (wanted === '' ? this.#fewest() : found.slice(0, MOST)).map((space) => [space.key, space]),
    );
    const groups = this.#rest(shown);
    const nodes = [...this.#nodes.values()];
    for (const { key, item } of shown.values()) nodes.push(spaceNode(key, item));
    for (const [key, count] of groups)
      nodes.push({ key, kind: 'group', title: counted(count, 'address space'), note: 'search to see some' });
    const lines = this.#linesOf(shown, groups);
    return { nodes, lines, found: found.length, grouped: this.#spaces.size - shown.size };
  }

  #addSpace(key: string, item: SpaceItem): void {
    const space = { key, item, name: item.name.toLowerCase(), group: `group ${item.context ?? ''}` };
    this.#spaces.set(key, space);
    entryOf(this.#groups, space.group, none<Space>).push(space);
    if (item.parent !== undefined) this.#nested.push(space);
  }

  #addNode(node: Node): void {
    if (!this.#nodes.has(node.key)) this.#nodes.set(node.key, node);
  }

  /** The open files of a process in the order of their descriptors; those beyond MOST_FILES are one node. */
  #addFiles(pid: number, files: [string, OpenItem][]): void {
    const process = `process ${pid}`;
    const named = files.find(([, { program }]) => program !== undefined) ?? files[0]!;
    this.#addNode({ key: process, kind: 'process', title: process, note: named[1].program ?? '' });
    files.sort(([, one], [, other]) => (one.fd ?? Infinity) - (other.fd ?? Infinity));
    const rest = `files ${pid}`;
    for (const [n, [key, { fd, path, target }]] of files.entries()) {
      const title = fd === undefined ? path : `${fd} ${path}`;
      if (n < MOST_FILES) this.#addNode({ key, kind: 'file', title, note: '', process });
      if (target !== undefined)
        this.#lines.push({ from: n < MOST_FILES ? key : rest, to: target, access: false });
    }
    const title = `${files.length - MOST_FILES} more open files`;
    if (files.length > MOST_FILES) this.#addNode({ key: rest, kind: 'file', title, note: '', process });
  }

  /** Those of the contexts with the fewest: each context's all, and as many as can be looked at. */
  #fewest(): Space[] {
    const shown: Space[] = [];
    for (const each of [...this.#groups.values()].sort((one, other) => one.length - other.length)) {
      if (shown.length + each.length > MOST) break;
      shown.push(...each);
    }
    return shown;
  }

  /** How many of each group are not shown, where some are not. */
  #rest(shown: ReadonlyMap<string, Space>): Map<string, number> {
    const rest = new Map([...this.#groups].map(([group, spaces]) => [group, spaces.length]));
    for (const { group } of shown.values()) rest.set(group, rest.get(group)! - 1);
    for (const [group, count] of rest) if (count === 0) rest.delete(group);
    return rest;
  }

  #linesOf(shown: ReadonlyMap<string, Space>, groups: ReadonlyMap<string, number>): Line[] {
    const lines = new Map<string, Map<string, Line>>();
    const isThere = (key: string) => this.#nodes.has(key) || shown.has(key) || groups.has(key);
    // Thousands of address spaces that are one node have the same lines: they are asked for first.
    const add = (from: string | undefined, to: string | undefined, access = false) => {
      if (from === undefined || to === undefined || lines.get(from)?.get(to)?.access === access) return;
      if (from === to || !isThere(from) || !isThere(to)) return;
      entryOf(lines, from, newLines).set(to, { from, to, access });
    };
    const nodeOf = (key = '') => (shown.has(key) ? key : this.#spaces.get(key)?.group);
    for (const { from, to } of this.#lines) add(from, to);
    for (const { key, item } of shown.values()) add(item.context, key);
    for (const group of groups.keys()) add(this.#groups.get(group)![0]!.item.context, group);
    for (const { key, item } of this.#nested) add(nodeOf(item.parent), nodeOf(key));
    for (const { space, device } of this.#uses) add(nodeOf(space), device, true);
    return [...lines.values()].flatMap((others) => [...others.values()]);
  }
}

const newLines = () => new Map<string, Line>();

function none<T>(): T[] {
  return [];
}

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function node(key: string, item: ContextItem | DeviceItem): Node {
  if (item.type === 'context')
    return { key, kind: 'context', title: `${item.abi} ${item.id}`, note: `of process ${item.pid}` };
  return { key, kind: 'device', title: item.name, note: `${item.rid}${item.mdev ? ' mdev' : ''}` };
}

function spaceNode(key: string, item: SpaceItem): Node {
  const note = item.of ?? (item.kind === 'nested' ? 'nested' : counted(item.count, 'mapping'));
  return { key, kind: 'space', title: item.name, note };
}

/** The entries that lead to address space `key`, or those of device `key`. */
export function usesOf(items: Items, key: string): UseItem[] {
  return [...items.values()].filter(
    (item): item is UseItem => item.type === 'use' && (item.space === key || item.device === key),
  );
}
