/**
 * PoolThreads: the threads on which Node makes system calls that may wait, libuv's pool. There is one for the
 * process, of four threads unless UV_THREADPOOL_SIZE says otherwise, and it never grows once it has begun.
 *
 * So whoever has more to wait for says so before. Invariant: what waits for a disk leaves four threads to all
 * others, or as many as the user has asked for, unless something has begun the pool before us.
 */
import { access, readdirSync } from 'node:fs';

/** How many of them wait for one disk at a time. */
export const DISK_THREADS = 4;
const VARIABLE = 'UV_THREADPOOL_SIZE';
const USUAL = 4;

/**
 * Begins the pool, with threads for so many disks beside those for all else. @returns a sentence, where it
 * has begun before and has fewer.
 */
export function beginPool(disks: number): string | undefined {
  if (disks === 0) return undefined;
  const asked = process.env[VARIABLE];
  const usual = Number.parseInt(asked ?? '', 10) || USUAL;
  const more = DISK_THREADS * disks;
  process.env[VARIABLE] = String(usual + more);
  const before = threads();
  access('/', () => {});
  // All of them are there now, or none has come.
  const begun = threads() - before >= more / 2;
  // What is started from here is to find it as it was.
  if (asked === undefined) delete process.env[VARIABLE];
  else process.env[VARIABLE] = asked;
  if (begun || usual >= USUAL + more) return undefined;
  const shared = `disks share ${usual} threads with all else, which Node had started before`;
  return `${shared}: with ${VARIABLE}=${USUAL + more} each has its own`;
}

function threads(): number {
  return readdirSync('/proc/self/task').length;
}
