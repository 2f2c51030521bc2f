/**
 * Quota: how many of a kind of thing the holder of an open file may have, and how many there are
 * (docs/limits.md).
 *
 * It belongs to the context that the things are in, and everything that makes or removes one counts it here.
 * Invariant: `used` is the number of things there are; what would go over the limit is refused before it is
 * made.
 */
import { type ErrnoName, refuse } from '../linux/errno.js';

/** Mappings that one context may have, of either ABI, unless the machine says otherwise. */
export const DEFAULT_MAPPING_QUOTA = 1_048_576;
/**
 * Pages of 4 KiB that the IOMMU may use for one context: for tables, dirty logs and IOTLBs. A gigabyte is
 * enough for the tables of 2^20 mappings of half a terabyte.
 */
export const DEFAULT_TABLE_QUOTA = 262_144;

/** The quota of a context's tables. */
export function tableQuota(limit = DEFAULT_TABLE_QUOTA): Quota {
  return new Quota(limit, 'pages for tables, dirty logs and IOTLBs', 'ENOMEM');
}

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

  /** What is said at the limit. */
  get reason(): string {
    return `this context has reached its quota of ${this.limit} ${this.#what}`;
  }

  /** Is there room for `more`? */
  has(more: number): boolean {
    return this.#used + more <= this.limit;
  }

  /** @throws Refusal its errno, when there is no room for `more`. */
  check(more: number): void {
    if (!this.has(more)) refuse(this.#errno, this.reason);
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
