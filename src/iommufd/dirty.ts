/**
 * DirtyLog: which pages of a page table were written, while it is being recorded.
 *
 * One bit for each page, in chunks that come into being with their first bit, so that the log of a large address space in which little
 * was written is small. Page numbers are exact integers: an IOVA of 64 bits divided by a page of 2 KiB or more.
 */
const CHUNK_PAGES = 32768;

export class DirtyLog {
  /** Bytes of a page. */
  readonly pageSize: bigint;
  /** SET_DIRTY_TRACKING. */
  enabled = false;
  readonly #chunks = new Map<number, Uint32Array>();

  constructor(pageSize: bigint) {
    this.pageSize = pageSize;
  }

  /** Everything is clean. */
  clear(): void {
    this.#chunks.clear();
  }

  /** The page at `iova` was written. */
  mark(iova: bigint): void {
    const page = Number(iova / this.pageSize);
    const number = Math.floor(page / CHUNK_PAGES);
    let chunk = this.#chunks.get(number);
    if (chunk === undefined) {
      chunk = new Uint32Array(CHUNK_PAGES / 32);
      this.#chunks.set(number, chunk);
    }
    const bit = page % CHUNK_PAGES;
    chunk[bit >>> 5]! |= 1 << (bit & 31);
  }

  /** The pages in [iova, iova+length) that were written, by their first IOVAs. */
  *dirty(iova: bigint, length: bigint): Generator<bigint> {
    const first = Number(iova / this.pageSize);
    const last = Number((iova + length - 1n) / this.pageSize);
    for (const [number, words] of this.#within(first, last)) {
      for (const [word, bits] of words.entries()) {
        if (bits === 0) continue;
        for (let bit = 0; bit < 32; bit++) {
          const page = number * CHUNK_PAGES + word * 32 + bit;
          if ((bits & (1 << bit)) !== 0 && page >= first && page <= last) yield BigInt(page) * this.pageSize;
        }
      }
    }
  }

  /** The pages in [iova, iova+length) are clean from now on. */
  clean(iova: bigint, length: bigint): void {
    for (const page of [...this.dirty(iova, length)]) this.#unmark(page);
  }

  #unmark(iova: bigint): void {
    const page = Number(iova / this.pageSize);
    const chunk = this.#chunks.get(Math.floor(page / CHUNK_PAGES))!;
    const bit = page % CHUNK_PAGES;
    chunk[bit >>> 5]! &= ~(1 << (bit & 31));
  }

  /** The chunks that have pages from `first` to `last`, in no order. */
  *#within(first: number, last: number): Generator<[number, Uint32Array]> {
    for (const entry of this.#chunks) {
      if (entry[0] >= Math.floor(first / CHUNK_PAGES) && entry[0] <= Math.floor(last / CHUNK_PAGES)) yield entry;
    }
  }
}
