/**
 * Where the entries of a queue are: one after the other from a base, or in pages that a PRP list has named
 * when the queue was created (NVM Express Base 2.0 §3.3.1, CAP.CQR). Entries do not cross pages.
 */
export class QueueMemory {
  readonly #entry: number;
  readonly #base: number;
  readonly #pages: Float64Array | undefined;
  readonly #perPage: number;

  /** @param pages the addresses of its pages of `page` bytes; absent: it is contiguous, from `base` on. */
  constructor(entry: number, base: number, pages?: Float64Array, page = 4096) {
    this.#entry = entry;
    this.#base = base;
    this.#pages = pages;
    this.#perPage = page / entry;
  }

  /** The IOVA of entry `index`. */
  iova(index: number): number {
    if (this.#pages === undefined) return this.#base + index * this.#entry;
    const within = index % this.#perPage;
    return this.#pages[(index - within) / this.#perPage]! + within * this.#entry;
  }
}
