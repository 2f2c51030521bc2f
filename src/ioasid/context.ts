/**
 * An ioasid context: what one open `/dev/ioasid` file is. Whoever holds the descriptor may control what is in
 * it; there is no other check.
 *
 * A context owns its PASIDs and what they stand for. It lives as long as anything refers to it: the open
 * file (one reference, dropped by `close`), and each authorization of a device in it (`use`/`unuse`).
 * Invariant: with the last reference gone, everything in it is released. It never learns which devices use
 * it: a device takes what it needs out of the context, nothing is told back.
 */

import type { Caller, MemoryRange } from '../file/open-file.js';
import { after, releasing, type Sliced, type Work, workOf } from '../file/work.js';
import { type Access, type Iommu, RIGHTS } from '../iommu/iommu.js';
import { ADDRESS_BITS, PAGE_SIZE } from '../iommu/page-table.js';
import { type Pasid, pasidOf } from '../iommu/pasid.js';
import { mappingQuota, Quota, tableQuota } from '../iommu/quota.js';
import type { Account } from '../linux/account.js';
import { hex, refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';
import { AddressSpace, missingRight } from './address-space.js';
import { LAST_IOVA } from './iova-ranges.js';
import { IovaRules } from './iova-rules.js';
import { NestedSpace, type UserTable } from './nested-space.js';
import { PageFaults } from './page-faults.js';
import { allPasids, type PasidSpace } from './pasid-space.js';
import { ProcessSpace } from './process-space.js';
import type { Space, SpaceKind } from './space.js';

/** Kinds of PASIDs: who manages the translation. */
export const KIND_MAPPED = 0;
export const KIND_NESTED = 1;
export const KIND_PROCESS = 2;

/** The IOVAs of each mapped PASID: pages, and none that has more bits than the page tables. */
const RULES = IovaRules.shared(BigInt(PAGE_SIZE), [{ start: 2n ** BigInt(ADDRESS_BITS), last: LAST_IOVA }]);

/** Nested PASIDs whose caches are dropped before others have their turn. */
const CHUNK = 64;

/** How a mapping is asked for. Bytes; `iova` undefined: the context chooses. */
export interface MapRequest {
  readonly pasid: Pasid;
  readonly length: bigint;
  readonly access: Access;
  readonly iova: bigint | undefined;
}

/** What all contexts have in common. */
export interface ContextCommons {
  readonly iommu: Iommu;
  readonly pasids: PasidSpace;
  /** Mappings that one context may have, over all its PASIDs. */
  readonly mappingQuota: number;
  /** Pages that the IOMMU may use for the tables of one context. */
  readonly tableQuota: number;
  /** The contexts that have not released everything yet. */
  readonly living: Set<IoasidContext>;
}

export class IoasidContext {
  /** A number for `ls`; it gives no right to anything. */
  readonly id: number;
  /** The process that opened the file. */
  readonly pid: number;
  /** Page faults of devices, of the PASIDs that deliver them, on their way to whoever reads the file. */
  readonly faults = new PageFaults();
  readonly #commons: ContextCommons;
  readonly #spaces = new Map<Pasid, Space>();
  /** Those of them that are nested. */
  readonly #nested = new Map<Pasid, NestedSpace>();
  /** PASIDs. */
  readonly #quota: Quota;
  readonly #mappings: Quota;
  readonly #tables: Quota;
  #references = 1;

  /** Made by IoasidSubsystem.open. */
  constructor(commons: ContextCommons, id: number, pid: number, payer: Account | undefined) {
    this.#commons = commons;
    this.#quota = new Quota(commons.pasids.quota, 'PASIDs', 'ENOSPC', payer?.share(allPasids));
    this.#mappings = mappingQuota(commons.mappingQuota, 'ENOSPC', payer);
    this.#tables = tableQuota(commons.tableQuota, payer);
    this.id = id;
    this.pid = pid;
    commons.living.add(this);
  }

  /** PASIDs in this context. */
  get pasids(): number {
    return this.#spaces.size;
  }

  /** Mappings in this context, all PASIDs together. */
  get mappings(): number {
    return this.#mappings.used;
  }

  get pasidQuota(): number {
    return this.#quota.limit;
  }

  get mappingQuota(): number {
    return this.#mappings.limit;
  }

  /** What there is by PASIDs, for `ls`. */
  spaces(): IterableIterator<[Pasid, Space]> {
    return this.#spaces.entries();
  }

  /**
   * Allocates a PASID, mapped, or nested over PASID `parent` of this context. @returns its number.
   * @throws Refusal EINVAL for unknown kinds and for a parent that cannot be one, ENOENT when that is not in
   * this context, ENOSPC when the quota or the PASIDs are used up.
   */
  alloc(kind: number, parent: number): Pasid {
    requireKind(kind);
    if (kind !== KIND_NESTED) requireNoParent(parent);
    const under = kind === KIND_NESTED ? this.#mapped(pasidOf(parent)) : undefined;
    this.#quota.check(1);
    const pasid = this.#commons.pasids.alloc();
    const { iommu } = this.#commons;
    if (under === undefined)
      this.#spaces.set(pasid, new AddressSpace(iommu, pasid, this.#mappings, this.#tables, RULES));
    else {
      const space = new NestedSpace(iommu, pasid, under);
      this.#spaces.set(pasid, space);
      this.#nested.set(pasid, space);
    }
    this.#quota.add(1);
    return pasid;
  }

  /**
   * Allocates a PASID that is the address space of `caller`. @returns its number. @throws Refusal EINVAL a
   * parent is given; ENOSPC as `alloc`; EPERM as Caller.addressSpace.
   */
  allocProcess(parent: number, caller: Pick<Caller, 'addressSpace'>): Pasid {
    requireNoParent(parent);
    this.#quota.check(1);
    const memory = caller.addressSpace();
    try {
      const pasid = this.#commons.pasids.alloc();
      const space = new ProcessSpace(this.#commons.iommu, pasid, memory, this.#tables);
      this.#spaces.set(pasid, space);
      this.#quota.add(1);
      return pasid;
    } catch (refusal) {
      memory.close();
      throw refusal;
    }
  }

  /** The page faults of devices in a new PASID of this context are delivered from now on. */
  deliverFaults(pasid: Pasid): void {
    this.#space(pasid).deliversFaults = true;
  }

  /** Where page faults of devices with that PASID go; undefined: nowhere. */
  faultsOf(pasid: Pasid): PageFaults | undefined {
    return this.#spaces.get(pasid)?.deliversFaults === true ? this.faults : undefined;
  }

  /**
   * Frees a PASID and what it has. @throws Refusal ENOENT, or EBUSY while a device is authorized for it or a
   * nested PASID has it as its parent.
   */
  free(pasid: Pasid): Work<number> {
    const space = this.#space(pasid);
    space.checkUnused();
    return this.#free(pasid, space);
  }

  /** Binds a page table to a nested PASID. @throws Refusal ENOENT, and as NestedSpace.bind. */
  bindTable(pasid: Pasid, table: UserTable): void {
    this.#nestedSpace(pasid).bind(table);
  }

  /** Entries of a nested PASID were changed. @throws Refusal ENOENT, and as NestedSpace.invalidate. */
  invalidate(pasid: Pasid, iova: bigint, length: bigint, leaf: boolean): void {
    this.#nestedSpace(pasid).invalidate(iova, length, leaf);
  }

  /** Any entries of a nested PASID were changed. @throws Refusal ENOENT, EINVAL it is not nested. */
  invalidatePasid(pasid: Pasid): void {
    this.#nestedSpace(pasid).invalidateAll();
  }

  /** Any entries of any nested PASID were changed. */
  *invalidateAll(): Work<void> {
    let count = 0;
    for (const space of this.#nested.values()) {
      space.invalidateAll();
      if (++count % CHUNK === 0) yield;
    }
  }

  /**
   * Where the mapping would go (FreeIovas.find), with all checks made that need no memory: call it first,
   * then fetch the memory, then `map`.
   * @param address the address or file offset of the memory
   */
  place(request: MapRequest, address: bigint): Sliced<bigint> {
    const space = this.#mapped(request.pasid);
    checkAccess(request.access);
    return after(space.iovas.find(request.length, address, request.iova), (iova) => {
      space.iovas.requireAligned(address);
      this.#mappings.check(1);
      return iova;
    });
  }

  /**
   * Maps `range` at `iova`, which `place` has given for the same request. Takes over the reference to the
   * memory.
   */
  map(request: MapRequest, iova: bigint, range: MemoryRange): void {
    const { pasid, length, access } = request;
    const locker = range.lockedBy?.('user');
    this.#mapped(pasid).map(iova, length, range.memory, BigInt(range.offset), access, locker);
  }

  /**
   * Maps at `request.pasid` what PASID `sourcePasid` of this same context has at `sourceIova`. @returns the
   * IOVA.
   * @throws Refusal as `place` does; ENOENT when a part of it is not mapped; EPERM when a part gives fewer
   * rights.
   */
  *copy(request: MapRequest, sourcePasid: Pasid, sourceIova: bigint): Work<bigint> {
    const source = this.#mapped(sourcePasid);
    const target = this.#mapped(request.pasid);
    checkAccess(request.access);
    const { access } = yield* source.survey(sourceIova, request.length, this.#mappings);
    const missing = missingRight(access, request.access);
    if (missing !== undefined)
      refuse(
        'EPERM',
        `what is mapped at ${hex(sourceIova)} of ${source.name} does not give the right to ${missing}`,
      );
    const iova = yield* workOf(target.iovas.find(request.length, sourceIova, request.iova));
    target.iovas.requireAligned(sourceIova);
    yield* target.copy(iova, source, sourceIova, request.length, request.access);
    return iova;
  }

  /**
   * Unmaps [iova, iova+length). @returns the bytes unmapped. @throws Refusal as AddressSpace.unmap, and
   * ENOENT when nothing was mapped there.
   */
  unmap(pasid: Pasid, iova: bigint, length: bigint): Sliced<bigint> {
    const space = this.#mapped(pasid);
    const bytes = space.unmap(iova, length);
    if (bytes === 0n) refuse('ENOENT', `nothing is mapped in ${hex(iova)}+${hex(length)} of ${space.name}`);
    return bytes;
  }

  /** Unmaps everything of a PASID. @returns the bytes unmapped, 0 when there were none. */
  unmapAll(pasid: Pasid): Sliced<bigint> {
    return this.#mapped(pasid).unmapAll();
  }

  /**
   * A device takes what a PASID stands for to be authorized for it: counts one more user of the PASID
   * and a reference on the context.
   * @throws Refusal ENOENT when the PASID is not in this context.
   */
  use(pasid: Pasid): Space {
    const space = this.#space(pasid);
    space.hold();
    this.#references++;
    return space;
  }

  /** The device gives it back. */
  unuse(pasid: Pasid): Work<void> {
    return releasing([
      () =>
        (this.#spaces.get(pasid) ?? broken(`PASID ${pasid} is not in context ${this.id} any more`)).drop(),
      () => this.#drop(),
    ]);
  }

  /** The last descriptor of the open file is gone: nobody answers page faults any more. */
  close(): Sliced<void> {
    this.faults.end();
    return this.#drop();
  }

  #space(pasid: Pasid): Space {
    return this.#spaces.get(pasid) ?? refuse('ENOENT', `PASID ${pasid} is not in this context`);
  }

  /** @throws Refusal ENOENT, EINVAL it is of another kind. */
  #mapped(pasid: Pasid): AddressSpace {
    const space = this.#space(pasid);
    return space instanceof AddressSpace ? space : ofOtherKind(space, 'mapped');
  }

  /** @throws Refusal ENOENT, EINVAL it is of another kind. */
  #nestedSpace(pasid: Pasid): NestedSpace {
    const space = this.#space(pasid);
    return space instanceof NestedSpace ? space : ofOtherKind(space, 'nested');
  }

  *#free(pasid: Pasid, space: Space): Work<number> {
    yield* this.#release(pasid, space);
    return 0;
  }

  *#release(pasid: Pasid, space: Space): Work<void> {
    yield* releasing([
      () => space.close(),
      () => void this.#spaces.delete(pasid),
      () => this.#quota.remove(1),
      () => void this.#nested.delete(pasid),
      () => this.#commons.pasids.free(pasid),
    ]);
  }

  #drop(): Sliced<void> {
    if (this.#references === 0) broken(`ioasid context ${this.id} is dropped by more than hold it`);
    if (--this.#references === 0) return releasing(this.#steps());
  }

  /** The steps of its end, nested PASIDs before their parents. There can be a million. */
  *#steps(): Generator<() => Sliced<void>> {
    for (const [pasid, space] of this.#nested) yield () => this.#release(pasid, space);
    for (const [pasid, space] of this.#spaces) yield () => this.#release(pasid, space);
    yield () => void this.#commons.living.delete(this);
  }
}

/** @throws Refusal EINVAL a kind that is not made of what is in the context. */
function requireKind(kind: number): void {
  if (kind !== KIND_MAPPED && kind !== KIND_NESTED)
    refuse('EINVAL', `kind ${kind} is none of mapped (0), nested (1), process (2)`);
}

function requireNoParent(parent: number): void {
  if (parent !== 0) refuse('EINVAL', `parent ${parent} was given, but only a nested PASID has a parent`);
}

function ofOtherKind({ name, kind }: Space, wanted: SpaceKind): never {
  refuse('EINVAL', `${name} is of kind ${kind}, not ${wanted}`);
}

function checkAccess(access: Access): void {
  if ((access & RIGHTS) === 0) refuse('EINVAL', 'a mapping needs the right to read or to write');
}
