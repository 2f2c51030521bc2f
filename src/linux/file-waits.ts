/**
 * FileWaits: whose files keep this thread waiting, which touches their pages itself (file-memory.ts).
 *
 * Whoever takes pages out of a memfd lets everybody wait who touches one of them until the kernel has taken
 * all: 0.8 s for a GiB that has pages. A file may lie on a slow disk, too. Nothing cuts such a wait short. So
 * a helper process touches them (remote-reach.ts), which may be kept for as long as memory of processes may:
 * but that takes 20 µs, and a copy 0.2. So it does it for an opener whose files have had us wait, for
 * HELPED_MS; all others' are touched by this thread.
 *
 * A clock for each touch would cost as much as a short DMA. So it is read at the first touch of a piece of
 * work, when another opener's file is touched, and at the end of the piece, `settleFileWaits`. What took
 * SLOW_MS may have been work, or want of a processor: then the kernel is asked how much of it was, from the
 * next time on, for as long. (Shorter, and who waits until it is over would never be found out.)
 * Invariant: once files of one opener have had this thread wait twice within HELPED_MS, it touches none of
 * them for HELPED_MS.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import type { Account } from './account.js';
import type { Reach } from './reach.js';
import { canHaveHelpers, RemoteReach } from './remote-reach.js';

const SLOW_MS = 50;
const HELPED_MS = 3_600_000;

let counting = false;
const known = new WeakMap<Account, FileWaits>();
const text = Buffer.alloc(128);

/** Whose file is being touched in this piece of work, since when, and `busyTime` then if he is suspected. */
let touched: FileWaits | undefined;
let since = 0;
let busySince = Number.NaN;

/** Our own memory and the list of its areas, as a helper is given them. */
let own: { readonly mem: number; readonly maps: number } | undefined;

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
  readonly #account: Account;
  #suspectedUntil = Number.NEGATIVE_INFINITY;
  #helpedUntil = Number.NEGATIVE_INFINITY;
  #reach: Reach | undefined;

  static of(account: Account): FileWaits {
    const waits = known.get(account) ?? new FileWaits(account);
    known.set(account, waits);
    return waits;
  }

  private constructor(account: Account) {
    this.#account = account;
  }

  /** A file is about to be touched. @returns false when this thread must not: `reach` has it done. */
  touch(): boolean {
    if (!counting || touched === this) return true;
    settleFileWaits();
    since = performance.now();
    if (since < this.#helpedUntil) return false;
    if (since < this.#suspectedUntil) busySince = busyTime();
    touched = this;
    return true;
  }

  /** This process's own memory, where files are mapped, by a helper. */
  get reach(): Reach {
    own ??= {
      mem: openSync('/proc/self/mem', 'r+'),
      maps: openSync('/proc/self/maps', 'r'),
    };
    const { mem, maps } = own;
    this.#reach ??= new RemoteReach(this.#account, mem, maps, `files of ${this.#account.opener}`);
    return this.#reach;
  }

  /** @internal The touches since `since` have ended. */
  settle(): void {
    const now = performance.now();
    if (now - since < SLOW_MS) return;
    const suspected = since < this.#suspectedUntil;
    this.#suspectedUntil = now + HELPED_MS;
    if (!suspected || now - since - (busyTime() - busySince) < SLOW_MS) return;
    if (canHaveHelpers()) this.#helpedUntil = now + HELPED_MS;
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
