/**
 * TwoStageTable: a nested table that is walked as hardware walks it.
 *
 * The first stage lies in memory of the user, who knows it by the addresses that the second stage translates:
 * each of its entries is read through the second stage, and the address that it leads to is translated by the
 * second stage again. An access needs the rights of both. What the second stage maps is made of whole pages
 * of 4 KiB, as address spaces that a first stage may lie in are aligned.
 *
 * Translations are kept in an IOTLB until the user invalidates them. Invariant: whatever is taken out of
 * `parent` is gone for the very next DMA. `parent` tells nobody; its generation is compared at each lookup,
 * and with another one nothing that is kept counts.
 */
import { hex } from '../linux/errno.js';
import { type Access, NOT_MAPPED, READ, REFUSED, WRITE } from './access.js';
import type { DirtyLog } from './dirty-log.js';
import { Iotlb } from './iotlb.js';
import type { Memory } from './memory.js';
import type { MemoryTable } from './memory-table.js';
import { NestedTable } from './nested-table.js';
import { PAGE_SIZE, type PageTable } from './page-table.js';
import {
  LAST_HI,
  MAPPING_WORDS,
  MEMORY,
  OFFSET_HI,
  START_HI,
  type TableMemory,
  TWO_32,
} from './table-memory.js';

/** Where tables and memories of an IOMMU are. */
export interface Tables {
  readonly tables: TableMemory;
  readonly memories: MemoryTable;
}

/** What a nested table caches, in pages of 4 KiB: places and translations of an IOTLB, tables on the way. */
const CACHE_PAGES = 16;
/** Bytes of an entry of the first stage. */
const ENTRY_BYTES = 8;
// The entry that was read last. Larger than an entry, because only such arrays stay where they are in memory.
const entryBytes = new Uint8Array(128);

export abstract class TwoStageTable extends NestedTable {
  /** The entry that `readEntry` has read: its low and high half. */
  protected readonly entry: Int32Array = new Int32Array(entryBytes.buffer, 0, 2);
  /**
   * What `walk` has found: the halves of the page's address in the second stage, its size in bytes (a power
   * of two, at most 2^30), and the rights.
   */
  protected pageHi = 0;
  protected pageLo = 0;
  protected size = 0;
  protected rights: Access = 0;
  /** What `pageOf` has found. */
  protected byteHi = 0;
  protected byteLo = 0;

  readonly #iommu: Tables;
  readonly #iotlb: Iotlb;
  // Of what is written through the second stage, be it by devices or as a mark in an entry of the first.
  readonly #log: DirtyLog | undefined;
  #generation: number;

  /** @throws Refusal ENOMEM when the context of `parent` has no pages left for what is cached. */
  constructor(iommu: Tables, parent: PageTable, log?: DirtyLog) {
    super(parent);
    parent.pages.check(CACHE_PAGES);
    parent.pages.add(CACHE_PAGES);
    this.#log = log;
    this.#iommu = iommu;
    this.#iotlb = new Iotlb(iommu.tables, parent.pages);
    this.#generation = parent.generation;
  }

  lookup(hi: number, lo: number, access: Access): number {
    if (this.#generation !== this.parent.generation) {
      this.invalidateAll();
      this.#generation = this.parent.generation;
    }
    const found = this.#iotlb.find(hi, lo);
    return found >= 0 && (found & access) === access ? found : this.#translate(hi, lo, access);
  }

  /**
   * Forgets what is kept of [start, last] (bytes). `leaf`: only entries that lead to pages have changed, none
   * that leads to a table.
   */
  invalidate(start: number, last: number, leaf: boolean): void {
    this.#iotlb.invalidate(start, last);
    if (!leaf) this.forgetTables();
  }

  /** Where in the second stage `iova` is, for which `lookup` has just found something. */
  secondOf(iova: number): number {
    return this.#iotlb.second(iova);
  }

  /** Forgets everything that is kept. */
  invalidateAll(): void {
    this.#iotlb.clear();
    this.forgetTables();
  }

  close(): void {
    this.requireLeft();
    this.invalidateAll();
    this.#iotlb.close();
    this.parent.pages.remove(CACHE_PAGES);
  }

  /**
   * The walk of the first stage to the page that IOVA (hi, lo) lies in. @returns true, with what it has found
   * set; or false, with the reason in `refusal`.
   */
  protected abstract walk(hi: number, lo: number, access: Access): boolean;

  /**
   * The page that `walk` has found is about to be used for `access`: its entry is marked. @returns the rights
   * with which the translation may be kept, as far as the first stage goes; 0 when the entry cannot be
   * marked, with the reason in `refusal`.
   */
  protected abstract use(access: Access): Access;

  /** Forgets tables of the first stage that a walk has passed. */
  protected abstract forgetTables(): void;

