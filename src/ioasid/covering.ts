/**
 * Covering: a walk over the mappings that cover a range of IOVAs, one after the other.
 *
 * A range may be a million mappings. So a step goes by pairs of int32, and only who asks for the piece that
 * it has come to gets 64-bit numbers, which are objects.
 *
 * Invariant: nothing of the range is taken out between two steps, for which whoever walks has the space.
 */
import type { Access } from '../iommu/iommu.js';
import { isBelow } from '../iommu/mapping-index.js';
import type { PageTable } from '../iommu/page-table.js';
import {
  ACCESS,
  halves,
  LAST_HI,
  MAPPING_WORDS,
  MEMORY,
  NONE,
  START_HI,
  split,
  type TableMemory,
} from '../iommu/table-memory.js';
import { hex, refuse } from '../linux/errno.js';
import { LAST_IOVA, larger, smaller } from './iova-ranges.js';

/** A part of a mapping: `length` bytes from byte `offset` of memory number `memory` on. */
export interface Piece {
  readonly length: bigint;
  readonly memory: number;
  readonly offset: bigint;
  /** The rights of the mapping that it is a part of, and MEMORY_WRITABLE. */
  readonly access: Access;
}

/** What is covered: an address space, as reasons name it. */
export interface Covered {
  readonly name: string;
  readonly table: PageTable;
}

export class Covering {
  /** The mapping that it has come to, and whether all of that lies in the range. */
  slot = NONE;
  whole = false;
  readonly #tables: TableMemory;
  readonly #space: Covered;
  readonly #first: bigint;
  readonly #last: bigint;
  readonly #lastHi: number;
  readonly #lastLo: number;
  /** The IOVA of the next step. */
  #hi: number;
  #lo: number;
  #ended = false;

  /** That of [iova, iova+length) of `space`. @throws Refusal EINVAL, EOVERFLOW for no range. */
  constructor(tables: TableMemory, space: Covered, iova: bigint, length: bigint) {
    this.#tables = tables;
    this.#space = space;
    this.#first = iova;
    this.#last = lastOf(iova, length);
    split(this.#last);
    [this.#lastHi, this.#lastLo] = [halves[1]!, halves[0]!];
    split(iova);
    [this.#hi, this.#lo] = [halves[1]!, halves[0]!];
  }

  /** Goes on to the next mapping. @returns false: there is none. @throws Refusal ENOENT not mapped there. */
  next(): boolean {
    if (this.#ended) return false;
    const slot = this.#space.table.slotAt(this.#hi, this.#lo);
    if (slot === NONE) this.#refuse();
    const words = this.#tables.mappings;
    const at = slot * MAPPING_WORDS;
    const begins = words[at + START_HI] === this.#hi && words[at + START_HI + 1] === this.#lo;
    const [hi, lo] = [words[at + LAST_HI]!, words[at + LAST_HI + 1]!];
    this.slot = slot;
    this.whole = begins && !isBelow(this.#lastHi, this.#lastLo, hi, lo);
    this.#ended = !isBelow(hi, lo, this.#lastHi, this.#lastLo);
    this.#lo = (lo + 1) | 0;
    this.#hi = lo === -1 ? (hi + 1) | 0 : hi;
    return true;
  }

  /** The first IOVA that the mapping has of the range. */
  get start(): bigint {
    return larger(this.#space.table.start(this.slot), this.#first);
  }

  /** What the mapping has of the range. */
  piece(): Piece {
    const end = smaller(this.#space.table.last(this.slot), this.#last) + 1n;
    return pieceOf(this.#tables, this.#space.table, this.slot, this.start, end);
  }

  #refuse(): never {
    const iova = (BigInt(this.#hi >>> 0) << 32n) | BigInt(this.#lo >>> 0);
    return refuse('ENOENT', `iova ${hex(iova)} of ${this.#space.name} is not mapped`);
  }
}

/** What the mapping in `slot` of `table` has at [start, end). */
export function pieceOf(
  tables: TableMemory,
  table: PageTable,
  slot: number,
  start: bigint,
  end: bigint,
): Piece {
  const words = slot * MAPPING_WORDS;
  return {
    length: end - start,
    memory: tables.mappings[words + MEMORY]!,
    offset: table.offset(slot) + (start - table.start(slot)),
    access: tables.mappings[words + ACCESS]!,
  };
}

/** @throws Refusal EINVAL, EOVERFLOW when [iova, iova+length) is no range. */
export function lastOf(iova: bigint, length: bigint): bigint {
  if (length === 0n) refuse('EINVAL', 'the length is zero');
  const last = iova + length - 1n;
  if (last > LAST_IOVA) refuse('EOVERFLOW', `iova range ${hex(iova)}+${hex(length)} wraps around`);
  return last;
}
