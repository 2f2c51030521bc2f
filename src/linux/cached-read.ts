/**
 * Reads of a file that never wait for its medium: what the kernel has in memory is copied on this thread, for
 * the price of a system call (preadv2 with RWF_NOWAIT). Anything else is for another thread to read.
 */
import { addressOf, libc } from './ffi.js';

/** System call numbers of preadv2 (asm/unistd.h). */
const numbers: Partial<Record<string, number>> = { x64: 327, arm64: 286 };
const RWF_NOWAIT = 8;

/** struct iovec as 32-bit words. */
const vector = new Uint32Array(32);
const vectorBytes = new Uint8Array(vector.buffer);

/**
 * Reads `length` bytes at `offset` of the open file `fd` into the start of `buffer`. @returns whether all are
 * there; false too where kernel or file system cannot tell without waiting, or the C library not be called.
 */
export function readCached(fd: number, buffer: Uint8Array, length: number, offset: number): boolean {
  if (length > buffer.length) return false;
  try {
    return readCachedTo(fd, addressOf(buffer), length, offset);
  } catch {
    return false;
  }
}

/**
 * As `readCached`, to the memory at `address` of this process. Where a page of that is not there, the kernel
 * says so, and nobody is killed: the answer is false, and bytes before it may have been written.
 */
export function readCachedTo(fd: number, address: number, length: number, offset: number): boolean {
  const number = numbers[process.arch];
  if (number === undefined) return false;
  vector[0] = address % 2 ** 32;
  vector[1] = address / 2 ** 32;
  vector[2] = length;
  return libc().preadv2(number, fd, addressOf(vectorBytes), 1, offset, 0, RWF_NOWAIT) === length;
}
