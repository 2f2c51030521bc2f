/**
 * The auxiliary vector of another process (getauxval(3)): what the kernel has told its program at exec, among
 * it where 16 random bytes lie that are drawn anew for each program.
 */
import { addressOf, libc } from './ffi.js';
import { procFile } from './own-proc.js';

const O_RDONLY = 0;
const O_CLOEXEC = 0o2000000;
const AT_RANDOM = 25;
const AT_SYSINFO_EHDR = 33;
const AT_LAST_KNOWN = 0xffff;

/** Pairs of 64-bit key and value. The kernel's has 52 words of 64 bits at most. */
const vector = new Uint32Array(256);
const vectorBytes = new Uint8Array(vector.buffer);

/**
 * Where thread `tid` of process `pid` has its random bytes; 0 when that cannot be had, or it is no thread of
 * it, so that nothing is proved.
 */
export function randomAddress(pid: number, tid: number): number {
  return entryOf(`${pid}/task/${tid}`, AT_RANDOM);
}

/** Where thread `tid` has the vDSO; 0 when it has none, or is gone. */
export function vdsoAddress(tid: number): number {
  return entryOf(String(tid), AT_SYSINFO_EHDR);
}

/**
 * The value of `wanted` of a thread by its folder in /proc; 0 when there is none, and for 32-bit programs,
 * whose vector reads as nonsense.
 */
function entryOf(thread: string, wanted: number): number {
  const file = libc().open(procFile(thread, 'auxv'), O_RDONLY | O_CLOEXEC, 0);
  if (file === -1) return 0;
  const words = libc().read(file, addressOf(vectorBytes), vectorBytes.length) / 4;
  libc().close(file);
  for (let at = 0; at + 4 <= words; at += 4) {
    const key = wide(at);
    if (key > AT_LAST_KNOWN) return 0;
    if (key === wanted) return wide(at + 2);
  }
  return 0;
}

/** The 64-bit value at word `at`. */
function wide(at: number): number {
  return vector[at]! + vector[at + 1]! * 2 ** 32;
}
