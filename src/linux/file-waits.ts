/**
 * FileWaits: for how long an opener's files have kept this thread waiting, which touches their pages itself
 * (file-memory.ts).
 *
 * Whoever takes pages out of a memfd lets everybody wait who touches one of them until the kernel has taken
 * all: 0.8 s for a GiB that has pages. A file may lie on a slow disk, too. Nothing cuts such a wait short. So
 * a helper process touches them (helped-copy.ts), which may be kept for as long as memory of processes may:
 * but that takes 20 µs, and a copy 0.2. So it does it for an opener whose files have kept us too long; all
 * others' are touched by this thread.
 *
 * A clock for each touch would cost as much as a short DMA. So it is read at the first touch of a piece of
 * work, when another opener's file is touched, and at the end of the piece, `settleFileWaits`: what was
 * waited meanwhile (wait-clock.ts) was for the files of one opener.
 *
 * Invariant: once files of one opener have kept this thread for MOST_MS, without REMEMBERED_MS between two
 * waits, it touches none of them until that has passed since the last. Who closes all that he has open is
 * remembered nevertheless.
 */
import type { Account } from './account.js';
import { HelpedCopy } from './helped-copy.js';
import { canHaveHelpers } from './patient-helper.js';
import { waitClock } from './wait-clock.js';

/** How long files of one opener may keep us: the wait in which it is too much is not cut short. */
const MOST_MS = 50;
const REMEMBERED_MS = 3_600_000;

let counting = false;
const known = new WeakMap<Account, FileWaits>();

/** Whose file is being touched in this piece of work. */
let touched: FileWaits | undefined;

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
  /** Touches them in place of this thread. */
  readonly helped: HelpedCopy;
  #keptUs = 0;
  #areHelped = false;
  /** Until it has gone off, it holds the account, too. */
  #remembered: NodeJS.Timeout | undefined;

  static of(account: Account): FileWaits {
    const waits = known.get(account) ?? new FileWaits(account);
    known.set(account, waits);
    return waits;
  }

  private constructor(account: Account) {
    this.helped = new HelpedCopy(account);
  }

  /** A file is about to be touched. @returns false when this thread must not: `helped` does it. */
  touch(): boolean {
    if (!counting || touched === this) return true;
    settleFileWaits();
    if (this.#areHelped) return false;
    waitClock.begin();
    touched = this;
    return true;
  }

  /** @internal The piece of work in which they were touched has ended. */
  settle(): void {
    const waited = waitClock.end();
    if (waited === 0) return;
    this.#keptUs += waited;
    this.#areHelped ||= this.#keptUs >= MOST_MS && canHaveHelpers();
    clearTimeout(this.#remembered);
    this.#remembered = setTimeout(() => this.#forget(), REMEMBERED_MS).unref();
  }

  #forget(): void {
    this.#keptUs = 0;
    this.#areHelped = false;
    this.#remembered = undefined;
  }
}
