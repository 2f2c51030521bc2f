/**
 * Account: what the server keeps for the files that one opener has opened, of what it has only so many of for
 * everybody: descriptors, mapped files, bytes of calls that wait. The opener pays, whoever calls: to be given
 * a descriptor of a file costs nothing.
 *
 * Of each pool an opener may have three quarters of what the others leave. So whoever takes all that he can
 * leaves some to the next, who leaves some to the one after him.
 *
 * Invariant: whatever takes from a pool is told the account, and gives back to the same. An account is known
 * as long as anything is charged to it, open files among it, so no opener ever has two.
 */
import { type ErrnoName, refuse } from './errno.js';
import { broken } from './invariant.js';

/** What the server has only so many of. */
export class Pool {
  readonly what: string;
  readonly errno: ErrnoName;
  /** Of all accounts. */
  used = 0;
  readonly #count: () => number;
  #total: number | undefined;

  /**
   * @param what as a reason names them: `descriptors`. `errno` is what more of them are. `count` tells how
   * many there are, when the first is taken.
   */
  constructor(what: string, errno: ErrnoName, count: () => number) {
    this.what = what;
    this.errno = errno;
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

/** By opener. */
const known = new Map<string, Account>();
let made = 0;

export class Account {
  /** As reasons name it: `user 1000`. */
  readonly opener: string;
  /** Of this account and no other, ever. */
  readonly id = ++made;
  readonly #used = new Map<Pool, number>();

  private constructor(opener: string) {
    this.opener = opener;
  }

  static of(opener: string): Account {
    return known.get(opener) ?? new Account(opener);
  }

  /** What all openers hold. */
  static all(): Holdings[] {
    return [...known.values()].map(({ opener, holds }) => ({ opener, holds }));
  }

  get holds(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#used].map(([{ what }, count]) => [what, count]));
  }

  /** @throws Refusal the pool's errno, when that would be more than the opener may have. */
  take(pool: Pool, count: number): void {
    const used = this.#used.get(pool) ?? 0;
    const most = Math.floor(((pool.total - (pool.used - used)) * 3) / 4);
    if (used + count > most) {
      const others = `of at most ${most} that others leave`;
      refuse(
        pool.errno,
        `what ${this.opener} has opened holds ${used} ${pool.what} of the server, ${others}`,
      );
    }
    if (count === 0) return;
    if (this.#used.size === 0) this.#enter();
    pool.used += count;
    this.#used.set(pool, used + count);
  }

  /** `count` of what was taken are free again. */
  give(pool: Pool, count: number): void {
    const rest = (this.#used.get(pool) ?? 0) - count;
    if (rest < 0) broken(`${this.opener} gives back ${count} ${pool.what}, ${-rest} more than it has`);
    pool.used -= count;
    if (rest > 0) this.#used.set(pool, rest);
    else this.#used.delete(pool);
    if (this.#used.size === 0) known.delete(this.opener);
  }

  #enter(): void {
    if (known.has(this.opener)) broken(`${this.opener} has two accounts`);
    known.set(this.opener, this);
  }
}
