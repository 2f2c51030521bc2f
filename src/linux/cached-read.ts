/**
 * Reads of a file that never wait for its medium: what the kernel has in memory is copied on this thread, for
 * the price of a system call (preadv2 with RWF_NOWAIT). Anything else is for another thread to read.
 */
import { addressOf } from './ffi.js';
import { ScatterList } from './scatter-list.js';

const one = new ScatterList(1);

/**
 * Reads `length` bytes at `offset` of the open file `fd` into the start of `buffer`. @returns whether all are
 * there; false too where kernel or file system cannot tell without waiting, or the C library not be called.
 */
export function readCached(fd: number, buffer: Uint8Array, length: number, offset: number): boolean {
  if (length > buffer.length) return false;
  try {
    one.clear();
    return one.add(addressOf(buffer), length) && one.read(fd, offset);
  } catch {
    return false;
  }
}
