/**
 * Closes descriptors where waiting harms nobody: on another thread.
 *
 * Closing a file of a FUSE filesystem waits for its server (FLUSH). When that is this very process, or
 * somebody who takes his time, the serving thread must not do it. A few closes run at once and the others
 * wait for them, so that no caller can start threads without end. What waits is charged as before.
 */
import { libc } from './ffi.js';
import { type HeldDescriptor, heldDescriptors } from './held-descriptors.js';

const AT_ONCE = 4;

const waiting: HeldDescriptor[] = [];
let running = 0;

/** Closes `held`, soon. */
export function closeInBackground(held: HeldDescriptor): void {
  waiting.push(held);
  startNext();
}

function startNext(): void {
  const next = running === AT_ONCE ? undefined : waiting.shift();
  if (next === undefined) return;
  running++;
  libc().close.async(next.fd, () => {
    running--;
    next.account.give(heldDescriptors, 1);
    startNext();
  });
}
