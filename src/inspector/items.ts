/**
 * Items of a machine: what there is now, each thing as a line of JSON under a key of its own.
 *
 * It is made between two requests of programs, so it is bounded: of more contexts, address spaces,
 * authorizations, files and mappings than are listed it only tells that there are more. What a device may
 * use is taken from where it is checked: the PASID table of its requester id, and the device's own list.
 */
import type { OpenedFile } from '../devfs/fuse-server.js';
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

/** What is listed of all but devices, and mappings in all of it. */
const LISTED = 20_000;
const MAPPINGS = 2_000;

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
  keep(keys: ReadonlyMap<string, unknown>): void {
    for (const key of this.#tables.keys()) if (!keys.has(key)) this.#tables.delete(key);
  }
}

/** What there is. */
export class Items {
  readonly texts = new Map<string, string>();
  readonly #machine: Machine;
  readonly #keys: Keys;
  readonly #targets = new Map<object, string>();
  #mappings = MAPPINGS;
  #left = LISTED;
  #isFull = false;

  constructor(machine: Machine, keys: Keys, opened: Iterable<OpenedFile>) {
    this.#machine = machine;
    this.#keys = keys;
    for (const context of this.#listed(machine.ioasid.contexts())) this.#addContext(context);
    for (const context of this.#listed(machine.iommufd.contexts())) this.#addIommufd(context);
    for (const device of machine.devices) this.#addDevice(device);
    for (const file of this.#listed(opened)) this.#addOpened(file);
    if (this.#isFull) this.#put('more', { type: 'more' });
    keys.keep(this.texts);
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
    this.texts.set(key, JSON.stringify(item));
  }

  #addContext(context: {
    readonly id: number;
    readonly pid: number;
    spaces(): Iterable<[number, Space]>;
  }): void {
    const key = `context ${this.#keys.of(context)}`;
    this.#targets.set(context, key);
    this.#put(key, { type: 'context', abi: 'ioasid', id: context.id, pid: context.pid });
    for (const [, space] of this.#listed(context.spaces())) this.#addSpace(key, space);
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

  #addIommufd(context: { readonly id: number; readonly pid: number; readonly objects: Objects }): void {
    const key = `context ${this.#keys.of(context)}`;
    this.#targets.set(context, key);
    this.#put(key, { type: 'context', abi: 'iommufd', id: context.id, pid: context.pid });
    for (const object of this.#listed(context.objects.values())) {
      const base = { type: 'space', context: key, name: `${object.kind} ${object.id}` } as const;
      if (object instanceof Ioas) this.#table(object.space.table, { ...base, kind: 'mapped' });
      else if (object instanceof NestedHwpt) this.#nested(object.table, base);
    }
  }

  #nested(table: NestedTable, base: Pick<SpaceItem, 'type' | 'name'>): void {
    const parent = this.#keys.space(table.parent);
    this.#put(this.#keys.space(table), { ...base, kind: 'nested', parent, count: 0, mappings: [] });
  }

  #table(table: PageTable, base: Pick<SpaceItem, 'type' | 'name' | 'kind'>): void {
    const mappings = this.#mappings > 0 ? mappingsOf(this.#machine.iommu, table, 0n, this.#mappings) : [];
    this.#mappings -= mappings.length;
    this.#put(this.#keys.space(table), { ...base, count: table.count, mappings });
  }

  #addDevice({ driver, spec }: MachineDevice): void {
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
    const { requester } = life.port;
    if (life.mediated || driver.hasAsids)
      for (const { pasid, vpasid } of this.#listed(life.authorizations()))
        this.#addUse(key, life.name, pasid, vpasid, requester.tableOf(pasid));
    else
      for (const [pasid, table] of this.#listed(requester.table()))
        this.#addUse(key, life.name, pasid, pasid, table);
  }

  #addUse(device: string, name: string, pasid: number, vpasid: number, table: Translation | undefined): void {
    const space = table && this.#spaceOf(table, `address space of ${name}`);
    this.#put(`use ${name} ${pasid}`, { type: 'use', device, ...(space && { space }), pasid, vpasid });
  }

  /** The key of what an entry leads to; one that no context lists is that of a container or of an ASID. */
  #spaceOf(table: Translation, name: string): string {
    const key = this.#keys.space(table);
    if (this.texts.has(key)) return key;
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

interface Objects {
  values(): readonly { readonly kind: string; readonly id: number }[];
}