  /**
   * Reads the entry at address (hi, lo) of the second stage into `entry`. @returns false when it cannot be
   * reached, with the reason.
   */
  protected readEntry(hi: number, lo: number): boolean {
    const slot = this.#entrySlot(hi, lo, READ);
    if (slot < 0) return false;
    const memory = this.#memory(slot);
    if (memory.read(this.#offset(slot, hi, lo), entryBytes, 0, ENTRY_BYTES) === ENTRY_BYTES) return true;
    return this.refuse(
      `${memory.description} has no entry to read for ${hexPair(hi, lo)} of the second stage`,
    );
  }

  /**
   * Reads the entry at byte (hi, lo) of memory number `memory` into `entry`: it lies in a page that `pageOf`
   * has found. @returns false when it cannot be read there.
   */
  protected readEntryIn(memory: number, hi: number, lo: number): boolean {
    const offset = hi * 0x1_0000_0000 + (lo >>> 0);
    this.#iommu.memories.accesses++;
    return this.#iommu.memories.get(memory).read(offset, entryBytes, 0, 8) === 8;
  }

  /**
   * Where the page at (hi, lo) of the second stage can be read: (byteHi, byteLo) onwards of the memory whose
   * number is returned; negative when it cannot. It counts until something is taken out of the second stage,
   * which is when tables are forgotten.
   */
  protected pageOf(hi: number, lo: number): number {
    const { tables } = this.#iommu;
    const second = this.parent.lookup(hi, lo);
    if (second < 0 || (second & READ) === 0) return NOT_MAPPED;
    tables.locate(second >> 2, hi, lo);
    this.byteHi = tables.byteHi;
    this.byteLo = tables.byteLo;
    return tables.mappings[(second >> 2) * MAPPING_WORDS + MEMORY]!;
  }

  /**
   * Stores byte `at` of `entry`, which was read at (hi, lo); the other bytes of the entry may have changed
   * since, and stay.
   * @returns false when that cannot be, with the reason.
   */
  protected writeEntry(hi: number, lo: number, at: number): boolean {
    const slot = this.#entrySlot(hi, lo, WRITE);
    if (slot < 0) return false;
    const memory = this.#memory(slot);
    if (memory.write(this.#offset(slot, hi, lo) + at, entryBytes, at, 1) === 1) {
      this.#log?.written(hi * TWO_32 + (lo >>> 0), ENTRY_BYTES);
      return true;
    }
    return this.refuse(
      `${memory.description} has no entry to mark for ${hexPair(hi, lo)} of the second stage`,
    );
  }

  protected refuse(reason: string): false {
    this.refusal = reason;
    return false;
  }

  /** Nothing is kept that would do: both stages are walked, and what they find is kept. */
  #translate(hi: number, lo: number, access: Access): number {
    if (!this.walk(hi, lo, access)) return REFUSED;
    const within = lo & (this.size - 1);
    const addressLo = this.pageLo | within;
    const second = this.parent.lookup(this.pageHi, addressLo);
    if (second < 0 || (second & access) !== access) {
      const missing =
        second < 0 ? 'has nothing mapped' : `does not give the right to ${access & WRITE ? 'write' : 'read'}`;
      this.refuse(
        `the first stage leads to ${hexPair(this.pageHi, addressLo)}, where the second stage ${missing}`,
      );
      return REFUSED;
    }
    const rights = this.use(access) & second;
    return rights === 0 ? REFUSED : this.#keep(hi, lo, within, second >> 2, rights);
  }

  /**
   * Keeps the part of the page that `slot` of the second stage holds; IOVA (hi, lo) lies `within` the page by
   * so many bytes.
   */
  #keep(hi: number, lo: number, within: number, slot: number, rights: Access): number {
    const { tables } = this.#iommu;
    const memory = tables.mappings[slot * MAPPING_WORDS + MEMORY]!;
    if (this.size === PAGE_SIZE) {
      tables.locate(slot, this.pageHi, this.pageLo);
      const { byteHi, byteLo } = tables;
      return this.#iotlb.keepPage(hi, lo, memory, byteHi, byteLo, rights, this.pageHi, this.pageLo);
    }
    const iova = hi * TWO_32 + (lo >>> 0);
    const address = this.pageHi * TWO_32 + ((this.pageLo | within) >>> 0);
    const into = address - tables.wide(slot, START_HI);
    const before = Math.min(within, into);
    const after = Math.min(this.size - within - 1, tables.wide(slot, LAST_HI) - address);
    const offset = tables.wide(slot, OFFSET_HI) + into - before;
    return this.#iotlb.keep(hi, lo, iova - before, iova + after, memory, offset, rights, address - before);
  }

  /**
   * The mapping of the second stage in which the entry at (hi, lo) lies, or negative when it cannot be
   * accessed there.
   */
  #entrySlot(hi: number, lo: number, access: Access): number {
    const second = this.parent.lookup(hi, lo);
    if (second >= 0 && (second & access) === access) return second >> 2;
    const missing = second < 0 ? 'has mapped' : `lets be ${access === WRITE ? 'written' : 'read'}`;
    this.refuse(
      `the entry at ${hexPair(hi, lo)} of the first stage is not in what the second stage ${missing}`,
    );
    return REFUSED;
  }

  /** The memory of `slot`, to be accessed once. */
  #memory(slot: number): Memory {
    this.#iommu.memories.accesses++;
    return this.#iommu.memories.get(this.#iommu.tables.mappings[slot * MAPPING_WORDS + MEMORY]!);
  }

  /** Where address (hi, lo) of the second stage is in the memory of the mapping that covers it. */
  #offset(slot: number, hi: number, lo: number): number {
    const { tables } = this.#iommu;
    return tables.wide(slot, OFFSET_HI) + (hi * TWO_32 + (lo >>> 0) - tables.wide(slot, START_HI));
  }
}

/** An address by its halves, in reasons. */
export function hexPair(hi: number, lo: number): string {
  return hex(hi * TWO_32 + (lo >>> 0));
}
