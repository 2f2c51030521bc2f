/**
 * FreeIovas: which IOVAs of an address space can be mapped.
 *
 * Not those that its rules exclude (iova-rules.ts), nor those that are mapped. What is refused, in which
 * order and with which errno is as in Linux's iommufd. Invariant: no mapping lies in a reserved range, and
 * each is aligned.
 */
import { begun, type Sliced, type Work } from '../file/work.js';
import { isBelow } from '../iommu/mapping-index.js';
import { PAGE_SIZE, type PageTable } from '../iommu/page-table.js';
import { ends, halves, NONE, split, splitRange } from '../iommu/table-memory.js';
import { hex, refuse } from '../linux/errno.js';
import { alignUp, holes, type IovaRange, LAST_IOVA, larger, overlaps } from './iova-ranges.js';
import type { IovaRules } from './iova-rules.js';

/** The largest alignment of an IOVA that is chosen for the user: that of a huge page. */
const LARGEST_ALIGNMENT = 2n ** 21n;
const PAGE = BigInt(PAGE_SIZE);
/** Mappings that a search for a free IOVA goes over before others have their turn. */
const CHUNK = 256;

/** The address space, as reasons name it, and its table. */
interface Mapped {
  readonly name: string;
  readonly table: PageTable;
}

export class FreeIovas {
  readonly #space: Mapped;
  readonly #rules: IovaRules;
  // Some mapping may not be made of whole pages. While none is, no alignment up to a page needs a look.
  #ragged = false;
  // No hole of a page or more lies in [PAGE, #full): where the search for a free range begins.
  #full = PAGE;

  constructor(space: Mapped, rules: IovaRules) {
    this.#space = space;
    this.#rules = rules;
  }

  /** What IOVAs, lengths and memory must be aligned to, in bytes: a power of two. */
  get alignment(): bigint {
    return this.#rules.alignment;
  }

  /** What must be aligned is not: how reasons go on. */
  get aligned(): string {
    return this.alignment === PAGE
      ? `aligned to the 4 KiB page of ${this.#space.name}`
      : `aligned to the ${this.alignment} bytes of ${this.#space.name}`;
  }

