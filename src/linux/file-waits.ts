/**
 * FileWaits: for how long an opener's files have kept this thread waiting, which maps them and touches their
 * pages itself (file-memory.ts).
 *
 * Whoever takes pages out of a memfd lets everybody wait who touches one of them until the kernel has taken
 * all: 0.8 s for a GiB that has pages. A file may lie on a slow disk, too. Nothing cuts such a wait short. So
 * a helper process touches them (helped-copy.ts), which may be kept for as long as memory of processes may:
 * but that takes 20 µs, and a copy 0.2. So it does it for an opener whose files have kept us too long; all
 * others' are touched by this thread.
 *
 * A clock for each touch would cost as much as a short DMA. So it is read at the first touch of a piece of
 * work, when another opener's file is touched, and at the end of the piece: what was waited meanwhile
 * (wait-clock.ts) was for the files of one opener.
 *
 * To map a file and to unmap it waits for whoever takes pages out of the same file: for as long as it has
 * mappings, of all processes, 0.1 s for each 65,000. No other process can do that for us, nor a thread, which
 * would hold the lock of our address space. So an opener whose files have kept us so long has nothing mapped
 * any more, and what he has given back stays mapped, for REMEMBERED_MS.
 *
 * Invariant: once files of one opener have kept this thread for MOST_MS, without REMEMBERED_MS between two
 * waits, it touches none of them until that has passed since the last. Who closes all that he has open is
 * remembered nevertheless.
 */
import type { Account } from './account.js';
import { refuse } from './errno.js';
import { HelpedCopy } from './helped-copy.js';
import { canHaveHelpers, endHelpedPiece } from './patient-helper.js';
import { WaitClock, waitClock } from './wait-clock.js';

/** How long files of one opener may keep us: the wait in which it is too much is not cut short. */
const MOST_MS = 50;
const REMEMBERED_MS = 3_600_000;

let counting = false;
const known = new WeakMap<Account, FileWaits>();

/** That of mapping and unmapping. */
const mapClock = new WaitClock();

/** Whose file is being touched in this piece of work. */
let touched: FileWaits | undefined;

/** Do waits count? Not where one command is served, which keeps nobody but itself. */
export function countFileWaits(count: boolean): void {
  counting = count;
}

/** A piece of work has ended, a step of a device or a request: nothing that it has waited for counts on. */
export function endPiece(): void {
  settleFileWaits();
  endHelpedPiece();
}

/** What was waited until now was for the files that were touched last. */
export function settleFileWaits(): void {
  if (touched === undefined) return;
  const waits = touched;
  touched = undefined;
  waits.settle();
}

export class FileWaits {
  /** Touches them in place of this thread. */
  readonly helped: HelpedCopy;
  readonly #opener: string;
  #keptUs = 0;
  #areHelped = false;
  /** For how long mapping and unmapping have; and what is unmapped when that is forgotten. */
  #mapsKeptUs = 0;
  #later: (() => void)[] = [];
  /** Until it has gone off, it holds the account, too. */
  #remembered: NodeJS.Timeout | undefined;

  static of(account: Account): FileWaits {
    const waits = known.get(account) ?? new FileWaits(account);
    known.set(account, waits);
    return waits;
  }

  private constructor(account: Account) {
    this.#opener = account.opener;
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
    this.#remember();
  }

  /** Does `map`, which maps one of the files. @throws Refusal ENOMEM that has kept us too long; as `map`. */
  whileMapping<T>(map: () => T): T {
    if (this.#mapsNothing)
      refuse(
        'ENOMEM',
        `mapping files of ${this.#opener} has kept the server for ${Math.round(this.#mapsKeptUs)} ms, ` +
          'and none is mapped for an hour',
      );
    return this.#timed(map);
  }

  /** Does `unmap`, which unmaps one of the files: at once, or where that may keep us too long, later. */
  whenUnmapping(unmap: () => void): void {
    if (this.#mapsNothing) this.#later.push(unmap);
    else this.#timed(unmap);
  }

  get #mapsNothing(): boolean {
    return this.#mapsKeptUs >= MOST_MS;
  }

  #timed<T>(change: () => T): T {
    if (!counting) return change();
    settleFileWaits();
    mapClock.begin();
    try {
      return change();
    } finally {
      const waited = mapClock.end();
      this.#mapsKeptUs += waited;
      if (waited > 0) this.#remember();
    }
  }

  #remember(): void {
    clearTimeout(this.#remembered);
    this.#remembered = setTimeout(() => this.#forget(), REMEMBERED_MS).unref();
  }

  #forget(): void {
    this.#keptUs = this.#mapsKeptUs = 0;
    this.#areHelped = false;
    this.#remembered = undefined;
    this.#unmapNext();
  }

  /** One in each turn of the event loop, as long as that does not keep us again. */
  #unmapNext(): void {
    if (this.#mapsNothing || this.#later.length === 0) return;
    this.#timed(this.#later.pop()!);
    setImmediate(() => this.#unmapNext());
  }
}
