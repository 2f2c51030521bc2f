/**
 * DeviceTree: the names in the filesystem and the inodes that the kernel knows.
 *
 * A directory, placeholder or symlink has one inode for as long as the filesystem lives, so that other
 * filesystems can be mounted over it. A device node has none of its own: every lookup makes a fresh inode,
 * which lives until the kernel forgets it, so that each open(2) has an inode of its own and an inode number
 * tells which open file a descriptor means. Inode numbers are never used twice.
 */

import type { DeviceNode } from '../file/device-node.js';
import type { OpenFile } from '../file/open-file.js';
import type { Account } from '../linux/account.js';
import { refuse } from '../linux/errno.js';
import { ROOT_ID } from './fuse-wire.js';

/**
 * An entry beside the device nodes: something to mount over, or a symlink. `path` is relative to the mount's
 * root.
 */
export interface TreeEntry {
  readonly path: string;
  readonly kind: 'dir' | 'file' | 'symlink';
  /** Where a symlink leads. */
  readonly target?: string;
  /** Permission bits. */
  readonly mode?: number;
}

/** An open file description of a device node. */
export interface Opened {
  readonly handle: number;
  readonly inode: Inode;
  /** Its opener's: what the file makes us hold is charged to it, and so is the file itself. */
  readonly account: Account;
  /** It was opened for reading only. */
  readonly readOnly: boolean;
  /** Set anew once at most: when a blank one (blank-files.ts) is given its meaning. */
  file: OpenFile;
}

/** What a nodeid means. */
export interface Inode {
  readonly id: number;
  readonly path: string;
  /** File type and permission bits. */
  readonly mode: number;
  readonly children?: Map<string, Name>;
  readonly target?: Uint8Array;
  /** The device node that this inode was looked up for. */
  readonly node?: DeviceNode;
  /** To whom an open of it is charged; undefined: to whoever opens it. */
  readonly account?: Account | undefined;
  /**
   * It is mapped, by this descriptor, and has a size of 0 since: then each access raises SIGBUS at once, and
   * no page is asked of us.
   */
  mappedBy?: number;
  /** The open files of this inode: one as a rule, more when it was reopened without a lookup. */
  readonly opens: Set<Opened>;
}

/** What a name in a directory leads to: an inode that stays, or a device node. */
export type Name = Inode | DeviceName;

export interface DeviceName {
  /** The inode number that directory listings show. */
  readonly id: number;
  readonly device: DeviceNode;
  /** As Inode.account. */
  readonly account?: Account;
}

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const DEVICE_MODE = S_IFREG | 0o666;

export class DeviceTree {
  readonly root: Inode = {
    id: ROOT_ID,
    path: '',
    mode: S_IFDIR | 0o755,
    children: new Map(),
    opens: new Set(),
  };
  readonly #inodes = new Map<number, Inode>([[ROOT_ID, this.root]]);
  readonly #devices = new Map<string, DeviceNode>();
  /** Names in the root that are in no listing. */
  readonly #hidden = new Map<string, DeviceName>();
  #lastId = ROOT_ID;

  /** @throws Refusal EEXIST, ENOTDIR when paths contradict each other. */
  constructor(nodes: readonly DeviceNode[], extra: readonly TreeEntry[]) {
    for (const entry of extra) this.#addEntry(entry);
    this.update(nodes);
  }

  /**
   * Makes `nodes` the device nodes. Files that are open stay open. Directories stay.
   * @throws Refusal EEXIST, ENOTDIR when a path is taken; the nodes are then as they were.
   */
  update(nodes: readonly DeviceNode[]): void {
    const before = [...this.#devices.values()];
    try {
      this.#replace(nodes);
    } catch (error) {
      this.#replace(before);
      throw error;
    }
  }

  #replace(nodes: readonly DeviceNode[]): void {
    const wanted = new Set(nodes);
    for (const [path, node] of this.#devices) {
      if (wanted.has(node)) wanted.delete(node);
      else this.#remove(path);
    }
    for (const node of wanted) this.#addDevice(node);
  }

  inode(id: number): Inode | undefined {
    return this.#inodes.get(id);
  }

  /** The inode of `name` in a directory; a fresh one when it is a device node. */
  lookup(directory: Inode, name: string): Inode | undefined {
    const found =
      directory.children?.get(name) ?? (directory === this.root ? this.#hidden.get(name) : undefined);
    if (found === undefined || !('device' in found)) return found;
    if (!isPresent(found)) return undefined;
    const inode: Inode = {
      id: ++this.#lastId,
      path: found.device.path,
      mode: DEVICE_MODE,
      node: found.device,
      account: found.account,
      opens: new Set(),
    };
    this.#inodes.set(inode.id, inode);
    return inode;
  }

  /**
   * Makes `name` in the root lead to `node`, in no listing, until `unhide`. Its open is charged to `account`.
   */
  hide(name: string, node: DeviceNode, account: Account): void {
    this.#hidden.set(name, { id: ++this.#lastId, device: node, account });
  }

  unhide(name: string): void {
    this.#hidden.delete(name);
  }

  /** The kernel knows inode `id` no longer. */
  forget(id: number): void {
    if (this.#inodes.get(id)?.node !== undefined) this.#inodes.delete(id);
  }

  #addEntry(entry: TreeEntry): void {
    if (entry.kind === 'dir') {
      this.#directory(entry.path, entry.mode);
      return;
    }
    const mode = entry.kind === 'file' ? S_IFREG | (entry.mode ?? 0o444) : S_IFLNK | 0o777;
    const inode: Inode = {
      id: ++this.#lastId,
      path: entry.path,
      mode,
      opens: new Set(),
      ...(entry.target === undefined ? {} : { target: new TextEncoder().encode(entry.target) }),
    };
    this.#put(entry.path, inode);
    this.#inodes.set(inode.id, inode);
  }

  #addDevice(node: DeviceNode): void {
    this.#put(node.path, { id: ++this.#lastId, device: node });
    this.#devices.set(node.path, node);
  }

  #put(path: string, name: Name): void {
    const [parent, base] = split(path);
    const children = this.#directory(parent).children!;
    if (base === '' || children.has(base)) refuse('EEXIST', `the path "${path}" is taken`);
    children.set(base, name);
  }

  #remove(path: string): void {
    const [parent, base] = split(path);
    this.#directory(parent).children!.delete(base);
    this.#devices.delete(path);
  }

  /** The directory at `path`, made where it is missing. */
  #directory(path: string, mode = 0o755): Inode {
    if (path === '') return this.root;
    const [parent, base] = split(path);
    const siblings = this.#directory(parent).children!;
    const found = siblings.get(base);
    if (found !== undefined) {
      return 'children' in found
        ? found
        : refuse('ENOTDIR', `"${path}" is wanted as a directory and is none`);
    }
    const inode: Inode = {
      id: ++this.#lastId,
      path,
      mode: S_IFDIR | mode,
      children: new Map(),
      opens: new Set(),
    };
    siblings.set(base, inode);
    this.#inodes.set(inode.id, inode);
    return inode;
  }
}

/** Is there such a file now? */
export function isPresent(name: Name): boolean {
  return !('device' in name) || name.device.present?.() !== false;
}

function split(path: string): [parent: string, base: string] {
  const at = path.lastIndexOf('/');
  return [path.slice(0, Math.max(0, at)), path.slice(at + 1)];
}
