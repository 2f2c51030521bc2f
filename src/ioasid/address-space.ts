/**
 * An address space: what a mapped PASID of the native ABI and an IOAS of iommufd both are.
 *
 * It owns a page table and the rules of changing it: alignment, reserved and allowed IOVAs, no overlap, no
 * splitting of a mapping, a free IOVA chosen when the user names none. Each method checks everything before
 * it changes anything. The rules, their order and their errnos are those of Linux's iommufd for both ABIs.
 * `users` counts the devices that are authorized for it.
 */
import { type Access, type Iommu, MEMORY_WRITABLE, READ, RIGHTS, WRITE } from '../iommu/iommu.js';
import type { Memory } from '../iommu/memory.js';
import { NONE, PAGE_SIZE, type PageTable } from '../iommu/page-table.js';
import { ACCESS, MAPPING_WORDS, MEMORY, OFFSET_HI } from '../iommu/table-memory.js';
import { Errno, hex, Refusal, refuse } from '../linux/errno.js';
import { broken, release } from '../linux/invariant.js';
import { holes, type IovaRange, LAST_IOVA, overlaps } from './iova-ranges.js';

/** The largest alignment of an IOVA that is chosen for the user: that of a huge page. */
const LARGEST_ALIGNMENT = 2n ** 21n;
const PAGE = BigInt(PAGE_SIZE);

/** One mapping, as `ls` shows it. Bytes. */
export interface MappingView {
  readonly iova: bigint;
  readonly length: bigint;
  readonly access: Access;
  readonly memory: string;
  /** It is memory of a process. */
  readonly ofProcess: boolean;
  readonly offset: bigint;
}

/** A part of a mapping: `length` bytes from byte `offset` of memory number `memory` on. */
export interface Piece {
  readonly length: bigint;
  readonly memory: number;
  readonly offset: bigint;
  /** The rights of the mapping that it is a part of, and MEMORY_WRITABLE. */
  readonly access: Access;
}

export class AddressSpace {
  /** As reasons name it: `PASID 7`, `IOAS 2`. */
  readonly name: string;
  readonly table: PageTable;
  readonly #iommu: Iommu;
  #users = 0;
  #alignment = 1n;
  // What is kept free, by owner; and all of it in one list, made when it is asked for.
  readonly #reservations = new Map<object, IovaRange[]>();
  #reservedRanges: readonly IovaRange[] | undefined;
  #allowed: readonly IovaRange[] = [];
  // No hole of a page or more lies in [PAGE, #full): where the search for a free range begins.
  #full = PAGE;

  constructor(iommu: Iommu, name: string) {
    this.name = name;
    this.#iommu = iommu;
    this.table = iommu.pageTable();
  }

  /** Devices that are authorized for it. */
  get users(): number {
    return this.#users;
  }

  /** A device is authorized for it from now on. */
  hold(): void {
    this.#users++;
  }

