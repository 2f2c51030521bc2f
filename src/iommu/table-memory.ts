/**
 * Table memory: the typed arrays in which all page tables and all mappings of one IOMMU live.
 *
 * Two pools, both growing in place, both reused through free lists (that of the slots is in the slots: there
 * may be more than an array has room for):
 *  - `tables`: tables of a radix tree with 512 entries of two int32 words, as wide as those of hardware. The
 *    first word of an entry is 0: nothing there; positive: the word at which the next table begins, a
 *    multiple of 1024; negative: there is the page of a mapping, so that a walk ends at the byte and need not
 *    look at the mapping. The two words are, from the highest bit,
 *
 *        1 | upper 4 bits of the page's number in its memory
 *          | slot of the mapping, 25 bits | rights that it does not give, 2 bits
 *        lower 32 bits of the page's number
 *
 *    A root is two tables, of which the second is that of the lowest 512 GiB, so that most walks need not
 *    look into the first. Root 0 is all zeros for ever and is that of an empty tree.
 *  - `mappings`: one mapping is 8 int32 words, together in half a cache line, because a lookup wants all of
 *    them.
 *
 * To copy what has become large would keep everybody waiting (1 GiB takes half a second), so the pools lie in
 * buffers that reserve the addresses for all they may ever need. `tables` is a view of all of its buffer, for
 * a walk to have at hand: what is not in use has no memory behind it. `mappings` is a view of the part in
 * use, replaced when it grows: read the field anew in each operation, never keep it.
 *
 * From 2 MiB on they are in huge pages, where the kernel has them: a walk of many tables at random waits for
 * the processor's own page tables as long as for ours.
 */

import { refuse } from '../linux/errno.js';
import { HUGE_PAGE, preferHugePages } from '../linux/huge-pages.js';
import { broken } from '../linux/invariant.js';

/** Entries of a table: 9 bits of the IOVA for each level. */
export const TABLE_ENTRIES = 512;
/** Words of a table. */
export const TABLE_WORDS = 2 * TABLE_ENTRIES;

/** The largest buffer that there is. */
const MAX_BYTES = 2 ** 32;
/** Tables of all page tables together: 4 GiB. (A positive int32 could name twice as many.) */
const MAX_TABLES = MAX_BYTES / (4 * TABLE_WORDS);
/** Those that there are in any case: 16,384 tables. */
const FEW_BYTES = 1 << 26;

/** How many bits of an entry are the slot and the rights, and what is above them. */
const FOUND_BITS = 27;
const FOUND = 2 ** FOUND_BITS - 1;
const RIGHTS = 3;
/** Slots from here on have no entries. */
export const ENTRY_SLOTS = 2 ** (FOUND_BITS - 2);

/** Words of a mapping. IOVAs and offsets are pairs of 32 bits, high and low. */
export const MAPPING_WORDS = 8;
export const START_HI = 0;
export const LAST_HI = 2;
export const OFFSET_HI = 4;
export const MEMORY = 6;
export const ACCESS = 7;

/** In place of ACCESS: the slot is free. */
const FREE_SLOT = -1;
/** The first word of a table that is free: a walk that came there would go on in the table of zeros. */
const FREE_TABLE = 1;

export const TWO_32 = 0x1_0000_0000;

/** No slot. */
export const NONE = -1;

// One 64-bit value and its halves, low first: the cheapest way between a bigint and two words.
const whole = new BigUint64Array(1);
export const halves = new Int32Array(whole.buffer);

/** Splits a 64-bit value: until the next one is, `halves` has its low 32 bits and its high ones (int32). */
export function split(value: bigint): void {
  whole[0] = value;
}

/** Of the range that was split last: the halves (high, low) of its first IOVA, and those of its last. */
export const ends = new Int32Array(4);

/**
 * Splits [iova, iova+length), modulo 2^64. (Of bigints the sum would be an object for each step, in a process
 * where some have been of more than 64 bits.)
 */
