/** write(2) that does not wait for whoever reads, whatever flags the descriptor has, which others share. */
import { address, libc } from './ffi.js';

/** pwritev2 (asm/unistd.h). */
const SYS_PWRITEV2 = process.arch === 'x64' ? 328 : 287;
const RWF_NOWAIT = 8;
/** For a stream, which has no offsets. */
const NO_OFFSET = -1;

/** Writes of `bytes` what is taken at once. @returns how many; 0 too where nobody reads, or nobody knows. */
export function writeNow(fd: number, bytes: Uint8Array): number {
  const vector = new BigUint64Array(16);
  // A copy, which is long enough to have an address.
  const copy = Buffer.alloc(Math.max(128, bytes.length));
  copy.set(bytes);
  vector[0] = BigInt(address(copy));
  vector[1] = BigInt(bytes.length);
  const at = address(new Uint8Array(vector.buffer));
  return Math.max(0, libc().syscall6(SYS_PWRITEV2, fd, at, 1, NO_OFFSET, 0, RWF_NOWAIT));
}