  /**
   * What is mapped may be aligned to `alignment`. @throws Refusal EADDRINUSE when a mapping is not.
   */
  *checkAligned(alignment: bigint): Work<void> {
    if (alignment <= this.alignment || (!this.#ragged && alignment <= PAGE)) return;
    const { table } = this.#space;
    let looked = 0;
    for (const slot of table.slots()) {
      const [iova, end] = [table.start(slot), table.last(slot) + 1n];
      if (((iova | end | table.offset(slot)) & (alignment - 1n)) !== 0n)
        refuse(
          'EADDRINUSE',
          `the mapping at ${hex(iova)} of ${this.#space.name} is not aligned to ${alignment} bytes`,
        );
      if (++looked % CHUNK === 0) yield;
    }
  }

  /** Makes `alignment` the rule, which all that is mapped must keep already. */
  align(alignment: bigint): void {
    this.#rules.align(alignment);
  }

  /**
   * Keeps a range free, until `release` with the same owner. @throws Refusal EADDRINUSE when it is mapped or
   * was allowed.
   */
  reserve(range: IovaRange, owner: object): void {
    const slot = this.#space.table.firstFrom(range.start);
    if (slot !== NONE && this.#space.table.start(slot) <= range.last) {
      const where = hex(this.#space.table.start(slot));
      refuse(
        'EADDRINUSE',
        `the mapping at ${where} of ${this.#space.name} lies in a range that a device cannot reach`,
      );
    }
    if (this.#rules.allowed.some((allowed) => overlaps(allowed, range))) {
      const where = `${hex(range.start)} to ${hex(range.last)}`;
      refuse('EADDRINUSE', `the iova range ${where} of ${this.#space.name} was allowed by its user`);
    }
    this.#rules.reserve(range, owner);
  }

  /** Gives back what `owner` has reserved. */
  release(owner: object): void {
    this.#rules.release(owner);
    this.#full = PAGE;
  }

  /** How many ranges `owner` has reserved. */
  reservedBy(owner: object): number {
    return this.#rules.reservedBy(owner);
  }

  /** The ranges that can be mapped: all that is not reserved. */
  ranges(): IovaRange[] {
    return this.#rules.ranges();
  }

  /**
   * IOVAs are chosen from `ranges` only from now on; from anywhere when there are none. @throws Refusal
   * EADDRINUSE when one is reserved.
   */
  allow(ranges: readonly IovaRange[]): void {
    for (const range of ranges) {
      if (!this.#rules.reserved.some((reserved) => overlaps(reserved, range))) continue;
      const where = `${hex(range.start)} to ${hex(range.last)}`;
      refuse('EADDRINUSE', `iova range ${where} of ${this.#space.name} is reserved`);
    }
    this.#rules.allow(ranges);
    this.#full = PAGE;
  }

  /**
   * Where `length` bytes of memory at `address` would be mapped: at `iova` when it is given, otherwise in the
   * first free range, never at 0, aligned to the smaller of the length's power of two and the memory's own
   * alignment, at most 2 MiB, with the offset inside the page kept. @throws Refusal EINVAL, EEXIST,
   * EOVERFLOW, ENOSPC.
   */
  find(length: bigint, address: bigint, iova: bigint | undefined): Sliced<bigint> {
    if (length === 0n) refuse('EINVAL', 'the length is zero');
    if (!this.#isAligned(length)) refuse('EINVAL', `length ${hex(length)} is not ${this.aligned}`);
    return iova === undefined ? begun(this.#choose(length, address)) : this.#check(iova, length);
  }

  /** @throws Refusal EINVAL when memory at `address` cannot be mapped for its alignment. */
  requireAligned(address: bigint): void {
    split(address);
    if (!this.#rules.isAligned(0, halves[0]! & (PAGE_SIZE - 1)))
      refuse('EINVAL', `the memory at ${hex(address)} is not ${this.aligned}`);
  }

  /** [iova, iova+length) is mapped now, to byte `offset` onwards of some memory. */
  taken(iova: bigint, length: bigint, offset: bigint): void {
    if (this.alignment < PAGE && !(isOfPages(iova) && isOfPages(length) && isOfPages(offset)))
      this.#ragged = true;
    if (iova <= this.#full && iova + length > this.#full) this.#full = iova + length;
  }

  /** The same, of what has been copied out of the space of `source`. */
  copied(source: FreeIovas, iova: bigint, length: bigint, offset: bigint): void {
    if (source.#ragged) this.#ragged = true;
    this.taken(iova, length, offset);
  }

  /** Something from `iova` on is mapped no more. */
  freed(iova: bigint): void {
    if (this.#space.table.count === 0) this.#ragged = false;
    if (iova < this.#full) this.#full = larger(iova, PAGE);
  }

  #check(iova: bigint, length: bigint): bigint {
    if (!this.#isAligned(iova)) refuse('EINVAL', `iova ${hex(iova)} is not ${this.aligned}`);
    splitRange(iova, length);
    const [hi, lo, lastHi, lastLo] = [ends[0]!, ends[1]!, ends[2]!, ends[3]!];
    if (isBelow(lastHi, lastLo, hi, lo)) refuse('EOVERFLOW', `${rangeOf(iova, length)} wraps around`);
    for (const reserved of this.#rules.reserved)
      if (reserved.start < iova + length && iova <= reserved.last)
        this.#refuseReserved(iova, length, reserved);
    const { table } = this.#space;
    const slot = table.overlapping(hi, lo, lastHi, lastLo);
    if (slot !== NONE) {
      const where = `the mapping at ${hex(table.start(slot))} of ${this.#space.name}`;
      refuse('EEXIST', `${rangeOf(iova, length)} overlaps ${where}`);
    }
    return iova;
  }

  #isAligned(value: bigint): boolean {
    split(value);
    return this.#rules.isAligned(halves[1]!, halves[0]!);
  }

  // Text of bigints is dear: it is made for those alone who are refused.
  #refuseReserved(iova: bigint, length: bigint, { start, last }: IovaRange): never {
    const where = `${hex(start)} to ${hex(last)}`;
    return refuse(
      'EINVAL',
      `${rangeOf(iova, length)} of ${this.#space.name} reaches into ${where}, which is reserved`,
    );
  }

  *#choose(length: bigint, address: bigint): Work<bigint> {
    if (length >= LAST_IOVA / 2n)
      refuse('EOVERFLOW', `length ${hex(length)} is no length that an iova could be chosen for`);
    const alignment = chosenAlignment(length, address);
    if (alignment < this.alignment)
      refuse('EINVAL', `memory at ${hex(address)} of ${hex(length)} bytes cannot be ${this.aligned}`);
    const { allowed } = this.#rules;
    const choice = allowed.length > 0 ? allowed : [{ start: PAGE, last: LAST_IOVA - PAGE }];
    const offset = address % PAGE;
    for (const { start, last } of choice) {
      const first = alignUp(start, alignment) | offset;
      for (const hole of holes(this.#rules.reserved, larger(first, this.#full), last)) {
        const found = yield* this.#fit(hole, length, alignment, offset);
        if (found !== undefined) return found;
      }
    }
    return refuse('ENOSPC', `${this.#space.name} has no free iova range of ${hex(length)} bytes`);
  }

  /** The first free IOVA in a range that nothing reserves. */
  *#fit(
    { start, last }: IovaRange,
    length: bigint,
    alignment: bigint,
    offset: bigint,
  ): Work<bigint | undefined> {
    let [iova, looked] = [alignUp(start, alignment) | offset, 0];
    for (const slot of this.#space.table.slots(iova)) {
      const next = this.#space.table.start(slot);
      // As in Linux, a single byte that ends a hole is not taken.
      if (iova + length <= next && iova + 1n < next) break;
      iova = alignUp(this.#space.table.last(slot) + 1n, alignment) | offset;
      if (++looked % CHUNK === 0) yield;
    }
    return iova < last && iova + length - 1n <= last ? iova : undefined;
  }
}

function isOfPages(value: bigint): boolean {
  split(value);
  return (halves[0]! & (PAGE_SIZE - 1)) === 0;
}

/** How reasons name it. */
function rangeOf(iova: bigint, length: bigint): string {
  return `iova range ${hex(iova)}+${hex(length)}`;
}

/** What an IOVA chosen for [address, address+length) is aligned to. */
function chosenAlignment(length: bigint, address: bigint): bigint {
  let alignment = 1n;
  while (alignment < length && alignment < LARGEST_ALIGNMENT && (address & alignment) === 0n) alignment *= 2n;
  return alignment;
}
