/**
 * EventfdCloses: eventfds of others that are to be closed. A program may have its eventfd in an epoll set
 * that another thread of its has locked, and who closes the eventfd last waits for that. So they are closed
 * by way of a helper process (certain-copy.ts), some at a time, for each costs a change of process; those of
 * one device may be 2,048.
 *
 * What is closed just now is closed at the end of the turn of the loop. Those of an account that has as many
 * helpers wait as it may are late: they are held, and tried again a slice at a time.
 *
 * Invariant: however many are late, a close or a turn of the loop goes over a slice of them at most, and over
 * none for LATE_MS after one in which none could be closed.
 */
import type { Account } from './account.js';
import { MOST_CLOSED } from './certain-copy.js';
import { closeCertainly } from './held-copy.js';
import type { HeldDescriptor } from './held-descriptors.js';

/** So many late ones are tried in a turn, and so long after they were tried in vain. */
const SLICE = 16 * MOST_CLOSED;
const LATE_MS = 20;

let ending: HeldDescriptor[] = [];
const late: HeldDescriptor[] = [];
let lateFrom = 0;

/** Closes it with others, at the end of the turn of the loop. Until then it is held. */
export function closeEventfd(held: HeldDescriptor): void {
  ending.push(held);
  if (ending.length >= MOST_CLOSED) closeEventfds();
}

/** Closes what is to be closed, but for what has to be late. */
export function closeEventfds(): void {
  if (ending.length === 0) return;
  const all = ending;
  ending = [];
  for (const account of new Set(all.map((held) => held.account)))
    closeOf(
      account,
      all.filter((held) => held.account === account),
    );
}

/** Tries a slice of the late ones. @returns whether it is worth while to try more at once. */
export function closeLate(): boolean {
  if (late.length === 0 || performance.now() < lateFrom) return false;
  const before = late.length;
  ending.push(...late.splice(0, SLICE));
  closeEventfds();
  const progress = late.length < before;
  lateFrom = progress ? 0 : performance.now() + LATE_MS;
  return progress && late.length > 0;
}

function closeOf(account: Account, held: readonly HeldDescriptor[]): void {
  for (let at = 0; at < held.length; at += MOST_CLOSED) {
    const fds = held.slice(at, at + MOST_CLOSED).map(({ fd }) => fd);
    if (closeCertainly(account, fds)) continue;
    for (let rest = at; rest < held.length; rest++) late.push(held[rest]!);
    return;
  }
}