  /** One that was authorized for it is so no more. */
  drop(): void {
    if (this.#users === 0) broken(`${this.name} is dropped by more devices than hold it`);
    this.#users--;
  }

  /** What IOVAs, lengths and memory must be aligned to, in bytes: a power of two. */
  get alignment(): bigint {
    return this.#alignment;
  }

  /**
   * Makes `alignment` the rule. @throws Refusal EADDRINUSE when a mapping that is there breaks it.
   */
  align(alignment: bigint): void {
    if (alignment > this.#alignment) {
      for (const { iova, length, offset } of this.#views()) {
        if (((iova | length | offset) & (alignment - 1n)) === 0n) continue;
        refuse(
          'EADDRINUSE',
          `the mapping at ${hex(iova)} of ${this.name} is not aligned to ${alignment} bytes`,
        );
      }
    }
    this.#alignment = alignment;
  }

  /**
   * Keeps a range free, until `release` with the same owner. @throws Refusal EADDRINUSE when it is mapped or
   * was allowed.
   */
  reserve(range: IovaRange, owner: object): void {
    const slot = this.table.firstFrom(range.start);
    if (slot !== NONE && this.table.start(slot) <= range.last) {
      refuse(
        'EADDRINUSE',
        `the mapping at ${hex(this.table.start(slot))} of ${this.name} lies in a range that a device cannot reach`,
      );
    }
    if (this.#allowed.some((allowed) => overlaps(allowed, range))) {
      refuse(
        'EADDRINUSE',
        `the iova range ${hex(range.start)} to ${hex(range.last)} of ${this.name} was allowed by its user`,
      );
    }
    const ranges = this.#reservations.get(owner);
    if (ranges === undefined) this.#reservations.set(owner, [range]);
    else ranges.push(range);
    this.#reservedRanges = undefined;
  }

  /** Gives back what `owner` has reserved. */
  release(owner: object): void {
    if (this.#reservations.delete(owner)) this.#reservedRanges = undefined;
    this.#full = PAGE;
  }

  /** The ranges that can be mapped: all that is not reserved. */
  ranges(): IovaRange[] {
    return holes(this.#reserved, 0n, LAST_IOVA);
  }

  /**
   * IOVAs are chosen from `ranges` only from now on; from anywhere when there are none. @throws Refusal
   * EADDRINUSE when one is reserved.
   */
  allow(ranges: readonly IovaRange[]): void {
    for (const range of ranges) {
      const taken = this.#reserved.find((reserved) => overlaps(reserved, range));
      if (taken !== undefined)
        refuse(
          'EADDRINUSE',
          `iova range ${hex(range.start)} to ${hex(range.last)} of ${this.name} is reserved`,
        );
    }
    this.#allowed = joined(ranges);
    this.#full = PAGE;
  }

  /**
   * Where [address, address+length) of some memory would be mapped: `iova` itself when it is given, otherwise
   * the first free range, never 0, aligned to the smaller of the length's power of two and the memory's own
   * alignment, at most 2 MiB, with the offset inside the page kept.
   * @throws Refusal EINVAL, EEXIST, EOVERFLOW, ENOSPC.
   */
  place(length: bigint, address: bigint, iova: bigint | undefined): bigint {
    const at = this.find(length, address, iova);
    this.requireAligned(address);
    return at;
  }

  /** As `place`, for memory that need not be aligned. */
  find(length: bigint, address: bigint, iova: bigint | undefined): bigint {
    if (length === 0n) refuse('EINVAL', 'the length is zero');
    if (length % this.#alignment !== 0n) refuse('EINVAL', `length ${hex(length)} is not ${this.#aligned()}`);
    return iova === undefined ? this.#choose(length, address) : this.#check(iova, length);
  }

  /** @throws Refusal EINVAL when memory at `address` cannot be mapped for its alignment. */
  requireAligned(address: bigint): void {
    if ((address % PAGE) % this.#alignment !== 0n)
      refuse('EINVAL', `the memory at ${hex(address)} is not ${this.#aligned()}`);
  }

  /**
   * Maps `length` bytes of `memory` from byte `offset` on at an IOVA that `place` has given. Takes over the
   * reference to the memory.
   */
  map(iova: bigint, length: bigint, memory: Memory, offset: bigint, access: Access): void {
    const rights = access & WRITE ? access | MEMORY_WRITABLE : access;
    this.#map(iova, length, this.#iommu.memories.acquire(memory), offset, rights);
  }

  /**
   * Maps `pieces`, which an address space has given, one after the other from an IOVA on that `place` has
   * given.
   */
  mapPieces(iova: bigint, pieces: readonly Piece[], access: Access): void {
    let at = iova;
    for (const { length, memory, offset, access: rights } of pieces) {
      this.#map(at, length, this.#iommu.memories.retain(memory), offset, access | (rights & MEMORY_WRITABLE));
      at += length;
    }
  }

  /**
   * What is mapped at [iova, iova+length), mapping by mapping.
   * @throws Refusal EINVAL, EOVERFLOW for no range; ENOENT when a part of it is not mapped.
   */
  pieces(iova: bigint, length: bigint): Piece[] {
    if (length === 0n) refuse('EINVAL', 'the length is zero');
    if (iova + length - 1n > LAST_IOVA)
      refuse('EOVERFLOW', `iova range ${hex(iova)}+${hex(length)} wraps around`);
    const { tables } = this.#iommu;
    const pieces: Piece[] = [];
    let at = iova;
    for (const slot of this.table.slots(iova)) {
      const start = this.table.start(slot);
      if (at === iova + length || start > at) break;
      const end = smaller(this.table.last(slot) + 1n, iova + length);
      const words = slot * MAPPING_WORDS;
      pieces.push({
        length: end - at,
        memory: tables.mappings[words + MEMORY]!,
        offset: tables.exact(slot, OFFSET_HI) + (at - start),
        access: tables.mappings[words + ACCESS]!,
      });
      at = end;
    }
    if (at < iova + length) refuse('ENOENT', `iova ${hex(at)} of ${this.name} is not mapped`);
    return pieces;
  }

  /**
   * Takes out all mappings in [iova, iova+length), which must not cut one in two. @returns the bytes that
   * were mapped; 0 is fine.
   * @throws Refusal EINVAL, EOVERFLOW for no range, ENOENT when a mapping lies across an end of it.
   */
  unmap(iova: bigint, length: bigint): bigint {
    const { slots, refusal } = this.#whole(iova, length);
    if (refusal !== undefined) throw refusal;
    return this.#remove(iova, slots);
  }

  /**
   * As `unmap`, but as Linux does it: what lies below a mapping that would be cut is taken out, and only then
   * that one is refused.
   * @returns the bytes that were mapped, and what `unmap` would have thrown. @throws Refusal EINVAL,
   * EOVERFLOW for no range.
   */
  unmapBelowCut(
    iova: bigint,
    length: bigint,
  ): { readonly bytes: bigint; readonly refusal: Refusal | undefined } {
    const { slots, refusal } = this.#whole(iova, length);
    return { bytes: this.#remove(iova, slots), refusal };
  }

  /**
   * Makes two mappings of the one that goes on behind IOVA `last`; what lies there, and in which memory,
   * stays. Nothing to do where nothing is mapped or the mapping begins or ends with `last`. @throws Refusal
   * EINVAL when the second would not be aligned.
   */
  split(last: bigint): void {
    const slot = this.table.find(last);
    if (slot === NONE) return;
    const [start, end] = [this.table.start(slot), this.table.last(slot)];
    if (last === start || last === end) return;
    const { tables, memories } = this.#iommu;
    const offset = tables.exact(slot, OFFSET_HI);
    const first = last + 1n - start;
    if (((start + first) | (offset + first)) & (this.#alignment - 1n)) {
      refuse(
        'EINVAL',
        `the mapping at ${hex(start)} cannot be split at ${hex(start + first)}, which is not ${this.#aligned()}`,
      );
    }
    const access = tables.mappings[slot * MAPPING_WORDS + ACCESS]!;
    const memory = memories.retain(this.table.unmap(slot));
    this.table.map(start, first, memory, offset, access);
    this.table.map(last + 1n, end - last, memory, offset + first, access);
  }

  /** Takes out all mappings. @returns the bytes that were mapped; 0 is fine. */
  unmapAll(): bigint {
    let bytes = 0n;
    for (const { length } of this.#views()) bytes += length;
    this.table.clear((memory) => this.#iommu.memories.release(memory));
    this.#full = PAGE;
    return bytes;
  }

  /** Releases all that it has. No device is authorized for it any more. */
  close(): void {
    release([() => this.unmapAll(), () => this.table.close()]);
    if (this.#users > 0) broken(`${this.name} was closed while ${this.#users} devices held it`);
  }

  /** The mappings by rising IOVA, at most `limit`. */
  mappings(limit: number): MappingView[] {
    const views: MappingView[] = [];
    for (const view of this.#views()) {
      if (views.length === limit) break;
      views.push(view);
    }
    return views;
  }

  get #reserved(): readonly IovaRange[] {
    this.#reservedRanges ??= [...this.#reservations.values()].flat();
    return this.#reservedRanges;
  }

  /**
   * The mappings in [iova, iova+length) up to the first that lies across an end of it, which is the refusal.
   */
  #whole(
    iova: bigint,
    length: bigint,
  ): { readonly slots: readonly number[]; readonly refusal: Refusal | undefined } {
    if (length === 0n) refuse('EINVAL', 'the length is zero');
    const last = iova + length - 1n;
    if (last > LAST_IOVA) refuse('EOVERFLOW', `iova range ${hex(iova)}+${hex(length)} wraps around`);
    const slots: number[] = [];
    for (const slot of this.table.slots(iova)) {
      const start = this.table.start(slot);
      if (start > last) break;
      if (start < iova || this.table.last(slot) > last) {
        const reason = `iova range ${hex(iova)}+${hex(length)} would split the mapping at ${hex(start)} of ${this.name}`;
        return { slots, refusal: new Refusal(Errno.ENOENT, reason) };
      }
      slots.push(slot);
    }
    return { slots, refusal: undefined };
  }

  #remove(iova: bigint, slots: readonly number[]): bigint {
    let bytes = 0n;
    for (const slot of slots) {
      bytes += this.table.last(slot) - this.table.start(slot) + 1n;
      this.#iommu.memories.release(this.table.unmap(slot));
    }
    if (iova < this.#full) this.#full = iova < PAGE ? PAGE : iova;
    return bytes;
  }

  *#views(): Generator<MappingView> {
    const { tables, memories } = this.#iommu;
    for (const slot of this.table.slots()) {
      const iova = this.table.start(slot);
      const memory = memories.get(tables.mappings[slot * MAPPING_WORDS + MEMORY]!);
      yield {
        iova,
        length: this.table.last(slot) - iova + 1n,
        access: tables.mappings[slot * MAPPING_WORDS + ACCESS]! & RIGHTS,
        memory: memory.description,
        ofProcess: memory.ofProcess,
        offset: tables.exact(slot, OFFSET_HI),
      };
    }
  }

  #map(iova: bigint, length: bigint, memory: number, offset: bigint, access: Access): void {
    this.table.map(iova, length, memory, offset, access);
    if (iova <= this.#full && iova + length > this.#full) this.#full = iova + length;
  }

  #check(iova: bigint, length: bigint): bigint {
    if (iova % this.#alignment !== 0n) refuse('EINVAL', `iova ${hex(iova)} is not ${this.#aligned()}`);
    const range = { start: iova, last: iova + length - 1n };
    if (range.last > LAST_IOVA) refuse('EOVERFLOW', `iova range ${hex(iova)}+${hex(length)} wraps around`);
    const reserved = this.#reserved.find((each) => overlaps(each, range));
    if (reserved !== undefined) {
      const where = `${hex(reserved.start)} to ${hex(reserved.last)}`;
      refuse(
        'EINVAL',
        `iova range ${hex(iova)}+${hex(length)} of ${this.name} reaches into ${where}, which is reserved`,
      );
    }
    const slot = this.table.firstFrom(iova);
    if (slot !== NONE && this.table.start(slot) <= range.last) {
      refuse(
        'EEXIST',
        `iova range ${hex(iova)}+${hex(length)} overlaps the mapping at ${hex(this.table.start(slot))} of ${this.name}`,
      );
    }
    return iova;
  }

  #choose(length: bigint, address: bigint): bigint {
    if (length >= LAST_IOVA / 2n)
      refuse('EOVERFLOW', `length ${hex(length)} is no length that an iova could be chosen for`);
    const alignment = chosenAlignment(length, address);
    if (alignment < this.#alignment)
      refuse('EINVAL', `memory at ${hex(address)} of ${hex(length)} bytes cannot be ${this.#aligned()}`);
    const allowed = this.#allowed.length > 0 ? this.#allowed : [{ start: PAGE, last: LAST_IOVA - PAGE }];
    const offset = address % PAGE;
    for (const { start, last } of allowed) {
      const first = alignUp(start, alignment) | offset;
      for (const hole of holes(this.#reserved, larger(first, this.#full), last)) {
        const found = this.#fit(hole, length, alignment, offset);
        if (found !== undefined) return found;
      }
    }
    return refuse('ENOSPC', `${this.name} has no free iova range of ${hex(length)} bytes`);
  }

  /** The first free IOVA in a range that nothing reserves. */
  #fit({ start, last }: IovaRange, length: bigint, alignment: bigint, offset: bigint): bigint | undefined {
    let iova = alignUp(start, alignment) | offset;
    for (const slot of this.table.slots(iova)) {
      const next = this.table.start(slot);
      // As in Linux, a single byte that ends a hole is not taken.
      if (iova + length <= next && iova + 1n < next) break;
      iova = alignUp(this.table.last(slot) + 1n, alignment) | offset;
    }
    return iova < last && iova + length - 1n <= last ? iova : undefined;
  }

  #aligned(): string {
    return this.#alignment === PAGE
      ? `aligned to the 4 KiB page of ${this.name}`
      : `aligned to the ${this.#alignment} bytes of ${this.name}`;
  }
}

/** What an IOVA chosen for [address, address+length) is aligned to. */
function chosenAlignment(length: bigint, address: bigint): bigint {
  let alignment = 1n;
  while (alignment < length && alignment < LARGEST_ALIGNMENT && (address & alignment) === 0n) alignment *= 2n;
  return alignment;
}

function alignUp(value: bigint, alignment: bigint): bigint {
  return (value + alignment - 1n) & ~(alignment - 1n);
}

function larger(a: bigint, b: bigint): bigint {
  return a < b ? b : a;
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** The same IOVAs by rising start, ranges that follow each other without a gap as one. */
function joined(ranges: readonly IovaRange[]): IovaRange[] {
  const all: IovaRange[] = [];
  for (const range of ranges.toSorted((a, b) => (a.start < b.start ? -1 : 1))) {
    const before = all.at(-1);
    if (before !== undefined && before.last + 1n === range.start)
      all[all.length - 1] = { start: before.start, last: range.last };
    else all.push(range);
  }
  return all;
}

/** The rights that `pieces` lack for `access`: as a word, or undefined. */
export function missingRight(pieces: readonly Piece[], access: Access): string | undefined {
  if ((access & WRITE) !== 0 && pieces.some((piece) => (piece.access & WRITE) === 0)) return 'write';
  if ((access & READ) !== 0 && pieces.some((piece) => (piece.access & READ) === 0)) return 'read';
  return undefined;
}
