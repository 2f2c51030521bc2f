/**
 * poll(2) that does not wait. The kernel answers EINTR to one without a timeout too, when a signal is pending
 * and nothing is ready: a process with traced children has such signals all the time.
 */
import { Errno } from './errno.js';
import { lastErrno, libc } from './ffi.js';

/** Looks at `count` structs pollfd at `address`. @returns how many are ready; -1: an error, but for EINTR. */
export function pollNow(address: number, count: number): number {
  for (;;) {
    const ready = libc().poll(address, count, 0);
    if (ready !== -1 || lastErrno() !== Errno.EINTR) return ready;
  }
}
