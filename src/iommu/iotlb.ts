/**
 * An IOTLB: translations of one nested table that were found by walking both of its stages, so that the next
 * DMA to the same page need not.
 *
 * Direct-mapped: the 4 KiB page of an IOVA has one place, and a tag there that says which page it is. What is
 * kept is a mapping in the table memory, from IOVA straight to memory, as a table of one stage would have it;
 * so transfers need not know of the difference. A large page is kept once for each 4 KiB page of it that was
 * asked for. A mapping here does not hold its memory: its owner clears the IOTLB when the second stage has
 * changed, before it looks for anything.
 *
 * One that forgets again and again what it will be asked for gets more places, once, out of the first half of
 * the pages that its context may have: the other is for what cannot be done without, as tables.
 */
import type { Access } from './access.js';
import { PAGE_SIZE } from './page-table.js';
import type { Quota } from './quota.js';
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

/** Places at first, and of one that is crowded: when it has forgotten CROWDED translations for others. */
const FEW = 1024;
const MANY = 8192;
const CROWDED = 8 * FEW;
/** Pages of 4 KiB that those more take: 20 bytes each, and 32 for the slot. */
export const MORE_PAGES = (52 * (MANY - FEW)) / PAGE_SIZE;
const EMPTY = -1;

export class Iotlb {
  readonly #memory: TableMemory;
  readonly #pages: Quota;
  #places = FEW;
  // For each place the upper half of the IOVA and the page number in its lower half; EMPTY where nothing is
  // kept.
  #tags = new Int32Array(2 * FEW).fill(EMPTY);
  // `slot << 2 | rights`; NONE until the place is used for the first time.
  #found = new Int32Array(FEW).fill(NONE);
  // The address in the second stage that what is kept begins at.
  #seconds = new Float64Array(FEW);
  #empty = true;
  // A translation of more than a page may be among them.
  #large = false;
  // How many were forgotten for others that came to their places.
  #forgotten = 0;

  /** @param pages those that its context may have */
  constructor(memory: TableMemory, pages: Quota) {
    this.#memory = memory;
    this.#pages = pages;
  }

  /** What is kept for IOVA (hi, lo): `slot << 2 | rights`, or NONE. */
  find(hi: number, lo: number): number {
    const place = this.#placeOf(hi, lo);
    return this.#tags[2 * place] === hi && this.#tags[2 * place + 1] === lo >>> 12
      ? this.#found[place]!
      : NONE;
  }

  /** Where in the second stage `iova` is, for which `find` has found something. */
  second(iova: number): number {
    const place = this.#placeOf(Math.floor(iova / TWO_32), iova >>> 0);
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
    const place = this.#newPlaceOf(hi, lo);
    const slot = this.#slotOf(place);
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
    const place = this.#newPlaceOf(hi, lo);
    const slot = this.#slotOf(place);
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
    if (this.#large || last - start >= this.#places * PAGE_SIZE) this.#search(start, last);
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
    if (this.#places > FEW) this.#pages.remove(MORE_PAGES);
  }

  /** Neighbouring pages get neighbouring places; larger strides must not all meet in one. */
  #placeOf(hi: number, lo: number): number {
    return ((lo >>> 12) ^ (lo >>> 22) ^ hi) & (this.#places - 1);
  }

  /** The place of IOVA (hi, lo), where what was kept is forgotten now. */
  #newPlaceOf(hi: number, lo: number): number {
    const place = this.#placeOf(hi, lo);
    if (this.#tags[2 * place] === EMPTY || ++this.#forgotten < CROWDED) return place;
    this.#forgotten = 0;
    if (this.#places === MANY || !this.#hasRoom) return place;
    this.#grow();
    return this.#placeOf(hi, lo);
  }

  /** Are there pages for more places? */
  get #hasRoom(): boolean {
    const { used, limit } = this.#pages;
    return used + MORE_PAGES <= limit / 2 && this.#pages.has(MORE_PAGES);
  }

  #slotOf(place: number): number {
    const found = this.#found[place]!;
    return found === NONE ? this.#memory.allocCached() : found >> 2;
  }

  /** Gets more places; what is kept stays. */
  #grow(): void {
    this.#pages.add(MORE_PAGES);
    this.#places = MANY;
    const [tags, found, seconds] = [this.#tags, this.#found, this.#seconds];
    this.#tags = new Int32Array(2 * MANY).fill(EMPTY);
    this.#found = new Int32Array(MANY).fill(NONE);
    this.#seconds = new Float64Array(MANY);
    for (let old = 0; old < FEW; old++) {
      const [hi, page] = [tags[2 * old]!, tags[2 * old + 1]!];
      if (hi === EMPTY && found[old] !== NONE) this.#memory.freeCached(found[old]! >> 2);
      if (hi === EMPTY) continue;
      const place = this.#placeOf(hi, page << 12);
      this.#tags[2 * place] = hi;
      this.#tags[2 * place + 1] = page;
      this.#found[place] = found[old]!;
      this.#seconds[place] = seconds[old]!;
    }
  }

  #forget(hi: number, lo: number): void {
    const place = this.#placeOf(hi, lo);
    if (this.#tags[2 * place] === hi && this.#tags[2 * place + 1] === lo >>> 12)
      this.#tags[2 * place] = EMPTY;
  }

  #search(start: number, last: number): void {
    for (let place = 0; place < this.#places; place++) {
      if (this.#tags[2 * place] === EMPTY) continue;
      const slot = this.#found[place]! >> 2;
      if (this.#memory.wide(slot, START_HI) <= last && start <= this.#memory.wide(slot, LAST_HI))
        this.#tags[2 * place] = EMPTY;
    }
  }
}
