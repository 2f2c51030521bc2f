/**
 * Account: what the server keeps for the files that one opener has opened, of what it has only so many of for
 * everybody: descriptors, mapped files, bytes of calls that wait. The opener pays, whoever calls: to be given
 * a descriptor of a file costs nothing.
 *
 * Of each pool an opener may have three quarters of what the others leave. So whoever takes all that he can
 * leaves some to the next, who leaves some to the one after him. Of a small pool that would soon be none, so
 * there he may have `least` in any case, beyond what there is of it: without one he could do nothing at all.
 *
 * Of what takes memory of this process each takes from one more pool as well, of which there is what the
 * kernel has left (memory-room.ts): else who has as much as he may of several could have it end the server.
 *
 * Invariant: whatever takes from a pool is told the account, and gives back to the same. An account is known
 * as long as anybody knows it, what is charged to it among them, so no opener ever has two.
 */
import { getHeapStatistics } from 'node:v8';
import { type ErrnoName, refuse } from './errno.js';
import { broken } from './invariant.js';
import { keepingRoom } from './memory-room.js';

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

/** What else there is to say of a pool. */
export interface PoolNature {
  /** What an opener may have, whatever others leave. Default: nothing. */
  readonly least?: number;
  /** Bytes of this process's memory that each takes, roughly. Default: none. */
  readonly bytes?: number;
  /** The memory stays ours when they are given back, and is that of the next ones. */
  readonly keepsMemory?: boolean;
}

/** What the server has only so many of. */
export class Pool {
  readonly what: string;
  readonly errno: ErrnoName;
  readonly least: number;
  readonly bytes: number;
  readonly #count: () => number;
  #total: number | undefined;
  #used = 0;
  /** That there have been at a time. */
  #most = 0;

  /**
   * @param what as a reason names them: `descriptors`. `errno` is what more of them are. `count` tells how
   * many there are, when the first is taken.
   */
  constructor(what: string, errno: ErrnoName, count: () => number, nature: PoolNature = {}) {
    this.what = what;
    this.errno = errno;
    this.least = nature.least ?? 0;
    this.bytes = nature.bytes ?? 0;
    this.#count = count;
    if (nature.keepsMemory) keeping.push(this);
  }

  get total(): number {
    this.#total ??= this.#count();
    return this.#total;
  }

  /** By all accounts. */
  get used(): number {
    return this.#used;
  }

  /** There are `change` more in use, or fewer. */
  change(change: number): void {
    this.#used += change;
    if (this.#used > this.#most) this.#most = this.#used;
  }

  /** Bytes that are ours, and not in use. */
  get keptBytes(): number {
    return (this.#most - this.#used) * this.bytes;
  }
}

/** Pools that keep their memory. */
const keeping: Pool[] = [];
/** Bytes after which it is looked anew how much memory there is. */
const LOOK_BYTES = 2 ** 24;
/** Bytes that are taken at once: many small things are made and removed, and need not count twice each. */
const STEP_BYTES = 2 ** 16;
/** How long it is not looked when there was too little. */
const LOOK_MS = 100;

/** Bytes for what is kept of all openers: those in use, and those that the kernel has left. */
class MemoryPool extends Pool {
  #there = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #usedThen = 0;

  constructor() {
    super('bytes of memory', 'ENOMEM', () => 0, { least: LOOK_BYTES });
  }

  override get total(): number {
    if (this.#lookedAt < 0 || Math.abs(this.used - this.#usedThen) > LOOK_BYTES) this.#look();
    return this.#there;
  }

  /** What there is now, for who was refused: others may have given back. @returns whether it was looked. */
  lookAgain(): boolean {
    if (performance.now() - this.#lookedAt < LOOK_MS) return false;
    this.#look();
    return true;
  }

  #look(): void {
    this.#lookedAt = performance.now();
    this.#usedThen = this.used;
    const kept = keeping.reduce((sum, { keptBytes }) => sum + keptBytes, 0);
    this.#there = this.used + kept + keepingRoom();
  }
}

const memory = new MemoryPool();

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
  /** The memory that they take. */
  readonly #memory: Share | undefined;
  /** How many of them memory is taken for at once. */
  readonly #step: number;
  /** For how many it is taken: for those in use, and up to two steps more. */
  #backed = 0;
  #used = 0;
  /** That was missing when there was no room. */
  #lacksMemory = false;

  /** Made by Account.share. */
  constructor(account: Account, pool: Pool) {
    this.#account = account;
    this.#pool = pool;
    this.#memory = pool.bytes > 0 ? account.share(memory) : undefined;
    this.#step = Math.ceil(STEP_BYTES / pool.bytes);
  }

  get used(): number {
    return this.#used;
  }

  /** Is there room for `more`? */
  has(more: number): boolean {
    if (this.#used + more > this.#most) {
      this.#lacksMemory = false;
      return this.#pool === memory && memory.lookAgain() && this.#used + more <= this.#most;
    }
    const unbacked = this.#used + more - this.#backed;
    this.#lacksMemory = unbacked > 0 && this.#memory?.has(unbacked * this.#pool.bytes) === false;
    return !this.#lacksMemory;
  }

  /** What is said where there is none. */
  get reason(): string {
    if (this.#lacksMemory) return this.#memory!.reason;
    const held = `holds ${this.#used} ${this.#pool.what} of the server`;
    return `what ${this.#account.opener} has opened ${held}, of at most ${this.#most} that others leave`;
  }

  /** `more` are used; it was asked before whether there is room. */
  add(more: number): void {
    this.#pool.change(more);
    this.#used += more;
    if (this.#memory !== undefined && this.#used > this.#backed) this.#back(this.#used + this.#step);
  }

  /** `fewer` are. */
  remove(fewer: number): void {
    const rest = this.#used - fewer;
    if (rest < 0)
      broken(`${this.#account.opener} gives back ${fewer} ${this.#pool.what}, ${-rest} more than it has`);
    this.#pool.change(-fewer);
    this.#used = rest;
    if (this.#memory === undefined) return;
    if (rest === 0) this.#back(0);
    else if (this.#backed - rest > 2 * this.#step) this.#back(rest + this.#step);
  }

  /** Memory is taken for `count` of them. */
  #back(count: number): void {
    const bytes = (count - this.#backed) * this.#pool.bytes;
    if (bytes > 0) this.#memory!.add(bytes);
    else this.#memory!.remove(-bytes);
    this.#backed = count;
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
    const used = [...this.#shares].filter(([pool, share]) => pool !== memory && share.used > 0);
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
