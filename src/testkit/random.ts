/**
 * Random numbers that are the same in every run (xorshift32), so that a failure can be had again.
 */
import { madeBytes } from './made-bytes.js';

export class Random {
  #state: number;

  /** @param seed not 0. */
  constructor(seed: number) {
    this.#state = seed;
    for (let n = 0; n < 8; n++) this.#next();
  }

  /** An integer in [0, limit); `limit` is at most 2^32. */
  below(limit: number): number {
    return Math.floor((this.#next() / 2 ** 32) * limit);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  bytes(length: number): Uint8Array {
    return madeBytes(length, () => this.below(256));
  }

  #next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }
}