export function splitRange(iova: bigint, length: bigint): void {
  whole[0] = iova;
  const hi = halves[1]!;
  const lo = halves[0]!;
  whole[0] = length;
  const endLo = (lo + halves[0]!) | 0;
  const carry = endLo >>> 0 < lo >>> 0 ? 1 : 0;
  ends[0] = hi;
  ends[1] = lo;
  ends[2] = (hi + halves[1]! + carry - (endLo === 0 ? 1 : 0)) | 0;
  ends[3] = (endLo - 1) | 0;
}

/**
 * Is told of a mapping that is taken out: the number of its memory, the halves of its length in bytes, and
 * where in the memory.
 */
export type OnTaken = (memory: number, lengthHi: number, lengthLo: number, offset: number) => void;

export class TableMemory {
  readonly tables = all();
  mappings = growing(64 * MAPPING_WORDS);
  /** What `locate` has found: the byte in the memory of a mapping, high and low 32 bits (int32). */
  byteHi = 0;
  byteLo = 0;
  #nextTable = 2 * TABLE_WORDS;
  #nextSlot = 0;
  #cached = 0;
  readonly #most: number;
  readonly #freeTables: number[] = [];
  readonly #freeRoots: number[] = [];
  /** The slot that was freed last; the first word of each has the one before. */
  #freeSlot = NONE;
  #freeSlots = 0;

  /** @param most tables that there may be, of all page tables together */
  constructor(most = MAX_TABLES) {
    this.#most = most;
  }

  /** Can a table, or the two of a root, be had? */
  hasRoom(count: 1 | 2): boolean {
    const free = this.#freeRoots.length + (count === 1 ? this.#freeTables.length : 0);
    const fits = free > 0 || this.#nextTable + count * TABLE_WORDS <= this.tables.length;
    return fits && this.tableCount + count <= this.#most;
  }

  /** A table of zeros. @returns the word at which it begins. */
  allocTable(): number {
    const table = this.#freeTables.pop() ?? this.#splitRoot();
    if (table === undefined) return this.#newTables(1);
    this.tables[table] = 0;
    return table;
  }

  freeTable(table: number): void {
    if (this.tables[table] === FREE_TABLE) broken(`the table at word ${table} is freed twice`);
    this.tables.fill(0, table, table + TABLE_WORDS);
    this.tables[table] = FREE_TABLE;
    this.#freeTables.push(table);
  }

  /** The two tables of a root, with nothing in them. @returns the word at which the first begins. */
  allocRoot(): number {
    const root = this.#freeRoots.pop() ?? this.#newTables(2);
    this.tables[root] = root + TABLE_WORDS;
    return root;
  }

  freeRoot(root: number): void {
    if (this.tables[root] !== root + TABLE_WORDS) broken(`the root at word ${root} is freed, and is none`);
    this.tables.fill(0, root, root + 2 * TABLE_WORDS);
    this.#freeRoots.push(root);
  }

  /**
   * Makes the entry at word `at` that of page number `page` (below 2^36) of a memory. `found` is `slot << 2 |
   * rights`.
   */
  setEntry(at: number, found: number, page: number): void {
    this.tables[at] = (1 << 31) | (Math.floor(page / TWO_32) << FOUND_BITS) | (found ^ RIGHTS);
    this.tables[at + 1] = page;
  }

  /**
   * Makes the entry at word `at` that of IOVA (hi, lo), when the mapping in `slot` is the page of 4 KiB that
   * it lies in and nothing else. @returns false when it is not, or no entry can say what it is.
   */
  setEntryOfPage(at: number, slot: number, hi: number, lo: number): boolean {
    const words = this.mappings;
    const base = slot * 8;
    const page = lo & ~0xfff;
    if (words[base] !== hi || words[base + 1] !== page) return false;
    if (words[base + 2] !== hi || words[base + 3] !== (page | 0xfff)) return false;
    const byteHi = words[base + 4]!;
    const byteLo = words[base + 5]!;
    if (slot >= ENTRY_SLOTS || byteHi >>> 16 !== 0 || (byteLo & 0xfff) !== 0) return false;
    const found = (slot << 2) | (words[base + 7]! & 3);
    this.tables[at] = (1 << 31) | ((byteHi >>> 12) << 27) | (found ^ 3);
    this.tables[at + 1] = (byteHi << 20) | (byteLo >>> 12);
    return true;
  }

