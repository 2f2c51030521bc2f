/**
 * Closes descriptors where waiting harms nobody: on another thread.
 *
 * Closing a file of a FUSE filesystem waits for its server (FLUSH). When that is this very process, or
 * somebody who takes his time, the serving thread must not do it. A few closes run at once and the others
 * wait for them, so that no caller can start threads without end.
 */
import { libc } from './ffi.js';

const AT_ONCE = 4;

const waiting: number[] = [];
let running = 0;

/** Closes our descriptor `fd`, soon. */
export function closeInBackground(fd: number): void {
  waiting.push(fd);
  startNext();
}

function startNext(): void {
  if (running === AT_ONCE || waiting.length === 0) return;
  running++;
  libc().close.async(waiting.shift()!, () => {
    running--;
    startNext();
  });
}
