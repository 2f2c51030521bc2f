/**
 * The work that both sides of a benchmark do: pseudo-random numbers and the regions that are mapped.
 * `bench/radix.h` has the same generators and the references call them in the same order, so that both see
 * the same IOVAs.
 */

const SEED = 2463534242;
const FIRST_PAGE = 256;

/** Marsaglia's xorshift32. */
export class Random {
  #state = SEED | 0;

  /** 0 .. 2^32-1, never 0. */
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }
}

/** Regions of 4 KiB to 2 MiB, every power of two equally often, with gaps of 0 to 15 pages. In bytes. */
export class Regions {
  readonly count: number;
  readonly iova: Float64Array;
  readonly length: Int32Array;

  constructor(count: number, random: Random) {
    this.count = count;
    this.iova = new Float64Array(count);
    this.length = new Int32Array(count);
    let page = FIRST_PAGE;
    for (let i = 0; i < count; i++) {
      const pages = 1 << (random.next() % 10);
      page += random.next() % 16;
      this.iova[i] = page * 4096;
      this.length[i] = pages * 4096;
      page += pages;
    }
  }
}
