/**
 * Quota: how many of a kind of thing the holder of an open file may have, and how many there are.
 *
 * It belongs to the context that the things are in, and everything that makes or removes one counts it here.
 * Invariant: `used` is the number of things there are; what would go over the limit is refused before it is
 * made.
 */
import { type ErrnoName, refuse } from '../linux/errno.js';

/** Mappings that one context may have, of either ABI, unless the machine says otherwise. */
export const DEFAULT_MAPPING_QUOTA = 1_048_576;

export class Quota {
  readonly limit: number;
  readonly #what: string;
  readonly #errno: ErrnoName;
  #used = 0;

  /** @param what the things, as the reason names them: `mappings`. `errno` is what more of them are. */
  constructor(limit: number, what: string, errno: ErrnoName) {
    this.limit = limit;
    this.#what = what;
    this.#errno = errno;
  }

  get used(): number {
    return this.#used;
  }

  /** @throws Refusal its errno, when there is no room for `more`. */
  check(more: number): void {
    if (this.#used + more > this.limit)
      refuse(this.#errno, `this context has reached its quota of ${this.limit} ${this.#what}`);
  }

  /** There are `more` of them. */
  add(more: number): void {
    this.#used += more;
  }

  /** There are `fewer`. */
  remove(fewer: number): void {
    this.#used -= fewer;
  }
}
