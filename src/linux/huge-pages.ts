/**
 * Huge pages for memory that is large and read at random, where most reads would otherwise wait for the
 * processor's own page tables too.
 *
 * It is advice: where the kernel has no transparent huge pages, or native code does not run, nothing changes.
 */
import { address, libc } from './ffi.js';

/** Bytes of a huge page (x86-64, and arm64 with pages of 4 KiB). */
export const HUGE_PAGE = 2 << 20;
/** Linux, include/uapi/asm-generic/mman-common.h. */
const MADV_HUGEPAGE = 14;

/** Asks for huge pages in `buffer` from byte `from` on, also where it has only reserved its addresses. */
export function preferHugePages(buffer: SharedArrayBuffer, from: number): void {
  try {
    const start = address(new Uint8Array(buffer));
    const first = Math.ceil((start + from) / HUGE_PAGE) * HUGE_PAGE;
    libc().madvise(first, start + buffer.maxByteLength - first, MADV_HUGEPAGE);
  } catch {
    // No native code here: the pages stay small.
  }
}