  /**
   * Walks from `root` to the entry of the 4 KiB page that IOVA (hi, lo) lies in. @returns its word; 0, where
   * there is nothing, when there is no such entry.
   *
   * Each DMA does this. What is written as a literal would be looked up each time as a constant of another
   * module, and `+` would be checked.
   */
  entryOf(root: number, hi: number, lo: number): number {
    const { tables } = this;
    let at = (root + 1024) | (hi << 3) | ((lo >>> 29) & 6);
    if (hi >>> 7 !== 0) {
      if (hi >>> 16 !== 0) return 0;
      const table = tables[root | ((hi >>> 7) << 1)]!;
      if (table <= 0) return 0;
      at = table | ((hi & 127) << 3) | ((lo >>> 29) & 6);
    }
    let entry = tables[at]!;
    if (entry <= 0) return 0;
    entry = tables[entry | ((lo >>> 20) & 1022)]!;
    return entry <= 0 ? 0 : entry | ((lo >>> 11) & 1022);
  }

  /** Where in its memory IOVA (hi, lo) is, which the mapping in `slot` covers: (byteHi, byteLo). */
  locate(slot: number, hi: number, lo: number): void {
    const words = this.mappings;
    const at = slot * 8;
    const startLo = words[at + 1]!;
    const offsetLo = words[at + 5]!;
    const byteLo = (offsetLo + ((lo - startLo) | 0)) | 0;
    const borrow = lo >>> 0 < startLo >>> 0 ? 1 : 0;
    const carry = byteLo >>> 0 < offsetLo >>> 0 ? 1 : 0;
    this.byteHi = (words[at + 4]! + hi - words[at]! - borrow + carry) | 0;
    this.byteLo = byteLo;
  }

