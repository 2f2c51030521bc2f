/**
 * DirtyLog: which pages were written through a page table, while it is being recorded.
 *
 * It belongs to whoever attaches the table (an HWPT), not to the table, which several of them may share: an
 * entry of a PASID table names both, and a write by that entry is recorded in its log. One bit for each page,
 * in chunks that come into being with their first bit, so that the log of a large address space in which
 * little was written is small. Invariant: a page that is not written while the log is on is never in it. Page
 * numbers are exact integers: an IOVA of 64 bits divided by a page of 2 KiB or more.
 */
const CHUNK_PAGES = 32768;

export class DirtyLog {
  /** Bytes of a page. */
  readonly pageSize: bigint;
  /** Are writes recorded? */
  enabled = false;
  readonly #pageBytes: number;
  readonly #chunks = new Map<number, Uint32Array>();
  // The chunk of the last mark: writes come in runs.
  #number = -1;
  #chunk: Uint32Array = new Uint32Array(0);

  constructor(pageSize: bigint) {
    this.pageSize = pageSize;
    this.#pageBytes = Number(pageSize);
  }

  /** Everything is clean. */
  clear(): void {
    this.#chunks.clear();
    this.#number = -1;
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

  #mark(page: number): void {
    const number = Math.floor(page / CHUNK_PAGES);
    if (number !== this.#number) this.#open(number);
    const bit = page % CHUNK_PAGES;
    this.#chunk[bit >>> 5]! |= 1 << (bit & 31);
  }

  /** Makes `number` the chunk at hand. */
  #open(number: number): void {
    let chunk = this.#chunks.get(number);
    if (chunk === undefined) {
      chunk = new Uint32Array(CHUNK_PAGES / 32);
      this.#chunks.set(number, chunk);
    }
    this.#number = number;
    this.#chunk = chunk;
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
      if (entry[0] >= Math.floor(first / CHUNK_PAGES) && entry[0] <= Math.floor(last / CHUNK_PAGES))
        yield entry;
    }
  }
}
