/**
 * Copies from and to a mapped file that the kernel makes, which says how much of it there is: nobody is
 * killed where the file has ended or its pages cannot be had (guarded-copy.ts). One call may stop early, as
 * it copies 2 GiB at most; so they go on until nothing comes.
 */
import { addressOf, libc } from './ffi.js';

/** Two struct iovec: ours, then the mapping's. */
const vectors = new Uint32Array(32);
const vectorBytes = new Uint8Array(vectors.buffer);

/** Reads from byte `offset` of `fd` on to address `local`. @returns the bytes read. */
export function readByKernel(fd: number, offset: number, local: number, length: number): number {
  let done = 0;
  while (done < length) {
    const n = libc().pread(fd, local + done, length - done, offset + done);
    if (n <= 0) break;
    done += n;
  }
  return done;
}

/** Copies from address `local` to `target`, where a file is mapped. @returns the bytes copied. */
export function writeByKernel(target: number, local: number, length: number): number {
  let done = 0;
  while (done < length) {
    setVector(0, local + done, length - done);
    setVector(4, target + done, length - done);
    const at = addressOf(vectorBytes);
    const n = libc().process_vm_writev(process.pid, at, 1, at + 16, 1, 0);
    if (n <= 0) break;
    done += n;
  }
  return done;
}

function setVector(at: number, base: number, length: number): void {
  vectors[at] = base >>> 0;
  vectors[at + 1] = base / 2 ** 32;
  vectors[at + 2] = length >>> 0;
  vectors[at + 3] = length / 2 ** 32;
}
