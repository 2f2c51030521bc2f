/**
 * DeviceTree: the names in the filesystem and the inodes that the kernel knows.
 *
 * A directory, placeholder or symlink has one inode for as long as the filesystem lives, so that other
 * filesystems can be mounted over it. A device node has none of its own: every lookup makes a fresh inode,
 * which lives until the kernel forgets it, so that each open(2) has an inode of its own and an inode number
 * tells which open file a descriptor means. Who pays for it: keeper.ts. What is below a folder of attributes
 * comes and goes (attribute-names.ts). Inode numbers are never used twice.
 */

import type { Folder } from '../file/attributes.js';
import type { DeviceNode } from '../file/device-node.js';
import type { Account } from '../linux/account.js';
import { refuse } from '../linux/errno.js';
import { AttributeNames } from './attribute-names.js';
import { ROOT_ID } from './fuse-wire.js';
import { type DeviceName, type Inode, type Listed, type Name, S_IFDIR, S_IFLNK, S_IFREG } from './inode.js';
import { Keeper } from './keeper.js';

/**
 * An entry beside the device nodes: something to mount over, a symlink, or a folder of attributes. `path` is
 * relative to the mount's root.
 */
export interface TreeEntry {
  readonly path: string;
  readonly kind: 'dir' | 'file' | 'symlink';
  /** Where a symlink leads. */
  readonly target?: string;
  /** Permission bits. */
  readonly mode?: number;
  /** What is in a directory whose names come and go. */
  readonly folder?: Folder;
}

const DEVICE_MODE = S_IFREG | 0o666;
const LISTED = 0o755;
/** Of folders that their owner alone may list, and everybody look into for a name. */
const UNLISTED = 0o711;
/** Its type in a listing is DT_UNKNOWN. */
const UNKNOWN_MODE = 0;

export class DeviceTree {
  readonly root: Inode;
  readonly #folderMode: number;
  readonly #inodes = new Map<number, Inode>();
  readonly #devices = new Map<string, DeviceNode>();
  /** Names in the root that are in no listing. */
  readonly #hidden = new Map<string, DeviceName>();
  readonly #attributes = new AttributeNames(() => ++this.#lastId);
  #lastId = ROOT_ID;

  /**
   * `unlisted`: folders of device nodes are listed by their owner alone.
   * @throws Refusal EEXIST, ENOTDIR when paths contradict each other.
   */
  constructor(nodes: readonly DeviceNode[], extra: readonly TreeEntry[], unlisted = false) {
    this.#folderMode = unlisted ? UNLISTED : LISTED;
    this.root = this.#folder(ROOT_ID, '', this.#folderMode);
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
    return this.#inodes.get(id) ?? this.#attributes.inode(id);
  }

  /**
   * The inode of `name` in a directory; a fresh one when it is a device node, kept by `account`. The kernel
   * is told of it. @throws Refusal as Keeper.
   */
  lookup(directory: Inode, name: string, account: Account): Inode | undefined {
    const { folder, path } = directory;
    if (folder !== undefined) return this.#attributes.lookup(folder, path, name);
    const found =
      directory.children?.get(name) ?? (directory === this.root ? this.#hidden.get(name) : undefined);
    if (found === undefined || !('device' in found)) return found;
    return isPresent(found) ? this.#fresh(found, account) : undefined;
  }

  #fresh(name: DeviceName, looker: Account): Inode {
    const { device, account } = name;
    const keeper = new Keeper(account ?? looker);
    const inode: Inode = {
      id: ++this.#lastId,
      path: device.path,
      mode: DEVICE_MODE,
      stays: false,
      node: device,
      ...(device.number && { number: device.number() }),
      account,
      keeper,
      opens: new Set(),
    };
    this.#inodes.set(inode.id, inode);
    name.last?.notLast();
    name.last = keeper;
    return inode;
  }

  /**
   * Makes `name` in the root lead to `node`, in no listing, until `unhide`. Its open is charged to `account`.
   */
  hide(name: string, node: DeviceNode, account: Account): void {
    this.#hidden.set(name, { id: ++this.#lastId, device: node, account });
  }

  unhide(name: string): void {
    this.#hidden.get(name)?.last?.notLast();
    this.#hidden.delete(name);
  }

  /** What is in a directory, by rising inode numbers. Of what type a device node is, stat(2) alone tells. */
  list({ folder, children }: Inode): Listed[] {
    if (folder !== undefined) return this.#attributes.list(folder);
    return [...(children ?? [])].flatMap(([name, leads]) => {
      const mode = 'device' in leads ? UNKNOWN_MODE : leads.mode;
      return isPresent(leads) ? [{ name, id: leads.id, mode }] : [];
    });
  }

  /** The kernel has forgotten inode `id`, `lookups` of the times that it was told of it. */
  forget(id: number, lookups: number): void {
    const inode = this.#inodes.get(id);
    if (inode === undefined) this.#attributes.forget(id, lookups);
    else if (!inode.stays) {
      this.#inodes.delete(id);
      inode.keeper?.forgotten();
    }
  }

  #addEntry(entry: TreeEntry): void {
    if (entry.kind === 'dir' && entry.folder === undefined) {
      this.#directory(entry.path, entry.mode);
      return;
    }
    const inode: Inode = {
      id: ++this.#lastId,
      path: entry.path,
      mode: modeOf(entry),
      stays: true,
      opens: new Set(),
      ...(entry.target === undefined ? {} : { target: new TextEncoder().encode(entry.target) }),
      ...(entry.folder === undefined ? {} : { folder: entry.folder, ofAttributes: true }),
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
    const siblings = this.#directory(parent).children!;
    const name = siblings.get(base)!;
    if ('device' in name) name.last?.notLast();
    siblings.delete(base);
    this.#devices.delete(path);
  }

  #folder(id: number, path: string, mode: number): Inode {
    const inode: Inode = {
      id,
      path,
      mode: S_IFDIR | mode,
      stays: true,
      children: new Map(),
      opens: new Set(),
    };
    this.#inodes.set(id, inode);
    return inode;
  }

  /** The directory at `path`, made where it is missing. */
  #directory(path: string, mode = this.#folderMode): Inode {
    if (path === '') return this.root;
    const [parent, base] = split(path);
    const siblings = this.#directory(parent).children!;
    const found = siblings.get(base);
    if (found !== undefined) {
      return 'children' in found
        ? found
        : refuse('ENOTDIR', `"${path}" is wanted as a directory and is none`);
    }
    const inode = this.#folder(++this.#lastId, path, mode);
    siblings.set(base, inode);
    return inode;
  }
}

function modeOf({ kind, mode }: TreeEntry): number {
  if (kind === 'symlink') return S_IFLNK | 0o777;
  return kind === 'dir' ? S_IFDIR | (mode ?? 0o755) : S_IFREG | (mode ?? 0o444);
}

/** Is there such a file now? */
function isPresent(name: Name): boolean {
  return !('device' in name) || name.device.present?.() !== false;
}

function split(path: string): [parent: string, base: string] {
  const at = path.lastIndexOf('/');
  return [path.slice(0, Math.max(0, at)), path.slice(at + 1)];
}
