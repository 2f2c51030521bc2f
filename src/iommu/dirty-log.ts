/**
 * DirtyLog: which pages were written through a page table, while it is being recorded.
 *
 * It belongs to whoever attaches the table (an HWPT), not to the table, which several of them may share: an
 * entry of a PASID table names both, and a write by that entry is recorded in its log.
 *
 * One bit for each page, in chunks that come into being with their first bit, so that the log of a large
 * address space in which little was written is small. It is read and cleaned in words of 32 pages. Page
 * numbers are exact integers: an IOVA of 64 bits divided by a page of 2 KiB or more.
 *
 * The chunks count in a quota. A log that finds no room for one is full: pages are missing, so what is in
 * it cannot be read until it is cleared.
 *
 * Invariant: a page that is not written while the log is on is never in it, and while it can be read every
 * page that was written is.
 */
import { refuse } from '../linux/errno.js';
import { type Quota, tableQuota } from './quota.js';

/** Pages in a chunk, which is one page itself. */
const CHUNK_PAGES = 32768;
const NO_CHUNK = new Uint32Array(0);
/** Pages in a part, which is looked at in one go. It divides a chunk. */
const PART_PAGES = 1024;

/** [iova, iova+length): whole pages of a log. */
export interface DirtyPart {
  readonly iova: bigint;
  readonly length: bigint;
}

/** What was written of a part: `count` words, rising, none of them 0. */
export class DirtyWords {
  count = 0;
  /** The first page of each. */
  readonly pages = new Float64Array(PART_PAGES / 32);
  /** Bit n says that the n-th page from there on was written. */
  readonly bits = new Int32Array(PART_PAGES / 32);
}

export class DirtyLog {
  /** Bytes of a page. */
  readonly pageSize: bigint;
  /** Are writes recorded? */
  enabled = false;
  readonly #pageBytes: number;
  readonly #quota: Quota;
  readonly #chunks = new Map<number, Uint32Array>();
  // The chunk of the last mark: writes come in runs.
  #number = -1;
  #chunk: Uint32Array = NO_CHUNK;
  #full = false;

  /** @param quota in which its chunks count */
  constructor(pageSize: bigint, quota: Quota = tableQuota()) {
    this.#quota = quota;
    this.pageSize = pageSize;
    this.#pageBytes = Number(pageSize);
  }

  /** Everything is clean. */
  clear(): void {
    this.#quota.remove(this.#chunks.size);
    this.#chunks.clear();
    this.#number = -1;
    this.#full = false;
  }

