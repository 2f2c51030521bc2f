/**
 * PoolThreads: the threads on which Node makes system calls that may wait, libuv's pool. There is one for the
 * process, of four threads unless UV_THREADPOOL_SIZE says otherwise, and it never grows once it has begun.
 *
 * So whoever has more to wait for says so before. Invariant: what waits for a disk leaves four threads to all
 * others, or as many as the user has asked for.
 */
import { access } from 'node:fs';

/** How many of them wait for one disk at a time. */
export const DISK_THREADS = 4;
const VARIABLE = 'UV_THREADPOOL_SIZE';
const USUAL = 4;

/** Begins the pool, with threads for so many disks beside those for all else, unless it has begun before. */
export function beginPool(disks: number): void {
  if (disks === 0) return;
  const asked = process.env[VARIABLE];
  process.env[VARIABLE] = String((Number.parseInt(asked ?? '', 10) || USUAL) + DISK_THREADS * disks);
  access('/', () => {});
  // What is started from here is to find it as it was.
  if (asked === undefined) delete process.env[VARIABLE];
  else process.env[VARIABLE] = asked;
}
