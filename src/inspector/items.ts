/**
 * Items of a machine: what there is now, each thing as a line of JSON under a key of its own.
 *
 * They are looked for in slices, between which programs are served. Each item is as its thing was at one
 * moment, and two of them may be of different moments: what has gone meanwhile is still there, or its parts
 * are not, and what has come is missing, or without its context. Whoever looks again then, because something
 * has happened, sees it right.
 *
 * It is bounded: of more contexts, address spaces, authorizations, files and mappings than are listed it only
 * tells that there are more. What a device may use is taken from where it is checked: the PASID table of its
 * requester id, and the device's own list.
 */
import type { OpenedFile } from '../devfs/fuse-server.js';
import type { Work } from '../file/work.js';
import { AddressSpace } from '../ioasid/address-space.js';
import { NestedSpace } from '../ioasid/nested-space.js';
import { ProcessSpace } from '../ioasid/process-space.js';
import type { Space } from '../ioasid/space.js';
import type { NestedTable, Translation } from '../iommu/nested-table.js';
import { PageTable } from '../iommu/page-table.js';
import { Ioas } from '../iommufd/ioas.js';
import { NestedHwpt } from '../iommufd/nested-hwpt.js';
import { errnoName } from '../linux/errno.js';
import type { Machine } from '../machine/machine.js';
import type { MachineDevice } from '../machine/snapshot.js';
import { fullPath } from '../trace/event.js';
import { mappingsOf } from './mappings.js';
import type { Item, SpaceItem } from './model.js';

/** What is listed of all but devices, and mappings in all of it, and of one address space, at once. */
const LISTED = 20_000;
const MAPPINGS = 2_000;
const MAPPINGS_OF_ONE = 200;
/** What takes next to nothing is done for so many before others are served. */
const MANY = 256;

/** Numbers of objects, for their keys: a PASID that is freed and allocated again is another one. */
export class Keys {
  readonly #numbers = new WeakMap<object, number>();
  readonly #tables = new Map<string, WeakRef<Translation>>();
  #last = 0;

  of(object: object): number {
    const known = this.#numbers.get(object);
    if (known !== undefined) return known;
    this.#numbers.set(object, ++this.#last);
    return this.#last;
  }

  /** The key of an address space, by its page table. */
  space(table: Translation): string {
    const key = `space ${this.of(table)}`;
    if (!this.#tables.has(key)) this.#tables.set(key, new WeakRef(table));
    return key;
  }

  /** The page table of the address space with that key, while there is one. */
  table(key: string): Translation | undefined {
    return this.#tables.get(key)?.deref();
  }

  /** Forgets the keys of address spaces that are not in `keys`. */
  *keep(keys: ReadonlyMap<string, unknown>): Work<void> {
    let seen = 0;
    for (const key of this.#tables.keys()) {
      if (!keys.has(key)) this.#tables.delete(key);
      if (++seen % MANY === 0) yield;
    }
  }
}

/** One look at what there is. */
export class Items {
  readonly #texts = new Map<string, string>();
  readonly #machine: Machine;
  readonly #keys: Keys;
  readonly #targets = new Map<object, string>();
  #mappings = MAPPINGS;
  #left = LISTED;
  #isFull = false;

  constructor(machine: Machine, keys: Keys) {
    this.#machine = machine;
    this.#keys = keys;
  }

  /** All of them. `opened`: the files that programs have open. */
  *all(opened: Iterable<OpenedFile>): Work<ReadonlyMap<string, string>> {
    const { ioasid, iommufd, devices } = this.#machine;
    for (const context of this.#listed(ioasid.contexts())) yield* this.#addContext(context);
    for (const context of this.#listed(iommufd.contexts())) yield* this.#addIommufd(context);
    for (const device of devices) yield* this.#addDevice(device);
    for (const file of this.#listed(opened)) {
      this.#addOpened(file);
      yield;
    }
    if (this.#isFull) this.#put('more', { type: 'more' });
    yield* this.#keys.keep(this.#texts);
    return this.#texts;
  }

  /** As many of `all` as are still listed. */
  *#listed<T>(all: Iterable<T>): Generator<T> {
    for (const each of all) {
      if (this.#left === 0) {
        this.#isFull = true;
        return;
      }
      this.#left--;
      yield each;
    }
  }

  #put(key: string, item: Item): void {
    this.#texts.set(key, JSON.stringify(item));
  }

  *#addContext(context: Spaces): Work<void> {
    const key = `context ${this.#keys.of(context)}`;
    this.#targets.set(context, key);
    this.#put(key, { type: 'context', abi: 'ioasid', id: context.id, pid: context.pid });
    yield;
    for (const [, space] of this.#listed(context.spaces())) {
      this.#addSpace(key, space);
      yield;
    }
  }

