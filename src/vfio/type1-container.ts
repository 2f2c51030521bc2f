/**
 * A type1 container: what one open `/dev/vfio/vfio` is, by default.
 *
 * Groups join it, SET_IOMMU gives it an address space, and the devices of its groups do their DMA there.
 * Invariant: it has an address space only while a group is in it; when the last one leaves, all that was
 * mapped is gone and SET_IOMMU can choose anew.
 *
 * Source: what type1 of Linux 7.3 answers (vfio_iommu_type1, vfio's container). Mappings are never split:
 * version 2 refuses an unmap that would, version 1 unmaps whole mappings and nothing from the middle of one.
 *
 * A mapping can lose its address in the process, for a process that executes its successor, and be given
 * another one. The log of dirty pages says that all that is mapped is dirty, as it does wherever an IOMMU
 * may have written anything.
 */
import type { MemoryRange } from '../file/open-file.js';
import { begun, type Sliced, type Work, workOf } from '../file/work.js';
import { AddressSpace } from '../ioasid/address-space.js';
import { type IovaRange, LAST_IOVA } from '../ioasid/iova-ranges.js';
import type { Access, Iommu } from '../iommu/iommu.js';
import { holding } from '../iommu/memory.js';
import { PAGE_SIZE, type PageTable } from '../iommu/page-table.js';
import { mappingQuota, type Quota, tableQuota } from '../iommu/quota.js';
import { NONE } from '../iommu/table-memory.js';
import type { Account } from '../linux/account.js';
import { hex, refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';
import type { Locker } from '../linux/locked-memory.js';
import type { Container } from './container.js';
import type { VfioDevice } from './device.js';
import { BEYOND_APERTURE, INTERRUPT_MESSAGES } from './function-hardware.js';
import { DMA_ENTRY_LIMIT } from './group.js';

/** What VFIO_CHECK_EXTENSION asks for, the first two also VFIO_SET_IOMMU. */
const TYPE1_IOMMU = 1;
const TYPE1V2_IOMMU = 3;
const DMA_CC_IOMMU = 4;
const UNMAP_ALL = 9;
const UPDATE_VADDR = 10;

const PAGE = BigInt(PAGE_SIZE);
/** Pages of a mapping of which there can be a log. */
const LOGGED_PAGES = 0x7fff_ffffn;
/** Mappings that are looked at before others have their turn. */
const CHUNK = 64;

/** A mapping that is asked for: `length` bytes of the caller's memory at `address`. */
export interface DmaRequest {
  readonly iova: bigint;
  readonly length: bigint;
  readonly address: bigint;
  readonly access: Access;
}

/** The memory of the caller that is asked for, of which the device has these rights. */
export type FetchMemory = (access: Access) => Sliced<MemoryRange>;

/** What one container may have. */
export interface ContainerQuotas {
  readonly mappings?: number | undefined;
  readonly tables?: number | undefined;
}

export class Type1Container implements Container {
  readonly object = this;
  readonly leavesOpen = false;
  readonly #iommu: Iommu;
  readonly #mappings: Quota;
  readonly #tables: Quota;
  #groups = 0;
  /** Those of mediated devices. */
  #mediated = 0;
  #space: AddressSpace | undefined;
  #version: 1 | 2 = 1;
  #logging = false;
  /** Where the mappings begin that have lost their address. */
  readonly #invalid = new Set<bigint>();

  /** What it has is charged to `payer`. */
  constructor(iommu: Iommu, { mappings = DMA_ENTRY_LIMIT, tables }: ContainerQuotas = {}, payer?: Account) {
    this.#iommu = iommu;
    this.#mappings = mappingQuota(Math.min(mappings, DMA_ENTRY_LIMIT), 'ENOSPC', payer);
    this.#tables = tableQuota(tables, payer);
  }

  /** Mappings more that it can have. */
  get available(): number {
    return this.#mappings.limit - this.#mappings.used;
  }

  /** The IOVAs that can be mapped. @throws Refusal EINVAL before SET_IOMMU. */
  ranges(): readonly IovaRange[] {
    return this.#ready().iovas.ranges();
  }

  /** The sizes of page that the IOMMU has, as a bitmap: those of VT-d, 4 KiB, 2 MiB and 1 GiB. */
  readonly pageSizes = 0x4020_1000n;

  /** @throws Refusal EBUSY while a mapping has no address. */
  join(mediated: boolean): void {
    if (this.#invalid.size > 0) refuse('EBUSY', `${this.#invalid.size} mappings wait for a new address`);
    this.#groups++;
    if (mediated) this.#mediated++;
  }

  /** The mappings go with the last group. */
  leave(mediated: boolean): Sliced<void> {
    if (this.#groups === 0) broken('a type1 container is left by more groups than have joined it');
    if (mediated) this.#mediated--;
    if (--this.#groups > 0) return;
    const space = this.#space;
    this.#space = undefined;
    this.#logging = false;
    this.#invalid.clear();
    return space?.close();
  }

  checkReady(): void {
    this.#ready();
  }

  attach(device: VfioDevice): void {
    device.enterContainer(this, this.#ready().table);
  }

  /** VFIO_CHECK_EXTENSION. @returns 1 when there is such an extension, otherwise 0. */
  checkExtension(extension: bigint): number {
    switch (Number(extension)) {
      case TYPE1_IOMMU:
      case TYPE1V2_IOMMU:
      case UNMAP_ALL:
        return 1;
      case DMA_CC_IOMMU:
        return this.#space === undefined ? 0 : 1;
      case UPDATE_VADDR:
        return this.#space === undefined || this.#mediated > 0 ? 0 : 1;
      default:
        return 0;
    }
  }

  /**
   * VFIO_SET_IOMMU. @throws Refusal EINVAL when no group has joined, when it was called before, or for an
   * extension that is no type; ENODEV for what is no extension either.
   */
  setIommu(type: bigint): void {
    if (this.#groups === 0) refuse('EINVAL', 'no group has joined the container yet');
    if (this.#space !== undefined) refuse('EINVAL', 'the container has its IOMMU already');
    if (type !== BigInt(TYPE1_IOMMU) && type !== BigInt(TYPE1V2_IOMMU))
      refuse(this.checkExtension(type) > 0 ? 'EINVAL' : 'ENODEV', `IOMMU type ${type} is not type1`);
    const space = new AddressSpace(this.#iommu, 'the container', this.#mappings, this.#tables);
    space.iovas.align(PAGE);
    space.iovas.reserve(INTERRUPT_MESSAGES, this);
    space.iovas.reserve(BEYOND_APERTURE, this);
    this.#version = type === BigInt(TYPE1_IOMMU) ? 1 : 2;
    this.#space = space;
  }

  /**
   * VFIO_IOMMU_MAP_DMA. `memory` is fetched when all else is right, and its reference taken over.
   * @throws Refusal EINVAL before SET_IOMMU, for no rights, for what is not made of whole pages, for IOVAs
   * that the devices cannot reach, for more than can be logged; EOVERFLOW for a range that wraps around;
   * EEXIST when it overlaps a mapping; ENOSPC when there are as many mappings as there may be; and what
   * `memory` throws.
   */
  *map({ iova, length, address, access }: DmaRequest, memory: FetchMemory): Work<void> {
    const space = this.#ready();
    const last = checkRanges(iova, length, address);
    if (access === 0) refuse('EINVAL', 'a mapping needs the right to read or to write');
    requireAligned(iova, length, address);
    const slot = space.table.firstFrom(iova);
    if (slot !== NONE && space.table.start(slot) <= last)
      refuse('EEXIST', `${hex(iova)}+${hex(length)} overlaps the mapping at ${hex(space.table.start(slot))}`);
    this.#mappings.check(1);
    yield* workOf(space.iovas.find(length, address, iova));
    if (this.#logging) checkLoggable(length);
    const range = yield* workOf(memory(access));
    const held = yield* holding(range.memory, range.offset, Number(length), access);
    space.map(iova, length, held, BigInt(range.offset), access, this.#lockerOf(range));
  }

  /**
   * The same with its flag VADDR: the mapping, which has lost its address, is of the memory at `address` now.
   * @throws Refusal EINVAL for rights, which stay as they are, for what is not made of whole pages, for a
   * mapping that has its address, or a part of one; ENOENT when nothing is mapped there; EOVERFLOW; and what
   * `memory` throws.
   */
  *updateAddress({ iova, length, address, access }: DmaRequest, memory: FetchMemory): Work<void> {
    const space = this.#ready();
    const last = checkRanges(iova, length, address);
    if (access !== 0) refuse('EINVAL', 'the rights of a mapping stay as they are');
    requireAligned(iova, length, address);
    const { table } = space;
    const slot = table.firstFrom(iova);
    if (slot === NONE || table.start(slot) > last)
      refuse('ENOENT', `nothing is mapped at ${hex(iova)}+${hex(length)}`);
    if (table.start(slot) !== iova || table.last(slot) !== last || !this.#invalid.has(iova))
      refuse('EINVAL', `${hex(iova)}+${hex(length)} is no mapping that has lost its address`);
    const rights = space.rights(slot);
    const range = yield* workOf(memory(rights));
    const held = yield* holding(range.memory, range.offset, Number(length), rights);
    yield* workOf(space.unmap(iova, length));
    space.map(iova, length, held, BigInt(range.offset), rights, this.#lockerOf(range));
    this.#invalid.delete(iova);
  }

  /**
   * VFIO_IOMMU_UNMAP_DMA of a range. @returns the bytes that were mapped, of version 1 also more than asked:
   * what begins in the range goes as a whole, and nothing at all where the range begins inside a mapping.
   * @throws Refusal EINVAL before SET_IOMMU, for what is not made of whole pages, and when version 2 would
   * have to split a mapping; EOVERFLOW for a range that wraps around.
   */
  unmap(iova: bigint, length: bigint): Sliced<bigint> {
    const whole = this.#whole(iova, length);
    return whole === undefined ? 0n : begun(this.#unmap(whole));
  }

  /** The same with its flag ALL. @throws Refusal EINVAL before SET_IOMMU, and unless the range is 0+0. */
  unmapAll(iova: bigint, length: bigint): Sliced<bigint> {
    const space = this.#ready();
    requireAll(iova, length);
    this.#invalid.clear();
    return space.unmapAll();
  }

  /**
   * UNMAP_DMA with its flag VADDR: the mappings stay, and lose their address. With ALL (`all`) they are all.
   * @returns their bytes. @throws Refusal EBUSY with a mediated device in the container; EINVAL when one has
   * none already; and as `unmap`, `unmapAll`.
   */
  *invalidate(iova: bigint, length: bigint, all: boolean): Work<bigint> {
    const { table } = this.#ready();
    if (this.#mediated > 0) refuse('EBUSY', 'a mediated device needs the addresses of what is mapped');
    if (all) requireAll(iova, length);
    const range = all ? { start: 0n, last: LAST_IOVA } : this.#whole(iova, length);
    if (range === undefined) return 0n;
    let bytes = 0n;
    yield* eachOf(mappingsIn(table, range), ({ start, last }) => {
      if (this.#invalid.has(start)) refuse('EINVAL', `the mapping at ${hex(start)} has no address already`);
      bytes += last - start + 1n;
    });
    yield* eachOf(mappingsIn(table, range), ({ start }) => this.#invalid.add(start));
    return bytes;
  }

  /** @throws Refusal EINVAL before SET_IOMMU; EACCES of version 1, which has no log. */
  checkHasLog(): void {
    this.#ready();
    if (this.#version === 1) refuse('EACCES', 'type1 of version 1 has no log of dirty pages');
  }

  /** DIRTY_PAGES with START. @throws Refusal EINVAL when there is a mapping of more than can be logged. */
  *startLog(): Work<void> {
    const { table } = this.#ready();
    yield* eachOf(table.slots(), (slot) => checkLoggable(table.last(slot) - table.start(slot) + 1n));
    this.#logging = true;
  }

  /** With STOP. */
  stopLog(): void {
    this.#logging = false;
  }

  /**
   * What is dirty in [iova, iova+length), in pages of `pageSize` bytes: each mapping in it.
   * @throws Refusal EINVAL when there is no log, for another size of page than 4 KiB, when a mapping lies
   * across an end; and as `unmap`.
   */
  dirty(iova: bigint, length: bigint, pageSize: bigint): Iterable<IovaRange> {
    const whole = this.#whole(iova, length);
    if (!this.#logging) refuse('EINVAL', 'the log of dirty pages has not been started');
    if (pageSize !== PAGE) refuse('EINVAL', `the log is of pages of 4 KiB, not of ${pageSize} bytes`);
    return whole === undefined ? [] : mappingsIn(this.#ready().table, whole);
  }

  /** Mediated devices alone lock no memory before they use it. */
  #lockerOf({ lockedBy }: MemoryRange): Locker | undefined {
    return this.#groups > this.#mediated ? lockedBy?.('type1') : undefined;
  }

  /** The mappings that begin in the range, and no others: from where to where; undefined for none. */
  #whole(iova: bigint, length: bigint): IovaRange | undefined {
    const { table } = this.#ready();
    requirePages(iova, length);
    const last = lastOf(iova, length);
    const before = table.find(iova);
    const cutsFirst = before !== NONE && table.start(before) < iova;
    const behind = table.find(last);
    const end = behind === NONE ? last : table.last(behind);
    if (this.#version === 2 && (cutsFirst || end > last)) {
      const at = hex(table.start(cutsFirst ? before : behind));
      refuse('EINVAL', `${hex(iova)}+${hex(length)} would split the mapping at ${at}`);
    }
    return cutsFirst ? undefined : { start: iova, last: end };
  }

  /** Takes out what begins in the range; then it has lost no address, as far as this knows. */
  *#unmap({ start, last }: IovaRange): Work<bigint> {
    yield* eachOf(this.#invalid, (each) => each >= start && each <= last && this.#invalid.delete(each));
    return yield* workOf(this.#ready().unmap(start, last - start + 1n));
  }

  #ready(): AddressSpace {
    return this.#space ?? refuse('EINVAL', 'the container has no IOMMU before SET_IOMMU');
  }
}

/** Has `visit` look at each of `all`, in slices. */
function* eachOf<T>(all: Iterable<T>, visit: (each: T) => void): Work<void> {
  let looked = 0;
  for (const each of all) {
    visit(each);
    if (++looked % CHUNK === 0) yield;
  }
}

/** The mappings that end in `range` or behind it, up to its end. */
function* mappingsIn(table: PageTable, { start, last }: IovaRange): Generator<IovaRange> {
  for (const slot of table.slots(start)) {
    if (table.start(slot) > last) return;
    yield { start: table.start(slot), last: table.last(slot) };
  }
}

/** @returns the last IOVA. @throws Refusal as `lastOf`, for IOVAs and addresses. */
function checkRanges(iova: bigint, length: bigint, address: bigint): bigint {
  const last = lastOf(iova, length);
  lastOf(address, length);
  return last;
}

/** @throws Refusal EINVAL. */
function requireAligned(iova: bigint, length: bigint, address: bigint): void {
  requirePages(iova, length);
  if (address % PAGE !== 0n) refuse('EINVAL', `the memory at ${hex(address)} is not aligned to 4 KiB`);
}

/** @throws Refusal EINVAL. */
function requireAll(iova: bigint, length: bigint): void {
  if (iova !== 0n || length !== 0n)
    refuse('EINVAL', `to unmap all, the range must be 0+0 and not ${hex(iova)}+${hex(length)}`);
}

/** @throws Refusal EINVAL. */
function checkLoggable(length: bigint): void {
  if (length / PAGE > LOGGED_PAGES)
    refuse('EINVAL', `a mapping of ${hex(length)} bytes is too large for the log of dirty pages`);
}

/** @throws Refusal EINVAL. */
function requirePages(iova: bigint, length: bigint): void {
  if (iova % PAGE !== 0n || length % PAGE !== 0n)
    refuse('EINVAL', `iova range ${hex(iova)}+${hex(length)} is not made of whole pages of 4 KiB`);
}

/** @throws Refusal EINVAL for a length of 0; EOVERFLOW. */
export function lastOf(start: bigint, length: bigint): bigint {
  if (length === 0n) refuse('EINVAL', 'the length is zero');
  const last = start + length - 1n;
  if (last > LAST_IOVA) refuse('EOVERFLOW', `the range ${hex(start)}+${hex(length)} wraps around`);
  return last;
}
