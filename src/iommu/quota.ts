/**
 * Quota: how many of a kind of thing the holder of an open file may have, and how many there are
 * (docs/limits.md).
 *
 * It belongs to the context that the things are in, and everything that makes or removes one counts it here.
 * Invariant: `used` is the number of things there are; what would go over the limit is refused before it is
 * made.
 *
 * What all contexts together may have is a pool (linux/account.ts): a Quota that was given its opener's share
 * counts there too. Between a check and what it was for others may take from the pool. So who makes many
 * things checks before each.
 */
import { type Account, forHeap, Pool, type Share } from '../linux/account.js';
import { type ErrnoName, refuse } from '../linux/errno.js';

/** Mappings that one context may have, of either ABI, unless the machine says otherwise. */
export const DEFAULT_MAPPING_QUOTA = 1_048_576;
/**
 * Pages of 4 KiB that the IOMMU may use for one context: for tables, dirty logs and IOTLBs. A gigabyte is
 * enough for the tables of 2^20 mappings of half a terabyte.
 */
export const DEFAULT_TABLE_QUOTA = 262_144;

const PAGES = 'pages for tables, dirty logs and IOTLBs';
/** Of all contexts: as many as have entries in tables, some 2 GB with the lists that they are found by. */
const allMappings = new Pool('mappings', 'ENOMEM', () => forHeap(2 ** 25), {
  bytes: 64,
  keepsMemory: true,
});
/** 4 GiB. */
const allPages = new Pool(PAGES, 'ENOMEM', () => forHeap(2 ** 20), { bytes: 4096, keepsMemory: true });

/** The quota of a context's mappings, for which `payer` pays; `errno` is what more of them are. */
export function mappingQuota(limit: number, errno: ErrnoName, payer?: Account): Quota {
  return new Quota(limit, 'mappings', errno, payer?.share(allMappings));
}

/** The quota of a context's tables. */
export function tableQuota(limit = DEFAULT_TABLE_QUOTA, payer?: Account): Quota {
  return new Quota(limit, PAGES, 'ENOMEM', payer?.share(allPages));
}

export class Quota {
  readonly limit: number;
  readonly #what: string;
  readonly #errno: ErrnoName;
  readonly #share: Share | undefined;
  #used = 0;

  /**
   * @param what the things, as the reason names them: `mappings`. `errno` is what more of them are. `share`:
   * the opener's, of those that there are for all.
   */
  constructor(limit: number, what: string, errno: ErrnoName, share?: Share) {
    this.limit = limit;
    this.#what = what;
    this.#errno = errno;
    this.#share = share;
  }

  get used(): number {
    return this.#used;
  }

  /** What is said where there is no room for `more`. */
  reason(more = 1): string {
    if (this.#share !== undefined && this.#used + more <= this.limit) return this.#share.reason;
    return `this context has reached its quota of ${this.limit} ${this.#what}`;
  }

  /** Is there room for `more`? */
  has(more: number): boolean {
    return this.#used + more <= this.limit && this.#share?.has(more) !== false;
  }

  /** @throws Refusal its errno, when there is no room for `more`. */
  check(more: number): void {
    if (!this.has(more)) refuse(this.#errno, this.reason(more));
  }

  /** Only what all contexts have: others may have taken since. @throws Refusal its errno, as `check`. */
  checkShared(more: number): void {
    if (this.#share?.has(more) === false) refuse(this.#errno, this.#share.reason);
  }

  /** There are `more` of them. */
  add(more: number): void {
    this.#used += more;
    this.#share?.add(more);
  }

  /** There are `fewer`. */
  remove(fewer: number): void {
    this.#used -= fewer;
    this.#share?.remove(fewer);
  }
}