  /**
   * DMA has written [iova, iova+length): recorded while the log is on. On the way of each write, so there is
   * no bigint here.
   */
  written(iova: number, length: number): void {
    if (!this.enabled || length === 0) return;
    const last = Math.floor((iova + length - 1) / this.#pageBytes);
    for (let page = Math.floor(iova / this.#pageBytes); page <= last; page++) this.#mark(page);
  }

  /** The page at `iova` was written. */
  mark(iova: bigint): void {
    this.#mark(Number(iova / this.pageSize));
  }

  /**
   * The parts of [iova, iova+length) in which something may have been written, rising: what is read and
   * cleaned in one go, so that no write between the two is lost. @throws Refusal ENOMEM the log is full.
   */
  *parts(iova: bigint, length: bigint): Generator<DirtyPart> {
    this.#requireAll();
    const [first, last] = this.#pages(iova, length);
    for (const number of this.#within(first, last).sort()) {
      const end = Math.min(last + 1, (number + 1) * CHUNK_PAGES);
      for (let page = Math.max(first, number * CHUNK_PAGES); page < end; ) {
        const next = Math.min(page - (page % PART_PAGES) + PART_PAGES, end);
        yield { iova: BigInt(page) * this.pageSize, length: BigInt(next - page) * this.pageSize };
        page = next;
      }
    }
  }

  /**
   * What was written of a part, which `parts` has just told. No page is outside. @throws Refusal ENOMEM the
   * log is full.
   */
  read({ iova, length }: DirtyPart, into: DirtyWords): void {
    this.#requireAll();
    const [first, last] = this.#pages(iova, length);
    const number = Math.floor(first / CHUNK_PAGES);
    const [chunk, start] = [this.#chunks.get(number)!, number * CHUNK_PAGES];
    into.count = 0;
    for (let page = first; page <= last; ) {
      const next = Math.min(page - (page % 32) + 32, last + 1);
      const bits = (chunk[(page - start) >>> 5]! >>> (page % 32)) & lowest(next - page);
      if (bits !== 0) {
        into.pages[into.count] = page;
        into.bits[into.count++] = bits;
      }
      page = next;
    }
  }

  #requireAll(): void {
    if (this.#full)
      refuse('ENOMEM', `the log of dirty pages is incomplete: ${this.#quota.reason()}; switch it on anew`);
  }

  /** The pages in [iova, iova+length) are clean from now on. */
  clean(iova: bigint, length: bigint): void {
    const [first, last] = this.#pages(iova, length);
    for (const number of this.#within(first, last)) {
      const start = number * CHUNK_PAGES;
      const [from, end] = [Math.max(first - start, 0), Math.min(last - start + 1, CHUNK_PAGES)];
      if (end - from === CHUNK_PAGES) this.#close(number);
      else cleanBits(this.#chunks.get(number)!, from, end);
    }
  }

  /** The first and the last page of [iova, iova+length). */
  #pages(iova: bigint, length: bigint): [first: number, last: number] {
    return [Number(iova / this.pageSize), Number((iova + length - 1n) / this.pageSize)];
  }

  #mark(page: number): void {
    const number = Math.floor(page / CHUNK_PAGES);
    if (number !== this.#number) this.#open(number);
    const bit = page % CHUNK_PAGES;
    // Of no effect where there was no room for a chunk.
    this.#chunk[bit >>> 5]! |= 1 << (bit & 31);
  }

  /** Makes `number` the chunk at hand. */
  #open(number: number): void {
    const chunk = this.#chunks.get(number);
    this.#number = number;
    this.#chunk = chunk ?? this.#newChunk(number);
  }

  #newChunk(number: number): Uint32Array {
    if (this.#full || !this.#quota.has(1)) {
      this.#full = true;
      return NO_CHUNK;
    }
    this.#quota.add(1);
    const chunk = new Uint32Array(CHUNK_PAGES / 32);
    this.#chunks.set(number, chunk);
    return chunk;
  }

  #close(number: number): void {
    if (this.#chunks.delete(number)) this.#quota.remove(1);
    if (number === this.#number) this.#number = -1;
  }

  /** The chunks that have pages from `first` to `last`, in no order. */
  #within(first: number, last: number): Float64Array {
    const [lowest, highest] = [Math.floor(first / CHUNK_PAGES), Math.floor(last / CHUNK_PAGES)];
    // Most unmaps are of a few chunks, of which the log may have many.
    if (highest - lowest < this.#chunks.size) {
      const span = Float64Array.from({ length: highest - lowest + 1 }, (_, n) => lowest + n);
      return span.filter((number) => this.#chunks.has(number));
    }
    return Float64Array.from(this.#chunks.keys()).filter((number) => number >= lowest && number <= highest);
  }
}

/** The lowest `count` of 32 bits; 1 to 32. */
function lowest(count: number): number {
  return -1 >>> (32 - count);
}

/** Clears bits `from` to `end` - 1. */
function cleanBits(chunk: Uint32Array, from: number, end: number): void {
  for (let bit = from; bit < end; ) {
    const next = Math.min(bit - (bit % 32) + 32, end);
    chunk[bit >>> 5]! &= ~(lowest(next - bit) << (bit % 32));
    bit = next;
  }
}