  /** A table out of a free root, whose other half is free then. */
  #splitRoot(): number | undefined {
    const root = this.#freeRoots.pop();
    if (root === undefined) return undefined;
    this.tables[root + TABLE_WORDS] = FREE_TABLE;
    this.#freeTables.push(root + TABLE_WORDS);
    return root;
  }

  #newTables(count: number): number {
    const first = this.#nextTable;
    this.#nextTable += count * TABLE_WORDS;
    const pages = HUGE_PAGE / this.tables.BYTES_PER_ELEMENT;
    if (first <= pages && this.#nextTable > pages) preferHugePages(this.tables.buffer, HUGE_PAGE);
    return first;
  }

  /**
   * A place for one mapping; its words are whatever they were. @returns the slot: its words begin at `slot *
   * MAPPING_WORDS`.
   */
  allocSlot(): number {
    const free = this.#freeSlot;
    if (free !== NONE) {
      this.#freeSlot = this.mappings[free * MAPPING_WORDS]!;
      this.#freeSlots--;
      this.mappings[free * MAPPING_WORDS + ACCESS] = 0;
      return free;
    }
    const slot = this.#nextSlot++;
    if ((slot + 1) * MAPPING_WORDS > this.mappings.length) this.mappings = grown(this.mappings);
    return slot;
  }

  freeSlot(slot: number): void {
    if (!this.holds(slot)) broken(`slot ${slot} of the mappings is freed, and is not in use`);
    this.mappings[slot * MAPPING_WORDS + ACCESS] = FREE_SLOT;
    this.mappings[slot * MAPPING_WORDS] = this.#freeSlot;
    this.#freeSlot = slot;
    this.#freeSlots++;
  }

  /** Is the slot in use? */
  holds(slot: number): boolean {
    return slot < this.#nextSlot && this.mappings[slot * MAPPING_WORDS + ACCESS] !== FREE_SLOT;
  }

  /** Tables in use, two for each root, for `ls` and for the tests of what is left behind. */
  get tableCount(): number {
    return this.#nextTable / TABLE_WORDS - 2 - this.#freeTables.length - 2 * this.#freeRoots.length;
  }

  /** Mappings in use, those that an IOTLB keeps left out. */
  get slotCount(): number {
    return this.#nextSlot - this.#freeSlots - this.#cached;
  }

  /** A place for a translation that an IOTLB keeps. @returns its slot, as `allocSlot`. */
  allocCached(): number {
    this.#cached++;
    return this.allocSlot();
  }

  freeCached(slot: number): void {
    this.freeSlot(slot);
    this.#cached--;
  }

  /** Translations that IOTLBs keep. */
  get cachedCount(): number {
    return this.#cached;
  }

  /** As `wide`, exact for all 64 bits. Not for the DMA path. */
  exact(slot: number, high: number): bigint {
    const word = slot * MAPPING_WORDS + high;
    halves[1] = this.mappings[word]!;
    halves[0] = this.mappings[word + 1]!;
    return whole[0]!;
  }

  /** Stores a 64-bit value where `exact` finds it. */
  store(slot: number, high: number, value: bigint): void {
    const word = slot * MAPPING_WORDS + high;
    whole[0] = value;
    this.mappings[word] = halves[1]!;
    this.mappings[word + 1] = halves[0]!;
  }

  /** Stores the first IOVA and the last of [iova, iova+length). */
  storeRange(slot: number, iova: bigint, length: bigint): void {
    splitRange(iova, length);
    const words = this.mappings;
    const at = slot * 8;
    words[at] = ends[0]!;
    words[at + 1] = ends[1]!;
    words[at + 2] = ends[2]!;
    words[at + 3] = ends[3]!;
  }

  /** Stores the range of `slot`, `shift` bytes further on, and the place in memory that it leads to. */
  storeShifted(into: number, slot: number, shift: bigint): void {
    const words = this.mappings;
    const [to, from] = [into * 8, slot * 8];
    whole[0] = shift;
    const [hi, lo] = [halves[1]!, halves[0]!];
    for (let end = 0; end < 4; end += 2) {
      const sumLo = (words[from + end + 1]! + lo) | 0;
      words[to + end] = (words[from + end]! + hi + (sumLo >>> 0 < lo >>> 0 ? 1 : 0)) | 0;
      words[to + end + 1] = sumLo;
    }
    words[to + 4] = words[from + 4]!;
    words[to + 5] = words[from + 5]!;
    words[to + 6] = words[from + 6]!;
  }

  /** Stores a whole number below 2^53 where `wide` finds it. */
  storeWide(slot: number, high: number, value: number): void {
    const word = slot * MAPPING_WORDS + high;
    this.mappings[word] = value / TWO_32;
    this.mappings[word + 1] = value >>> 0;
  }

  /** The words at `slot` at `high` and the one after as one number (exact below 2^53). */
  wide(slot: number, high: number): number {
    const word = slot * MAPPING_WORDS + high;
    return (this.mappings[word]! >>> 0) * TWO_32 + (this.mappings[word + 1]! >>> 0);
  }
}

/** `slot << 2 | rights` of the mapping whose page the entry with this first word is. */
export function foundIn(entry: number): number {
  return (entry & FOUND) ^ RIGHTS;
}

/**
 * Words of zeros, as many as there may ever be. Where the system wants all memory to be there before it is
 * used, and has not so much, they are as many as it will hardly miss.
 */
function all(): Int32Array<SharedArrayBuffer> {
  const buffer = reserved(FEW_BYTES);
  try {
    buffer.grow(MAX_BYTES);
  } catch {
    return new Int32Array(buffer, 0, FEW_BYTES / 4);
  }
  return new Int32Array(buffer, 0, MAX_BYTES / 4);
}

/** `count` words of zeros, which can become more. */
function growing(count: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(reserved(4 * count), 0, count);
}

/** @throws Refusal ENOMEM this process may not have so many addresses. */
function reserved(bytes: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(bytes, { maxByteLength: MAX_BYTES });
  } catch {
    return refuse(
      'ENOMEM',
      `there is no room for ${bytes} bytes of mappings and tables, in ${MAX_BYTES} bytes of addresses ` +
        '(ulimit -d, ulimit -v)',
    );
  }
}

/** Twice as many at the same place. (A view that tracks the buffer's length would be slower to use.) */
function grown({ buffer, length }: Int32Array<SharedArrayBuffer>): Int32Array<SharedArrayBuffer> {
  buffer.grow(8 * length);
  if (8 * length === 2 * HUGE_PAGE) preferHugePages(buffer, HUGE_PAGE);
  return new Int32Array(buffer, 0, 2 * length);
}
