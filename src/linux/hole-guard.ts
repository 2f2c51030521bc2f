/**
 * Mappings of ours that make no pages.
 *
 * A page of a memfd or of a tmpfs file is made when somebody touches it first, and is charged to the memory
 * cgroup of that somebody. A sparse file costs its owner nothing; whoever lets a device write all over it
 * must not make this process pay.
 *
 * So such a mapping is registered with a userfaultfd whose missing pages raise SIGBUS instead of being made
 * (userfaultfd(2), UFFD_FEATURE_SIGBUS). The guarded copy ends there, as at the end of the file, and whoever
 * copies decides who makes the page. Nothing has to be remembered, and pages that the owner takes out later
 * are missing again at once. Where the page is there, a copy is as fast as without.
 *
 * Invariant: in a guarded mapping no copy makes a page; `makePages` alone does.
 */
import { Errno } from './errno.js';
import { addressOf, libc } from './ffi.js';

const SYS_userfaultfd = process.arch === 'arm64' ? 282 : 323;
const O_CLOEXEC = 0o2000000;
/** What everybody may ask for, since Linux 5.11; enough, as it is our own instructions that fault. */
const UFFD_USER_MODE_ONLY = 1;
const UFFD_API = 0xaa;
/** UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_SIGBUS. */
const FEATURES = 0xa0;
const UFFDIO_API = 0xc018aa3f;
const UFFDIO_REGISTER = 0xc020aa00;
const UFFDIO_ZEROPAGE = 0xc020aa04;
const MODE_MISSING = 1;
const PAGE = 4096;

/**
 * The ioctls' structs: api, features, ioctls; start, length, mode, ioctls; start, length, mode and the bytes
 * made, or -errno.
 */
const words = new BigInt64Array(16);
const bytes = new Uint8Array(words.buffer);

let userfaultfd: number | undefined;

/** Can mappings be guarded here? Where userfaultfd(2) is not allowed they cannot. */
export function canGuardHoles(): boolean {
  userfaultfd ??= open();
  return userfaultfd !== -1;
}

/** Guards our mapping [address, address+length) of shared memory. @returns false where that cannot be. */
export function guardHoles(address: number, length: number): boolean {
  return canGuardHoles() && call(UFFDIO_REGISTER, address, Math.ceil(length / PAGE) * PAGE, MODE_MISSING);
}

/**
 * Makes the first missing pages in [address, address+length) of a guarded mapping, up to the next that is
 * there. They are charged to us. @returns the bytes made: 0 past the end of the file, or without memory.
 */
export function makePages(address: number, length: number): number {
  const end = Math.ceil((address + length) / PAGE) * PAGE;
  for (let at = address - (address % PAGE); at < end; at += PAGE) {
    call(UFFDIO_ZEROPAGE, at, end - at, 0);
    const made = Number(words[3]);
    // A copy whose last instruction reaches over the end of a page has stopped before it.
    if (made !== -Errno.EEXIST) return Math.max(0, made);
  }
  return 0;
}

function open(): number {
  const flags = [O_CLOEXEC | UFFD_USER_MODE_ONLY, O_CLOEXEC];
  for (const each of flags) {
    const fd = libc().syscall(SYS_userfaultfd, each, 0, 0);
    if (fd === -1) continue;
    userfaultfd = fd;
    if (call(UFFDIO_API, UFFD_API, FEATURES, 0)) return fd;
    libc().close(fd);
  }
  return -1;
}

function call(command: number, first: number, second: number, third: number): boolean {
  words.set([BigInt(first), BigInt(second), BigInt(third), 0n]);
  return libc().ioctl(userfaultfd!, command, addressOf(bytes)) === 0;
}
