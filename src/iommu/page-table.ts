/**
 * A page table: what one address space maps, and the radix tree that the hardware walks.
 *
 * The truth are the mappings sorted by IOVA (mappings.ts). The *radix tree* (4 levels of 9 bits above 4 KiB
 * pages, 48-bit IOVAs) holds only what a DMA has asked for; a walk that finds nothing looks for the mapping
 * and fills in the pages of it. So a mapping that no DMA touches costs one slot and no table. The tables
 * count in a quota; what finds no room in the tree is looked for each time.
 *
 * Invariants: mappings do not overlap; each entry of the tree names the mapping that covers *all* of its page
 * (4 KiB, 2 MiB or 1 GiB), and the place in memory; an entry is cleared before its mapping's slot is freed.
 * Mappings may lie anywhere in 64 bits, but a walk finds only what is below 2^48.
 */
import { broken, releaseEach } from '../linux/invariant.js';
import { Mappings } from './mappings.js';
import { type Quota, tableQuota } from './quota.js';
import {
  ACCESS,
  ENTRY_SLOTS,
  foundIn,
  halves,
  LAST_HI,
  MAPPING_WORDS,
  MEMORY,
  NONE,
  OFFSET_HI,
  type OnTaken,
  START_HI,
  split,
  TABLE_ENTRIES,
  type TableMemory,
  TWO_32,
} from './table-memory.js';

/** Bits of an IOVA. */
export const ADDRESS_BITS = 48;
/** Bytes of a page. */
export const PAGE_SIZE = 4096;

const ADDRESS_LIMIT = 2 ** ADDRESS_BITS;
/** Bytes that one entry of level 0 (root) .. 3 (leaf) covers. */
const SPAN = [2 ** 39, 2 ** 30, 2 ** 21, 2 ** 12] as const;
const LEAF = 3;
/** A root is so many tables. */
const ROOT_TABLES = 2;

/**
 * Walks from the table at word `root` to the mapping that covers IOVA (hi, lo), as the hardware does for each
 * DMA.
 * @returns `slot << 2 | rights` of the mapping, so that a refusal needs no look at the mapping itself; or
 * NONE.
 */
export function walk(tables: Int32Array, root: number, hi: number, lo: number): number {
  if (hi >>> 16 !== 0) return NONE;
  let entry = hi >>> 7 === 0 ? (root + 1024) | 0 : tables[root | ((hi >>> 7) << 1)]!;
  if (entry > 0) {
    entry = tables[entry | ((hi & 127) << 3) | ((lo >>> 29) & 6)]!;
    if (entry > 0) {
      entry = tables[entry | ((lo >>> 20) & 1022)]!;
      if (entry > 0) entry = tables[entry | ((lo >>> 11) & 1022)]!;
    }
  }
  return entry < 0 ? foundIn(entry) : NONE;
}

export class PageTable extends Mappings {
  /** The pages that the tree, and all that belongs to the same context, may have. */
  readonly pages: Quota;
  #root = 0;
  #generation = 0;

  constructor(memory: TableMemory, pages: Quota = tableQuota()) {
    super(memory);
    this.pages = pages;
  }

  /**
   * The word of the table memory where the tree begins; 0 (the table of zeros) until the first walk finds
   * something. Never changes after that.
   */
  get root(): number {
    return this.#root;
  }

  /**
   * How often something was taken out. Who keeps what a lookup has found asks whether it is still the same.
   */
  get generation(): number {
    return this.#generation;
  }

