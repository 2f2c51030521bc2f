/**
 * An IOTLB: translations of one nested table that were found by walking both of its stages, so that the next
 * DMA to the same page need not.
 *
 * Direct-mapped: the 4 KiB page of an IOVA has one place, and a tag there that says which page it is. What is
 * kept is a mapping in the table memory, from IOVA straight to memory, as a table of one stage would have it;
 * so transfers need not know of the difference. A large page is kept once for each 4 KiB page of it that was
 * asked for. A mapping here does not hold its memory: its owner clears the IOTLB when the second stage has
 * changed, before it looks for anything.
 */
import type { Access } from './access.js';
import { PAGE_SIZE } from './page-table.js';
import {
  ACCESS,
  LAST_HI,
  MAPPING_WORDS,
  MEMORY,
  NONE,
  OFFSET_HI,
  START_HI,
  type TableMemory,
  TWO_32,
} from './table-memory.js';

const PLACES = 1024;
const EMPTY = -1;

export class Iotlb {
  readonly #memory: TableMemory;
  // For each place the upper half of the IOVA and the page number in its lower half; EMPTY where nothing is
  // kept.
  readonly #tags = new Int32Array(2 * PLACES).fill(EMPTY);
  // `slot << 2 | rights`; NONE until the place is used for the first time.
  readonly #found = new Int32Array(PLACES).fill(NONE);
  // The address in the second stage that what is kept begins at.
  readonly #seconds = new Float64Array(PLACES);
  #empty = true;
  // A translation of more than a page may be among them.
  #large = false;

  constructor(memory: TableMemory) {
    this.#memory = memory;
  }

  /** What is kept for IOVA (hi, lo): `slot << 2 | rights`, or NONE. */
  find(hi: number, lo: number): number {
    const place = placeOf(hi, lo);
    return this.#tags[2 * place] === hi && this.#tags[2 * place + 1] === lo >>> 12
      ? this.#found[place]!
      : NONE;
  }

  /** Where in the second stage `iova` is, for which `find` has found something. */
  second(iova: number): number {
    const place = placeOf(Math.floor(iova / TWO_32), iova >>> 0);
    return this.#seconds[place]! + (iova - this.#memory.wide(this.#found[place]! >> 2, START_HI));
  }

  /**
   * Keeps that [start, last], in which IOVA (hi, lo) lies, is byte `offset` onwards of memory number
   * `memory`, with `rights`; and `second` onwards of the second stage. What had the place before is
   * forgotten. @returns `slot << 2 | rights`.
   */
  keep(
    hi: number,
    lo: number,
    start: number,
    last: number,
    memory: number,
    offset: number,
    rights: Access,
    second: number,
  ): number {
    const place = placeOf(hi, lo);
    const old = this.#found[place]!;
    const slot = old === NONE ? this.#memory.allocCached() : old >> 2;
    this.#memory.storeWide(slot, START_HI, start);
    this.#memory.storeWide(slot, LAST_HI, last);
    this.#memory.storeWide(slot, OFFSET_HI, offset);
    this.#memory.mappings[slot * MAPPING_WORDS + MEMORY] = memory;
    this.#memory.mappings[slot * MAPPING_WORDS + ACCESS] = rights;
    this.#tags[2 * place] = hi;
    this.#tags[2 * place + 1] = lo >>> 12;
    this.#found[place] = (slot << 2) | rights;
    this.#seconds[place] = second;
    this.#empty = false;
    if (last - start >= PAGE_SIZE) this.#large = true;
    return this.#found[place]!;
  }

  /**
   * As `keep`, of the page of 4 KiB that IOVA (hi, lo) lies in, without a number of more than 32 bits: the
   * page is byte (byteHi, byteLo) onwards of the memory, and (secondHi, secondLo) of the second stage.
   */
  keepPage(
    hi: number,
    lo: number,
    memory: number,
    byteHi: number,
    byteLo: number,
    rights: Access,
    secondHi: number,
    secondLo: number,
  ): number {
    const place = placeOf(hi, lo);
    const old = this.#found[place]!;
    const slot = old === NONE ? this.#memory.allocCached() : old >> 2;
    const words = this.#memory.mappings;
    const at = slot * 8;
    words[at] = hi;
    words[at + 1] = lo & ~0xfff;
    words[at + 2] = hi;
    words[at + 3] = lo | 0xfff;
    words[at + 4] = byteHi;
    words[at + 5] = byteLo;
    words[at + 6] = memory;
    words[at + 7] = rights;
    this.#tags[2 * place] = hi;
    this.#tags[2 * place + 1] = lo >>> 12;
    const found = (slot << 2) | rights;
    this.#found[place] = found;
    this.#seconds[place] = secondHi * 0x1_0000_0000 + (secondLo >>> 0);
    this.#empty = false;
    return found;
  }

  /** Forgets what is kept of [start, last] (bytes), large pages that lie in it in part too. */
  invalidate(start: number, last: number): void {
    if (this.#empty) return;
    // Of a large page anything may be kept, at the place of any page of it.
    if (this.#large || last - start >= PLACES * PAGE_SIZE) this.#search(start, last);
    else
      for (let page = start - (start % PAGE_SIZE); page <= last; page += PAGE_SIZE)
        this.#forget(Math.floor(page / TWO_32), page >>> 0);
  }

  /** Forgets everything. */
  clear(): void {
    if (this.#empty) return;
    this.#tags.fill(EMPTY);
    this.#empty = true;
    this.#large = false;
  }

  /** Gives its places in the table memory back. */
  close(): void {
    this.clear();
    for (const found of this.#found) if (found !== NONE) this.#memory.freeCached(found >> 2);
    this.#found.fill(NONE);
  }

  #forget(hi: number, lo: number): void {
    const place = placeOf(hi, lo);
    if (this.#tags[2 * place] === hi && this.#tags[2 * place + 1] === lo >>> 12)
      this.#tags[2 * place] = EMPTY;
  }

  #search(start: number, last: number): void {
    for (let place = 0; place < PLACES; place++) {
      if (this.#tags[2 * place] === EMPTY) continue;
      const slot = this.#found[place]! >> 2;
      if (this.#memory.wide(slot, START_HI) <= last && start <= this.#memory.wide(slot, LAST_HI))
        this.#tags[2 * place] = EMPTY;
    }
  }
}

/** Neighbouring pages get neighbouring places; larger strides must not all meet in one. */
function placeOf(hi: number, lo: number): number {
  return ((lo >>> 12) ^ (lo >>> 22) ^ hi) & (PLACES - 1);
}
