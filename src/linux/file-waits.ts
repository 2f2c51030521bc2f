/**
 * FileWaits: how long files of one opener (account.ts) have kept this thread waiting, which touches their
 * pages itself (file-memory.ts).
 *
 * Whoever takes pages out of a memfd lets everybody wait who touches one of them until the kernel has taken
 * all: 0.8 s for a GiB that has pages. A file may lie on a slow disk, too. Nothing cuts such a wait short,
 * and to have somebody else touch each page costs more than the touch. But who has kept us so is not waited
 * for again and again: when it was MOST_MS, his files are out of reach until that is paid off.
 *
 * A clock for each touch would cost as much as a short DMA. So it is read at the first touch of a piece of
 * work, when another opener's file is touched, and at the end of the piece, `settleFileWaits`. Only what took
 * SLOW_MS counts, without the time in which this thread computed, or got no processor. The kernel is asked
 * for that of those alone who have been slow in the last WATCHED_MS.
 * Invariant: beyond a first wait, MOST_MS and the wait that exceeds them, files of one opener keep us for
 * PER_SECOND of each second at most.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import type { Account } from './account.js';

const SLOW_MS = 50;
/** As much as memory of processes may let us wait (remote-reach.ts). */
const MOST_MS = 1000;
/** How many ms are paid off in a second. */
const PER_SECOND = 20;
const WATCHED_MS = 3_600_000;

let counting = false;
const known = new WeakMap<Account, FileWaits>();
const text = Buffer.alloc(128);

/** Whose file is being touched in this piece of work, since when, and `busyTime` then if he is watched. */
let touched: FileWaits | undefined;
let since = 0;
let busySince = Number.NaN;

/** Do waits count? Not where one command is served, which keeps nobody but itself. */
export function countFileWaits(count: boolean): void {
  counting = count;
}

/** To be called after a piece of work: a step of a device, a request. */
export function settleFileWaits(): void {
  if (touched === undefined) return;
  const waits = touched;
  touched = undefined;
  waits.settle();
}

export class FileWaits {
  readonly #opener: string;
  /** What was owed at #owedAt, in ms. */
  #owed = 0;
  #owedAt = 0;
  #watchedUntil = Number.NEGATIVE_INFINITY;

  static of(account: Account): FileWaits {
    const waits = known.get(account) ?? new FileWaits(account.opener);
    known.set(account, waits);
    return waits;
  }

  private constructor(opener: string) {
    this.#opener = opener;
  }

  /** A file is about to be touched. @returns false when it must not be, and `reason` is why. */
  touch(): boolean {
    if (!counting || touched === this) return true;
    settleFileWaits();
    since = performance.now();
    if (this.#owes(since) > MOST_MS) return false;
    if (since < this.#watchedUntil) busySince = busyTime();
    touched = this;
    return true;
  }

  get reason(): string {
    const owed = Math.ceil(this.#owes(performance.now()));
    const again = `in ${Math.ceil((owed - MOST_MS) / PER_SECOND)} s`;
    const why = `owe ${owed} ms for which the server has waited`;
    return `files of ${this.#opener} ${why}, and are accessed ${again}`;
  }

  /** @internal The touches since `since` have ended. */
  settle(): void {
    const now = performance.now();
    if (now - since < SLOW_MS) return;
    // Unknown, and so nothing, of who has not been watched.
    const waited = now - since - (since < this.#watchedUntil ? busyTime() - busySince : Number.NaN);
    if (waited >= SLOW_MS) {
      this.#owed = this.#owes(now) + waited;
      this.#owedAt = now;
    }
    this.#watchedUntil = now + WATCHED_MS;
  }

  #owes(now: number): number {
    return Math.max(0, this.#owed - ((now - this.#owedAt) / 1000) * PER_SECOND);
  }
}

/**
 * For how long this process's first thread has had a processor, or has waited for one, in ms; NaN where the
 * kernel does not count that.
 */
function busyTime(): number {
  let file: number | undefined;
  try {
    file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
    const [had, waited] = text.toString('latin1', 0, readSync(file, text)).split(' ');
    return (Number(had) + Number(waited)) / 1e6;
  } catch {
    return Number.NaN;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
