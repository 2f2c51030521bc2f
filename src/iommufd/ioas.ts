/**
 * IOAS: an I/O address space of iommufd. The mappings and their rules are those of AddressSpace; here is what
 * depends on who looks at it.
 *
 * While nothing looks, mappings are promises: any memory, any alignment. Each domain (an HWPT) that is added
 * brings its page size, its aperture, and the need that all memory can be reached; what breaks one of them
 * keeps the domain out. Invariant: with a domain present, every mapping is aligned to the largest page size
 * among them and its memory could be reached when it was mapped or the domain was added.
 */

import type { MemoryRange } from '../file/open-file.js';
import { begun, finished, type Sliced, type Work, workOf } from '../file/work.js';
import { AddressSpace, type Unmapped } from '../ioasid/address-space.js';
import type { Piece } from '../ioasid/covering.js';
import { type IovaRange, LAST_IOVA } from '../ioasid/iova-ranges.js';
import type { DirtyLog } from '../iommu/dirty-log.js';
import { type Access, type Iommu, MEMORY_WRITABLE, RIGHTS, WRITE } from '../iommu/iommu.js';
import { holding, type Memory } from '../iommu/memory.js';
import { PAGE_SIZE } from '../iommu/page-table.js';
import type { Quota } from '../iommu/quota.js';
import { NONE } from '../iommu/table-memory.js';
import { Errno, hex, Refusal, refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';
import type { Counting } from '../linux/locked-memory.js';
import { IommufdObject } from './objects.js';

const PAGE = BigInt(PAGE_SIZE);

/** What a domain asks of the IOAS that it translates for. */
export interface DomainShape {
  /** The smallest page, in bytes. */
  readonly pageSize: bigint;
  /** The IOVAs that it can translate. */
  readonly aperture: IovaRange;
  /** Which pages were written, when it can tell. */
  readonly dirty?: DirtyLog | undefined;
  /** The sizes of page that it can use, as a bitmap. */
  readonly pageSizes: bigint;
  /** Its DMA is coherent with caches whatever the device asks for. */
  readonly coherent: boolean;
}

/** A range of IOVAs whose memory is held in place. Bytes. */
export interface PinnedRange {
  readonly iova: bigint;
  readonly length: bigint;
}

/** Who uses the memory of the IOAS by IOVA, and what of it he has pinned: an access. */
export interface Pinner {
  /** It pins, and so wants whole pages. */
  readonly pinsPages: boolean;
  /** What it pins cannot be unmapped. */
  readonly locks: boolean;
  pins(): Iterable<PinnedRange>;
  /** Something in [iova, iova+length) was unmapped. */
  unmapped(iova: bigint, length: bigint): Work<void>;
}

/** Pins and accesses that are looked at before others may be served. */
export const PIECE_OF_PINS = 256;

/** How memory is asked for. `iova` undefined: one is chosen. */
export interface IoasMap {
  readonly length: bigint;
  readonly access: Access;
  readonly iova: bigint | undefined;
}

export class Ioas extends IommufdObject {
  readonly kind = 'IOAS';
  readonly space: AddressSpace;
  readonly #iommu: Iommu;
  readonly #quota: Quota;
  readonly #counting: Counting;
  readonly #domains = new Set<DomainShape>();
  // How many domains have a smallest page of so many bytes.
  readonly #pageSizes = new Map<bigint, number>();
  readonly #accesses = new Set<Pinner>();
  #largePages = true;

  /** Its mappings count in `quota`, its tables in `tables`, and what it locks as `counting` says. */
  constructor(iommu: Iommu, quota: Quota, tables: Quota, counting: Counting) {
    super();
    this.#counting = counting;
    this.#iommu = iommu;
    this.#quota = quota;
    this.space = new AddressSpace(iommu, 'the IOAS', quota, tables);
    this.space.unlock();
  }

  /** The memory that a piece of the address space lies in. */
  memoryOf({ memory }: Piece): Memory {
    return this.#iommu.memories.get(memory);
  }

  get largePages(): boolean {
    return this.#largePages;
  }

  /** The page sizes that all domains have, as a bitmap; all there can be when there is no domain. */
  get pageSizes(): bigint {
    return [...this.#domains].reduce((sizes, domain) => sizes & domain.pageSizes, LAST_IOVA);
  }

  /** Every domain's DMA is coherent with caches. */
  get coherent(): boolean {
    return [...this.#domains].every((domain) => domain.coherent);
  }

  /** IOMMU_OPTION_HUGE_PAGES. @throws Refusal EADDRINUSE when mappings are smaller than a page. */
  *setLargePages(on: boolean): Work<void> {
    if (!on && this.#largePages && this.#domains.size > 0 && this.space.table.count > 0) {
      refuse('EINVAL', 'large pages cannot be switched off while a domain has mappings');
    }
    if (!on) yield* this.space.iovas.checkAligned(PAGE);
    this.#largePages = on;
    this.space.iovas.align(this.#alignment());
  }

  /**
   * Maps `range` of memory whose address (or offset in its file) is `address`. Takes over the reference to
   * the memory.
   * @throws Refusal as AddressSpace.place; EFAULT when a domain is there and the memory cannot be reached.
   */
  map(request: IoasMap, address: bigint, range: MemoryRange): Sliced<bigint> {
    // To begin and end work takes as long as all else of a mapping: where nothing can be waited for there is
    // none.
    if (request.iova === undefined || this.#domains.size > 0)
      return begun(this.#mapInSlices(request, address, range));
    let at: bigint;
    try {
      at = finished(this.space.iovas.find(request.length, address, request.iova));
      this.#requireRoom(address);
    } catch (error) {
      range.memory.close();
      throw error;
    }
    return this.#enter(at, request, address, range, range.memory);
  }

  /** As `map`, where an IOVA is looked for, or a domain holds the memory. */
  *#mapInSlices(request: IoasMap, address: bigint, range: MemoryRange): Work<bigint> {
    const { length, access, iova } = request;
    let { memory } = range;
    const offset = exactOffset(range, address);
    let at: bigint;
    try {
      at = yield* workOf(this.space.iovas.find(length, address, iova));
      this.#requireRoom(address);
      if (this.#domains.size > 0) {
        yield* requireReach(memory, offset, length, access);
        memory = yield* holding(memory, Number(offset), Number(length), access);
      }
    } catch (error) {
      memory.close();
      throw error;
    }
    return this.#enter(at, request, address, range, memory);
  }

  /** @throws Refusal EINVAL, that of the quota, when what begins at `address` cannot be one mapping more. */
  #requireRoom(address: bigint): void {
    this.space.iovas.requireAligned(address);
    this.#quota.check(1);
  }

  #enter(at: bigint, request: IoasMap, address: bigint, range: MemoryRange, memory: Memory): bigint {
    const { length, access } = request;
    const locker = range.lockedBy?.(this.#counting);
    this.space.map(at, length, memory, exactOffset(range, address), access, locker);
    return at;
  }

  /**
   * Maps what `source` has at [from, from+length). @throws Refusal as `map`; ENOENT when a part is not
   * mapped; EPERM for memory that is read-only.
   */
  *copy({ length, access, iova }: IoasMap, source: Ioas, from: bigint): Work<bigint> {
    const survey = yield* source.space.survey(from, length, this.#quota);
    const at = yield* workOf(this.space.iovas.find(length, survey.offset, iova));
    if (access & WRITE && (survey.access & MEMORY_WRITABLE) === 0)
      refuse('EPERM', `the memory at ${hex(from)} was mapped for reading only`);
    this.space.iovas.requireAligned(survey.offset);
    if (this.#domains.size > 0) yield* this.#requireReach(source.space.pieces(from, length), access);
    yield* this.space.copy(at, source.space, from, length, access);
    return at;
  }

  /**
   * Unmaps as AddressSpace.unmapBelowCut does; then nothing of the range is pinned or dirty any more. What
   * lies below a mapping that is locked is taken out, too, and then that one is refused with EBUSY.
   */
  *unmap(iova: bigint, length: bigint): Work<Unmapped> {
    const locked = yield* this.#firstLocked(iova, length);
    if (locked === undefined) return yield* this.#unmap(iova, length);
    const busy = new Refusal(Errno.EBUSY, `the mapping at ${hex(locked)} is in use by a hardware queue`);
    if (locked <= iova) return { bytes: 0n, refusal: busy };
    const { bytes, refusal } = yield* this.#unmap(iova, locked - iova);
    return { bytes, refusal: refusal ?? busy };
  }

  /** As AddressSpace.split. @throws Refusal EINVAL also when something of the mapping is pinned. */
  *split(last: bigint): Work<void> {
    const { table } = this.space;
    const slot = table.find(last);
    if (slot === NONE) return;
    const [start, end] = [table.start(slot), table.last(slot)];
    if (last === start || last === end) return;
    for (const pin of this.#pins()) {
      if (pin === undefined) yield;
      else if (touches(pin, start, end - start + 1n))
        refuse('EINVAL', `the mapping at ${hex(start)} cannot be split while it is pinned`);
    }
    this.space.split(last);
  }

  /** Unmaps everything. Returns as `unmap`. */
  *unmapAll(): Work<Unmapped> {
    if ((yield* this.#firstLocked(0n, LAST_IOVA)) !== undefined) return yield* this.unmap(0n, LAST_IOVA);
    const bytes = yield* workOf(this.space.unmapAll());
    yield* this.#forget(0n, LAST_IOVA);
    return { bytes, refusal: undefined };
  }

  /** How many bytes of [iova, iova+length) are mapped from its beginning to the first hole. */
  *mappedFrom(iova: bigint, length: bigint): Work<bigint> {
    const { table } = this.space;
    const end = iova + length;
    let at = iova;
    for (let slot = table.find(at); slot >= 0 && at < end; slot = table.find(at)) {
      at = table.last(slot) + 1n;
      yield;
    }
    return (at < end ? at : end) - iova;
  }

  /**
   * An access begins to use what is mapped. @throws Refusal EADDRINUSE when it pins pages and a mapping is
   * not made of whole ones.
   */
  *addAccess(access: Pinner): Work<void> {
    if (access.pinsPages) yield* this.space.iovas.checkAligned(PAGE);
    this.#accesses.add(access);
    this.space.iovas.align(this.#alignment());
  }

  removeAccess(access: Pinner): void {
    if (!this.#accesses.delete(access)) broken(`IOAS ${this.id} is left by an access that it has not`);
    this.space.iovas.align(this.#alignment());
  }

  /** Somebody holds the memory of [iova, iova+length) in place: a domain, or a pin. */
  holds(iova: bigint, length: bigint): boolean {
    if (this.#domains.size > 0) return true;
    for (const pin of this.#pins()) if (pin !== undefined && touches(pin, iova, length)) return true;
    return false;
  }

  /**
   * A domain begins to translate for this IOAS. @throws Refusal EINVAL, EADDRINUSE, EFAULT; then nothing has
   * changed.
   */
  *addDomain(domain: DomainShape): Work<void> {
    if (domain.pageSize > PAGE)
      refuse('EINVAL', `pages of ${domain.pageSize} bytes are larger than the ${PAGE_SIZE} of memory`);
    const before = this.space.iovas.alignment;
    const alignment = domain.pageSize > before ? domain.pageSize : before;
    yield* this.space.iovas.checkAligned(alignment);
    this.space.iovas.align(alignment);
    try {
      this.#reserveAround(domain);
      yield* this.#requireReach(this.space.all(), undefined);
      if (this.#domains.size === 0) yield* this.space.lock();
    } catch (error) {
      this.space.iovas.release(domain);
      this.space.iovas.align(before);
      throw error;
    }
    this.#domains.add(domain);
    this.#pageSizes.set(domain.pageSize, (this.#pageSizes.get(domain.pageSize) ?? 0) + 1);
  }

  removeDomain(domain: DomainShape): void {
    if (!this.#domains.delete(domain)) broken(`IOAS ${this.id} is left by a domain that it has not`);
    const others = this.#pageSizes.get(domain.pageSize)! - 1;
    if (others > 0) this.#pageSizes.set(domain.pageSize, others);
    else this.#pageSizes.delete(domain.pageSize);
    if (this.#domains.size === 0) this.space.unlock();
    this.space.iovas.release(domain);
    this.space.iovas.align(this.#alignment());
  }

  destroy(): Work<void> {
    return this.space.close();
  }

  *#unmap(iova: bigint, length: bigint): Work<Unmapped> {
    const unmapped = yield* this.space.unmapBelowCut(iova, length);
    if (unmapped.bytes > 0n) yield* this.#forget(iova, length);
    return unmapped;
  }

  /** Where the first mapping begins that reaches into [iova, iova+length) and is locked. */
  *#firstLocked(iova: bigint, length: bigint): Work<bigint | undefined> {
    // What is no range is for AddressSpace to refuse.
    if (iova + length - 1n > LAST_IOVA) return undefined;
    let first: bigint | undefined;
    for (const pin of this.#pins(true)) {
      if (pin === undefined) yield;
      const start = pin && this.#firstOf(pin, iova, length);
      if (start !== undefined && (first === undefined || start < first)) first = start;
    }
    return first;
  }

  /** What is pinned, by all or by those who lock it; undefined where others may be served. */
  *#pins(locked = false): Generator<PinnedRange | undefined> {
    let looked = 0;
    for (const access of this.#accesses) {
      if (++looked % PIECE_OF_PINS === 0) yield undefined;
      if (locked && !access.locks) continue;
      for (const pin of access.pins()) {
        if (++looked % PIECE_OF_PINS === 0) yield undefined;
        yield pin;
      }
    }
  }

  /** Where the first mapping of a pin begins that reaches into [iova, iova+length). */
  #firstOf(pin: PinnedRange, iova: bigint, length: bigint): bigint | undefined {
    const { table } = this.space;
    for (const slot of table.slots(pin.iova)) {
      const start = table.start(slot);
      if (start >= pin.iova + pin.length || start >= iova + length) break;
      if (table.last(slot) >= iova) return start;
    }
    return undefined;
  }

  /** @throws Refusal when a piece cannot be reached with `access`, or with its own rights. */
  *#requireReach(pieces: Iterable<Piece>, access: Access | undefined): Work<void> {
    for (const piece of pieces) {
      yield* requireReach(this.memoryOf(piece), piece.offset, piece.length, access ?? piece.access & RIGHTS);
      yield;
    }
  }

  /** [iova, iova+length) is not what it was. */
  *#forget(iova: bigint, length: bigint): Work<void> {
    let looked = 0;
    for (const access of this.#accesses) {
      yield* access.unmapped(iova, length);
      if (++looked % PIECE_OF_PINS === 0) yield;
    }
    for (const domain of this.#domains) domain.dirty?.clean(iova, length);
  }

  #reserveAround(domain: DomainShape): void {
    const { start, last } = domain.aperture;
    if (start > 0n) this.space.iovas.reserve({ start: 0n, last: start - 1n }, domain);
    if (last < LAST_IOVA) this.space.iovas.reserve({ start: last + 1n, last: LAST_IOVA }, domain);
  }

  #alignment(): bigint {
    let alignment = this.#largePages && ![...this.#accesses].some((access) => access.pinsPages) ? 1n : PAGE;
    for (const pageSize of this.#pageSizes.keys()) if (pageSize > alignment) alignment = pageSize;
    return alignment;
  }
}

/**
 * Beyond what a number can tell exactly there is no memory; but until a domain asks for it, it may be mapped,
 * and its alignment counts.
 */
function exactOffset({ offset }: MemoryRange, address: bigint): bigint {
  return Number.isSafeInteger(offset) ? BigInt(offset) : address;
}

function* requireReach(memory: Memory, offset: bigint, length: bigint, access: Access): Work<void> {
  const there = yield* workOf(memory.reaches(Number(offset), Number(length), access));
  if (!there) {
    refuse(
      memory.ofProcess ? 'EFAULT' : 'EINVAL',
      `${memory.description} is not there at ${hex(offset)}+${hex(length)}, or not with these rights`,
    );
  }
  if (access === 0)
    refuse(
      'EINVAL',
      `a page table has no entries without rights, and ${memory.description} would be mapped without any`,
    );
}

/** Does a pin touch [iova, iova+length)? */
export function touches(pin: PinnedRange, iova: bigint, length: bigint): boolean {
  return pin.iova < iova + length && iova < pin.iova + pin.length;
}