  /** As `walk` from the root, but builds what is missing in the tree when there is a mapping. */
  lookup(hi: number, lo: number): number {
    const found = walk(this.memory.tables, this.#root, hi, lo);
    return found !== NONE || hi >>> 16 !== 0 ? found : this.#fill(hi, lo);
  }

  /**
   * Adds a mapping of [iova, iova+length) to byte `offset` onwards of memory number `memory`, with the rights
   * `access`. The range is free: the address space has seen to that. @returns the mapping's slot.
   */
  map(iova: bigint, length: bigint, memory: number, offset: bigint, access: number): number {
    const slot = this.memory.allocSlot();
    this.memory.storeRange(slot, iova, length);
    this.memory.store(slot, OFFSET_HI, offset);
    const words = this.memory.mappings;
    words[slot * MAPPING_WORDS + MEMORY] = memory;
    words[slot * MAPPING_WORDS + ACCESS] = access;
    this.insert(slot);
    return slot;
  }

  /**
   * Adds a mapping of what the one in `slot` maps, of whatever table, `shift` bytes further on, in a range
   * that is free. It has the rights `access`. @returns its slot.
   */
  mapLike(slot: number, shift: bigint, access: number): number {
    const copy = this.memory.allocSlot();
    this.memory.storeShifted(copy, slot, shift);
    this.memory.mappings[copy * MAPPING_WORDS + ACCESS] = access;
    this.insert(copy);
    return copy;
  }

  /**
   * Takes a mapping out: the tree forgets it first, then its slot is free. @returns its memory number.
   */
  unmap(slot: number): number {
    const words = this.memory.mappings;
    const at = slot * MAPPING_WORDS;
    if (this.seek(words[at + START_HI]!, words[at + START_HI + 1]!) !== slot)
      broken(`slot ${slot} of the mappings is taken out of a table that has it not`);
    this.#generation++;
    this.#forgetMapping(slot);
    this.remove();
    this.memory.freeSlot(slot);
    return words[at + MEMORY]!;
  }

  /**
   * Takes out the highest mappings that begin in [first, last], a chunk of them at most, calling `each` with
   * every one. As with `unmap` the tree forgets them first; the root stays where requesters know it to be.
   * @returns whether there may be more.
   */
  takeSome(first: bigint, last: bigint, each: OnTaken): boolean {
    split(first);
    const [firstHi, firstLo] = [halves[1]!, halves[0]!];
    split(last);
    const { slots, before, next, more } = this.takeHighest(firstHi, firstLo, halves[1]!, halves[0]!);
    if (slots.length === 0) return false;
    this.#generation++;
    // Up to the neighbours, so that tables which nothing needs any more are free.
    this.#forget(
      before === NONE ? 0 : this.memory.wide(before, LAST_HI) + 1,
      next === NONE ? ADDRESS_LIMIT : this.memory.wide(next, START_HI),
    );
    releaseEach(slots, (slot) => this.#free(slot, each));
    return more;
  }

  /** Gives the root back. The table is empty, and no requester has it. */
  close(): void {
    if (this.count > 0) broken(`a page table is closed with ${this.count} mappings in it`);
    this.requireLeft();
    if (this.#root === 0) return;
    this.#forget(0, ADDRESS_LIMIT);
    this.memory.freeRoot(this.#root);
    this.pages.remove(ROOT_TABLES);
    this.#root = 0;
  }

  /** A mapping is out of the table: its slot is free, and `each` is told of it. */
  #free(slot: number, each: OnTaken): void {
    const words = this.memory.mappings;
    const at = slot * 8;
    const memory = words[at + 6]!;
    const borrow = words[at + 3]! >>> 0 < words[at + 1]! >>> 0 ? 1 : 0;
    const before = (words[at + 3]! - words[at + 1]!) | 0;
    const hi = (words[at + 2]! - words[at]! - borrow + (before === -1 ? 1 : 0)) | 0;
    const offset = this.memory.wide(slot, OFFSET_HI);
    this.memory.freeSlot(slot);
    each(memory, hi, (before + 1) | 0, offset);
  }

  /** Clears the tree for the mapping in `slot`, without a number of more than 32 bits where it is small. */
  #forgetMapping(slot: number): void {
    const words = this.memory.mappings;
    const at = slot * 8;
    const startLo = words[at + 1]!;
    const lastLo = words[at + 3]!;
    const within = words[at] === words[at + 2] && startLo >>> 21 === lastLo >>> 21;
    if (!within || ((startLo | ~lastLo) & 0x1f_ffff) === 0) {
      this.#forget(this.memory.wide(slot, START_HI), this.memory.wide(slot, LAST_HI) + 1);
      return;
    }
    // Less than 2 MiB, in one table of the last level, if there is one.
    const entry = this.memory.entryOf(this.#root, words[at]!, startLo);
    if (entry === 0) return;
    const { tables } = this.memory;
    const end = entry + 2 * ((lastLo >>> 12) - (startLo >>> 12));
    for (let word = entry; word <= end; word += 2) {
      tables[word] = 0;
      tables[word + 1] = 0;
    }
  }

  /** Clears the tree for [start, end). */
  #forget(start: number, end: number): void {
    if (this.#root === 0 || start >= ADDRESS_LIMIT) return;
    this.#clear(this.#root, 0, 0, start, Math.min(end, ADDRESS_LIMIT) - 1);
  }

  /**
   * A walk has found nothing at (hi, lo): look for a mapping, and build what is needed to find it next time.
   */
  #fill(hi: number, lo: number): number {
    const slot = this.covering(hi, lo);
    if (slot === NONE) return NONE;
    const memory = this.memory;
    const at = memory.entryOf(this.#root, hi, lo);
    if (at !== 0 && memory.setEntryOfPage(at, slot, hi, lo)) return foundIn(memory.tables[at]!);
    const iova = hi * TWO_32 + (lo >>> 0);
    const start = memory.wide(slot, START_HI);
    const last = memory.wide(slot, LAST_HI);
    const found = (slot << 2) | (memory.mappings[slot * MAPPING_WORDS + ACCESS]! & 3);
    const offset = memory.wide(slot, OFFSET_HI);
    // What an entry cannot say is looked for each time.
    if (slot >= ENTRY_SLOTS || offset + (last - start) >= ADDRESS_LIMIT || (offset - start) % PAGE_SIZE !== 0)
      return found;
    if (this.#root === 0 && !this.#growRoot()) return found;
    let table = this.#root;
    let base = 0;
    for (let level = 0; ; level++) {
      const span = SPAN[level]!;
      const index = Math.floor((iova - base) / span);
      const entryBase = base + index * span;
      if (level > 0 && start <= entryBase && entryBase + span - 1 <= last) {
        this.#fillRun(table, level, base, slot, found);
        return found;
      }
      // A mapping that covers a part of a page only cannot be in the tree: it is looked for each
      // time.
      if (level === LEAF) return found;
      let next = memory.tables[table + 2 * index]!;
      if (next === 0) {
        next = this.#grow();
        if (next === 0) return found;
        memory.tables[table + 2 * index] = next;
      }
      table = next;
      base = entryBase;
    }
  }

  /** Makes the root. @returns whether there was room for it. */
  #growRoot(): boolean {
    if (!this.pages.has(ROOT_TABLES) || !this.memory.hasRoom(ROOT_TABLES)) return false;
    this.pages.add(ROOT_TABLES);
    this.#root = this.memory.allocRoot();
    return true;
  }

  /** @returns a table of zeros, or 0 when there is no room for one. */
  #grow(): number {
    if (!this.pages.has(1) || !this.memory.hasRoom(1)) return 0;
    this.pages.add(1);
    return this.memory.allocTable();
  }

  /**
   * Writes an entry for each span of the table at `base` that lies in mapping `slot` as a whole. A table
   * below it is left from mappings now gone.
   */
  #fillRun(table: number, level: number, base: number, slot: number, found: number): void {
    const memory = this.memory;
    const start = memory.wide(slot, START_HI);
    const span = SPAN[level]!;
    const from = Math.max(0, Math.ceil((start - base) / span));
    const to = Math.min(TABLE_ENTRIES, Math.floor((memory.wide(slot, LAST_HI) + 1 - base) / span));
    let page = (memory.wide(slot, OFFSET_HI) + (base + from * span - start)) / PAGE_SIZE;
    for (let at = table + 2 * from; at < table + 2 * to; at += 2, page += span / PAGE_SIZE) {
      const below = memory.tables[at]!;
      if (below > 0) this.#freeTree(below, level + 1);
      memory.setEntry(at, found, page);
    }
  }