  #addSpace(context: string, space: Space): void {
    const base = { type: 'space', context, name: space.name, kind: space.kind } as const;
    if (space instanceof NestedSpace) {
      const parent = this.#keys.space(space.parent.table);
      const table = space.bound;
      const key = table === undefined ? `space ${this.#keys.of(space)}` : this.#keys.space(table);
      this.#put(key, { ...base, parent, count: 0, mappings: [] });
    } else if (space instanceof ProcessSpace) {
      this.#put(this.#keys.space(space.table), { ...base, of: space.memory, count: 1, mappings: [] });
    } else if (space instanceof AddressSpace) this.#table(space.table, base);
  }

  *#addIommufd(context: Objects): Work<void> {
    const key = `context ${this.#keys.of(context)}`;
    this.#targets.set(context, key);
    this.#put(key, { type: 'context', abi: 'iommufd', id: context.id, pid: context.pid });
    yield;
    for (const object of this.#listed(context.objects.values())) {
      const base = { type: 'space', context: key, name: `${object.kind} ${object.id}` } as const;
      if (object instanceof Ioas) this.#table(object.space.table, { ...base, kind: 'mapped' });
      else if (object instanceof NestedHwpt) this.#nested(object.table, base);
      yield;
    }
  }

  #nested(table: NestedTable, base: Pick<SpaceItem, 'type' | 'name'>): void {
    const parent = this.#keys.space(table.parent);
    this.#put(this.#keys.space(table), { ...base, kind: 'nested', parent, count: 0, mappings: [] });
  }

  #table(table: PageTable, base: Pick<SpaceItem, 'type' | 'name' | 'kind'>): void {
    const most = Math.min(MAPPINGS_OF_ONE, this.#mappings);
    const mappings = most > 0 ? mappingsOf(this.#machine.iommu, table, 0n, most) : [];
    this.#mappings -= mappings.length;
    this.#put(this.#keys.space(table), { ...base, count: table.count, mappings });
  }

  *#addDevice({ driver, spec }: MachineDevice): Work<void> {
    const { life } = driver;
    const key = `device ${life.name}`;
    const refusal = this.#machine.trace.lastRefusal(driver);
    this.#targets.set(driver, key);
    this.#put(key, {
      type: 'device',
      name: life.name,
      spec,
      rid: life.rid,
      mdev: life.mediated,
      asids: driver.hasAsids,
      ...(life.holder !== undefined && { pid: life.holder }),
      busy: driver.busy(),
      ...(refusal !== undefined && { refused: `${errnoName(refusal.errno)}: ${refusal.reason}` }),
    });
    yield;
    for (const { pasid, vpasid, table } of this.#listed(usesOf(driver))) {
      this.#addUse(key, life.name, pasid, vpasid, table);
      yield;
    }
  }

  #addUse(device: string, name: string, pasid: number, vpasid: number, table: Translation | undefined): void {
    const space = table && this.#spaceOf(table, `address space of ${name}`);
    this.#put(`use ${name} ${pasid}`, { type: 'use', device, ...(space && { space }), pasid, vpasid });
  }

  /** The key of what an entry leads to; one that no context lists is that of a container or of an ASID. */
  #spaceOf(table: Translation, name: string): string {
    const key = this.#keys.space(table);
    if (this.#texts.has(key)) return key;
    if (table instanceof PageTable) this.#table(table, { type: 'space', name, kind: 'mapped' });
    else this.#nested(table, { type: 'space', name });
    return key;
  }

  #addOpened({ inode, path, object, calledBy }: OpenedFile): void {
    const target = this.#targets.get(object) ?? this.#deviceOf(object);
    const { pid = this.#holder(object) ?? calledBy?.pid } = object as { readonly pid?: number };
    const by = calledBy?.pid === pid ? calledBy : undefined;
    this.#put(`open ${inode}`, {
      type: 'open',
      path: fullPath(path),
      ...(pid !== undefined && { pid, program: by?.program ?? this.#machine.trace.program(pid, false) }),
      ...(by?.fd !== undefined && { fd: by.fd }),
      ...(target && { target }),
    });
  }

  #holder(object: object): number | undefined {
    return this.#machine.devices.find(({ driver }) => driver === object)?.driver.life.holder;
  }

  /** A file of a work queue or group is one of its device. */
  #deviceOf(object: object): string | undefined {
    const { device } = object as { readonly device?: object };
    return device && this.#targets.get(device);
  }
}

/** What a device may use: an mdev and a device of ASIDs by their own lists, others by their entries. */
function* usesOf({ life, hasAsids }: MachineDevice['driver']): Generator<Use> {
  const { requester } = life.port;
  if (life.mediated || hasAsids)
    for (const { pasid, vpasid } of life.authorizations())
      yield { pasid, vpasid, table: requester.tableOf(pasid) };
  else for (const [pasid, table] of requester.table()) yield { pasid, vpasid: pasid, table };
}

interface Use {
  readonly pasid: number;
  readonly vpasid: number;
  readonly table: Translation | undefined;
}

/** What contexts of both ABIs are to those who look. */
interface Spaces {
  readonly id: number;
  readonly pid: number;
  spaces(): Iterable<[number, Space]>;
}

interface Objects {
  readonly id: number;
  readonly pid: number;
  readonly objects: { values(): Iterable<{ readonly kind: string; readonly id: number }> };
}
