/**
 * Table memory: the typed arrays in which all page tables and all mappings of one IOMMU live.
 *
 * Two pools, both growing by doubling, both reused through free lists:
 *  - `tables`: 512-entry tables of a radix tree, one int32 an entry. 0: nothing there; positive: the word at which the next table
 *    begins; negative: `~(slot << 2 | rights)` of the mapping that holds the page. Table 0 is all zeros for ever and is the root of an empty tree.
 *  - `mappings`: one mapping is 8 int32 words, together in half a cache line, because a lookup wants all of them.
 * `tables` and `mappings` are replaced when they grow: read the field anew in each operation, never keep it.
 */

/** Entries of a table: 9 bits of the IOVA for each level. */
export const TABLE_ENTRIES = 512;

/** Words of a mapping. IOVAs and offsets are pairs of 32 bits, high and low. */
export const MAPPING_WORDS = 8;
export const START_HI = 0;
export const START_LO = 1;
export const LAST_HI = 2;
export const OFFSET_HI = 4;
export const OFFSET_LO = 5;
export const MEMORY = 6;
export const ACCESS = 7;

export const TWO_32 = 0x1_0000_0000;

// One 64-bit value and its halves, low first: the cheapest way between a bigint and two words.
const whole = new BigUint64Array(1);
const halves = new Uint32Array(whole.buffer);

/** The high and low 32 bits of a 64-bit value. */
export function splitHalves(value: bigint): readonly [hi: number, lo: number] {
  whole[0] = value;
  return [halves[1]!, halves[0]!];
}

export class TableMemory {
  tables = new Int32Array(64 * TABLE_ENTRIES);
  mappings = new Int32Array(64 * MAPPING_WORDS);
  #nextTable = TABLE_ENTRIES;
  #nextSlot = 0;
  #cached = 0;
  readonly #freeTables: number[] = [];
  readonly #freeSlots: number[] = [];

  /** A table of zeros. @returns the word at which it begins. */
  allocTable(): number {
    const free = this.#freeTables.pop();
    if (free !== undefined) return free;
    const table = this.#nextTable;
    if (table + TABLE_ENTRIES > this.tables.length) this.tables = grown(this.tables);
    this.#nextTable += TABLE_ENTRIES;
    return table;
  }

  freeTable(table: number): void {
    this.tables.fill(0, table, table + TABLE_ENTRIES);
    this.#freeTables.push(table);
  }

  /** A place for one mapping; its words are whatever they were. @returns the slot: its words begin at `slot * MAPPING_WORDS`. */
  allocSlot(): number {
    const free = this.#freeSlots.pop();
    if (free !== undefined) return free;
    const slot = this.#nextSlot++;
    if ((slot + 1) * MAPPING_WORDS > this.mappings.length) this.mappings = grown(this.mappings);
    return slot;
  }

  freeSlot(slot: number): void {
    this.#freeSlots.push(slot);
  }

  /** Tables in use, for `ls` and for the tests of what is left behind. */
  get tableCount(): number {
    return this.#nextTable / TABLE_ENTRIES - 1 - this.#freeTables.length;
  }

  /** Mappings in use, those that an IOTLB keeps left out. */
  get slotCount(): number {
    return this.#nextSlot - this.#freeSlots.length - this.#cached;
  }

  /** A place for a translation that an IOTLB keeps. @returns its slot, as `allocSlot`. */
  allocCached(): number {
    this.#cached++;
    return this.allocSlot();
  }

  freeCached(slot: number): void {
    this.#cached--;
    this.freeSlot(slot);
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

function grown(words: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(words.length * 2);
  larger.set(words);
  return larger;
}