  /**
   * Clears the entries for [start, last] below `table`, which begins at `base`; frees tables that the range
   * covers as a whole.
   */
  #clear(table: number, level: number, base: number, start: number, last: number): void {
    const span = SPAN[level]!;
    const tables = this.memory.tables;
    const from = Math.max(0, Math.floor((start - base) / span));
    const to = Math.min(TABLE_ENTRIES - 1, Math.floor((last - base) / span));
    if (level === LEAF) {
      tables.fill(0, table + 2 * from, table + 2 * (to + 1));
      return;
    }
    for (let index = from; index <= to; index++) {
      const entry = tables[table + 2 * index]!;
      if (entry === 0) continue;
      const entryBase = base + index * span;
      const whole = start <= entryBase && entryBase + span - 1 <= last;
      // The second table of the root stays where it is.
      if (entry > 0 && (!whole || (level === 0 && index === 0))) {
        this.#clear(entry, level + 1, entryBase, start, last);
        continue;
      }
      if (entry > 0) this.#freeTree(entry, level + 1);
      tables[table + 2 * index] = 0;
    }
  }

  #freeTree(table: number, level: number): void {
    if (level < LEAF) {
      for (let index = 0; index < TABLE_ENTRIES; index++) {
        const entry = this.memory.tables[table + 2 * index]!;
        if (entry > 0) this.#freeTree(entry, level + 1);
      }
    }
    this.memory.freeTable(table);
    this.pages.remove(1);
  }
}
