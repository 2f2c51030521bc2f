/**
 * Account: what the server keeps for the files that one opener has opened, of what it has only so many of for
 * everybody: descriptors, mapped files, bytes of calls that wait. The opener pays, whoever calls: to be given
 * a descriptor of a file costs nothing.
 *
 * Of each pool an opener may have three quarters of what the others leave. So whoever takes all that he can
 * leaves some to the next, who leaves some to the one after him. Of a small pool that would soon be none, so
 * there he may have `least` in any case, beyond what there is of it: without one he could do nothing at all.
 *
 * Invariant: whatever takes from a pool is told the account, and gives back to the same. An account is known
 * as long as anybody knows it, what is charged to it among them, so no opener ever has two.
 */
import { getHeapStatistics } from 'node:v8';
import { type ErrnoName, refuse } from './errno.js';
import { broken } from './invariant.js';

/** What all of `forHeap` fit into, beside what a server without clients needs. */
const ENOUGH_HEAP = 2 ** 31;
const OWN_HEAP = 2 ** 25;

/**
 * How many there are of what takes memory of the server: `count`, or fewer in proportion where its heap may
 * not grow to 2 GiB, as on a machine of less than 4 GiB.
 */
export function forHeap(count: number): number {
  return Math.floor(count * Math.min(1, (getHeapStatistics().heap_size_limit - OWN_HEAP) / ENOUGH_HEAP));
}

/** What the server has only so many of. */
export class Pool {
  readonly what: string;
  readonly errno: ErrnoName;
  /** What an opener may have, whatever others leave. */
  readonly least: number;
  /** Of all accounts. */
  used = 0;
  readonly #count: () => number;
  #total: number | undefined;

  /**
   * @param what as a reason names them: `descriptors`. `errno` is what more of them are. `count` tells how
   * many there are, when the first is taken.
   */
  constructor(what: string, errno: ErrnoName, count: () => number, least = 0) {
    this.what = what;
    this.errno = errno;
    this.least = least;
    this.#count = count;
  }

  get total(): number {
    this.#total ??= this.#count();
    return this.#total;
  }
}

/** What an opener holds, by the names of the pools. */
export interface Holdings {
  readonly opener: string;
  readonly holds: Readonly<Record<string, number>>;
}

/** By opener: as long as anybody knows the account. */
const known = new Map<string, WeakRef<Account>>();
const unknown = new FinalizationRegistry((opener: string) => {
  if (known.get(opener)?.deref() === undefined) known.delete(opener);
});
let made = 0;

/** What one account has of one pool. It adds and takes away as often as there are mappings: no look-ups. */
export class Share {
  readonly #account: Account;
  readonly #pool: Pool;
  #used = 0;

  /** Made by Account.share. */
  constructor(account: Account, pool: Pool) {
    this.#account = account;
    this.#pool = pool;
  }

  get used(): number {
    return this.#used;
  }

  /** Is there room for `more`? */
  has(more: number): boolean {
    return this.#used + more <= this.#most;
  }

  /** What is said where there is none. */
  get reason(): string {
    const held = `holds ${this.#used} ${this.#pool.what} of the server`;
    return `what ${this.#account.opener} has opened ${held}, of at most ${this.#most} that others leave`;
  }

  /** `more` are used; it was asked before whether there is room. */
  add(more: number): void {
    this.#pool.used += more;
    this.#used += more;
  }

  /** `fewer` are. */
  remove(fewer: number): void {
    const rest = this.#used - fewer;
    if (rest < 0)
      broken(`${this.#account.opener} gives back ${fewer} ${this.#pool.what}, ${-rest} more than it has`);
    this.#pool.used -= fewer;
    this.#used = rest;
  }

  get #most(): number {
    const left = this.#pool.total - (this.#pool.used - this.#used);
    return Math.max(this.#pool.least, Math.floor((left * 3) / 4));
  }
}

export class Account {
  /** As reasons name it: `user 1000`. */
  readonly opener: string;
  /** Of this account and no other, ever. */
  readonly id = ++made;
  readonly #shares = new Map<Pool, Share>();

  private constructor(opener: string) {
    this.opener = opener;
    known.set(opener, new WeakRef(this));
    unknown.register(this, opener);
  }

  static of(opener: string): Account {
    return known.get(opener)?.deref() ?? new Account(opener);
  }

  /** What all openers hold. */
  static all(): Holdings[] {
    const accounts = [...known.values()].flatMap((account) => account.deref() ?? []);
    return accounts
      .map(({ opener, holds }) => ({ opener, holds }))
      .filter(({ holds }) => Object.keys(holds).length > 0);
  }

  get holds(): Readonly<Record<string, number>> {
    const used = [...this.#shares].filter(([, share]) => share.used > 0);
    return Object.fromEntries(used.map(([{ what }, share]) => [what, share.used]));
  }

  /** What it has of `pool`, the same object each time. */
  share(pool: Pool): Share {
    const known = this.#shares.get(pool) ?? new Share(this, pool);
    this.#shares.set(pool, known);
    return known;
  }

  /** @throws Refusal the pool's errno, when that would be more than the opener may have. */
  take(pool: Pool, count: number): void {
    const share = this.share(pool);
    if (!share.has(count)) refuse(pool.errno, share.reason);
    share.add(count);
  }

  /** `count` of what was taken are free again. */
  give(pool: Pool, count: number): void {
    this.share(pool).remove(count);
  }
}
