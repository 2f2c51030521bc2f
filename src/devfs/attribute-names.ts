/**
 * AttributeNames: the inodes of trees of attributes (file/attributes.ts), whose names come and go.
 *
 * An entry has the same inode number as long as it lives, so that whoever works in such a folder stays in it.
 * Its inode is here as long as the kernel knows it, which is asked for each name anew.
 */
import {
  ATTRIBUTE_SIZE,
  type Attribute,
  type BinaryAttribute,
  type Entry,
  type Folder,
  modeOf,
  openAttribute,
} from '../file/attributes.js';
import type { DeviceNode } from '../file/device-node.js';
import { type Inode, type Listed, S_IFDIR, S_IFLNK, S_IFREG } from './inode.js';

/** An inode, and how often the kernel has been told of it and not forgotten. */
interface Known {
  readonly inode: Inode;
  lookups: number;
}

export class AttributeNames {
  readonly #newId: () => number;
  readonly #numbers = new WeakMap<Entry, number>();
  readonly #known = new Map<number, Known>();

  /** `newId` gives a number that no inode has or had. */
  constructor(newId: () => number) {
    this.#newId = newId;
  }

  inode(id: number): Inode | undefined {
    return this.#known.get(id)?.inode;
  }

  /** The inode of `name` in `folder`, which is at `path`. The kernel is told of it. */
  lookup(folder: Folder, path: string, name: string): Inode | undefined {
    const entry = folder.entries().get(name);
    if (entry === undefined) return undefined;
    const id = this.#numberOf(entry);
    const known = this.#known.get(id) ?? { inode: inodeOf(entry, id, `${path}/${name}`), lookups: 0 };
    known.lookups++;
    this.#known.set(id, known);
    return known.inode;
  }

  /** What is in `folder`, the oldest first. */
  list(folder: Folder): Listed[] {
    const entries = [...folder.entries()];
    const listed = entries.map(([name, entry]) => ({
      name,
      id: this.#numberOf(entry),
      mode: fileMode(entry),
    }));
    return listed.sort((a, b) => a.id - b.id);
  }

  /** The kernel has forgotten inode `id`, as often as it was told of it `lookups` times. */
  forget(id: number, lookups: number): void {
    const known = this.#known.get(id);
    if (known === undefined) return;
    known.lookups -= lookups;
    if (known.lookups <= 0) this.#known.delete(id);
  }

  #numberOf(entry: Entry): number {
    const number = this.#numbers.get(entry) ?? this.#newId();
    this.#numbers.set(entry, number);
    return number;
  }
}

function inodeOf(entry: Entry, id: number, path: string): Inode {
  const inode = {
    id,
    path,
    mode: fileMode(entry),
    stays: false,
    ofAttributes: true,
    opens: new Set<never>(),
  };
  switch (entry.kind) {
    case 'folder':
      return { ...inode, folder: entry };
    case 'link':
      return { ...inode, target: new TextEncoder().encode(entry.target) };
    case 'attribute':
    case 'binary':
      return { ...inode, node: attributeNode(entry, path) };
  }
}

function fileMode(entry: Entry): number {
  switch (entry.kind) {
    case 'folder':
      return S_IFDIR | 0o755;
    case 'link':
      return S_IFLNK | 0o777;
    case 'attribute':
    case 'binary':
      return S_IFREG | modeOf(entry);
  }
}

function attributeNode(attribute: Attribute | BinaryAttribute, path: string): DeviceNode {
  const extent = attribute.kind === 'binary' ? attribute.size : ATTRIBUTE_SIZE;
  return { path, flushes: false, extent, open: (caller) => openAttribute(attribute, caller) };
}
