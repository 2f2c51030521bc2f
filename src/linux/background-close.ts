/**
 * Closes descriptors where waiting harms nobody: on another thread.
 *
 * Closing a file of a FUSE filesystem waits for its server (FLUSH). When that is this very process, or
 * somebody who takes his time, the serving thread must not do it. Nor must many others: those who read and
 * write disks are the same few threads of Node's, and a close may wait for ever. So two closes run at once,
 * of one account each, and the others wait for them. What waits is charged as before.
 */
import type { Account } from './account.js';
import { libc } from './ffi.js';
import { type HeldDescriptor, heldDescriptors } from './held-descriptors.js';

/** Of Node's threads, which are four where nobody has said otherwise. */
const AT_ONCE = 2;

/** What waits, by who pays for it: whose turn comes next is first. */
const waiting = new Map<Account, HeldDescriptor[]>();
const running = new Set<Account>();

/** Closes `held`, soon. */
export function closeInBackground(held: HeldDescriptor): void {
  const others = waiting.get(held.account);
  if (others === undefined) waiting.set(held.account, [held]);
  else others.push(held);
  startNext();
}

function startNext(): void {
  if (running.size === AT_ONCE) return;
  for (const [account, all] of waiting) {
    if (running.has(account)) continue;
    const { fd } = all.pop()!;
    // Behind the others, if there is more.
    waiting.delete(account);
    if (all.length > 0) waiting.set(account, all);
    running.add(account);
    libc().close.async(fd, () => {
      running.delete(account);
      account.give(heldDescriptors, 1);
      startNext();
    });
    return;
  }
}
