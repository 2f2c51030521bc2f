/**
 * Copies of callers' descriptors that are held, and paid for (held-descriptors.ts).
 *
 * What was put in the place of a descriptor in the very moment may be a file whose close waits for a server
 * that does not answer, and then a helper process waits for it (certain-copy.ts). Invariant: it counts for
 * the account that has it wait until it has ended, and for a while in any case: to start another one takes
 * milliseconds.
 */
import { type Account, Pool } from './account.js';
import { closeInBackground } from './background-close.js';
import {
  certainClose,
  certainCopy,
  certainFlags,
  type IsWanted,
  type SeenFile,
  Swapped,
} from './certain-copy.js';
import { Refusal } from './errno.js';
import { libc } from './ffi.js';
import { type HeldDescriptor, heldDescriptors } from './held-descriptors.js';
import { hasEnded } from './helper-process.js';

/** How long the caller may have us wait for a close of what he did not name. */
const CLOSE_MS = 1;
const REST_MS = 2000;
const LOOK_MS = 100;

/** Each may keep a helper process. To copy one takes one, of whoever does not swap any too. */
export const swappedDescriptors = new Pool('swapped descriptors', 'EMFILE', () => 8, { least: 2 });

/** By the process id of who waits for it. */
const kept = new Map<number, { readonly account: Account; readonly since: number }>();
let looking: NodeJS.Timeout | undefined;

/**
 * A copy of descriptor `fd` of thread `tid`, of which `isWanted` is true. To be closed as background-close.ts
 * does it.
 * @throws Refusal as certainCopy; EMFILE the account's part is used up.
 */
export function holdCopy(account: Account, tid: number, fd: number, isWanted: IsWanted): HeldDescriptor {
  account.take(heldDescriptors, 1);
  let taken = true;
  try {
    const copy = paidBy(account, () => certainCopy(tid, fd, isWanted, CLOSE_MS));
    taken = false;
    return { fd: copy, account };
  } catch (error) {
    if (error instanceof Swapped && error.copy !== undefined) {
      taken = false;
      closeInBackground({ fd: error.copy, account });
    }
    throw error;
  } finally {
    if (taken) account.give(heldDescriptors, 1);
  }
}

/**
 * How descriptor `fd` of thread `tid` is open, if it is `file`. @returns undefined: it is not, or that cannot
 * be told. @throws Refusal EBADF no such descriptor; EMFILE the account's part is used up.
 */
export function heldFlags(account: Account, tid: number, fd: number, file: SeenFile): number | undefined {
  try {
    return paidBy(account, () => certainFlags(tid, fd, file));
  } catch (error) {
    if (error instanceof Swapped) return undefined;
    throw error;
  }
}

/**
 * Closes `fds`, which `account` holds and others may have made hard to let go of. @returns false when it has
 * as many helpers wait as it may: they are to be closed later.
 */
export function closeCertainly(account: Account, fds: readonly number[]): boolean {
  try {
    paidBy(account, () => certainClose(fds, CLOSE_MS));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (!(error instanceof Swapped)) {
      if (!account.share(swappedDescriptors).has(1)) return false;
      for (const fd of fds) libc().close(fd);
    }
  }
  account.give(heldDescriptors, fds.length);
  return true;
}

/** `ask`s a helper, and `account` pays for one that is lost in it. */
function paidBy<T>(account: Account, ask: () => T): T {
  account.take(swappedDescriptors, 1);
  account.give(swappedDescriptors, 1);
  try {
    return ask();
  } catch (error) {
    if (error instanceof Swapped && error.helper !== undefined) {
      account.take(swappedDescriptors, 1);
      keepSwapped(account, error.helper);
    }
    throw error;
  }
}

/** Helper `pid` was killed while it waited for what `account` had it copy, which has paid for that. */
export function keepSwapped(account: Account, pid: number): void {
  kept.set(pid, { account, since: performance.now() });
  looking ??= setInterval(look, LOOK_MS).unref();
}

function look(): void {
  const now = performance.now();
  for (const [pid, { account, since }] of kept) {
    if (now - since < REST_MS || !hasEnded(pid)) continue;
    kept.delete(pid);
    account.give(swappedDescriptors, 1);
  }
  if (kept.size > 0) return;
  clearInterval(looking);
  looking = undefined;
}
