/**
 * The memory of a file that a process has open: a memfd, usually.
 *
 * We hold a copy of the caller's descriptor, so the memory lives on when the process has gone. All mappings
 * of one file with one open mode share one FileMemory and its descriptor, by reference count. The file is
 * mapped into this process once and copied from and to as fast as memory is.
 *
 * But to touch a page of it that is not there kills the toucher (SIGBUS): a file may shrink at any time,
 * filesystems and pools of huge pages become full. So the copy is guarded (guarded-copy.ts): it ends there,
 * and what is left is done through the kernel, which says exactly how much of it there is.
 *
 * Reads are pread; writes are process_vm_writev to our own mapping and not pwrite, which would make a
 * shrunken file grow again. Where no copy can be guarded, all is done that way, but for memfds that are
 * sealed against shrinking.
 *
 * The serving thread must not wait for another filesystem's server, least of all for itself. So only
 * filesystems that the kernel serves alone are accepted, and the file is looked at before it is copied: even
 * closing a copy of a FUSE file waits for its server.
 */
import { constants, readlinkSync } from 'node:fs';
import { closeInBackground } from './background-close.js';
import { hex, Refusal, refuse } from './errno.js';
import { copyDescriptor } from './fd-identity.js';
import { addressOf, lastErrno, libc } from './ffi.js';
import { type FileStatus, filesystemOfMount, statusOfOurs, statusOfTheirs } from './file-status.js';
import { type GuardedCopy, guardedCopy } from './guarded-copy.js';
import { dropDescriptors, holdDescriptors } from './held-descriptors.js';

const WRITE = 2;

const F_DUPFD_CLOEXEC = 1030;
const F_GETFL = 3;
const F_GET_SEALS = 1034;
const F_SEAL_SHRINK = 0x2;
/** F_SEAL_WRITE | F_SEAL_FUTURE_WRITE. */
const F_SEALS_WRITE = 0x18;
const O_PATH = 0o10000000;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
/** (void *)-1 as a number. */
const MAP_FAILED = 2 ** 63;
const S_IFREG = 0o100000;

/** Filesystems that the kernel serves without asking another process or machine. */
const filesystems = new Set([
  'memfd',
  'hugetlb memfd',
  'tmpfs',
  'hugetlbfs',
  'ext2',
  'ext3',
  'ext4',
  'xfs',
  'btrfs',
  'f2fs',
  'zfs',
  'overlay',
]);

const kinds = new Map([
  [0o010000, 'a pipe'],
  [0o020000, 'a character device'],
  [0o040000, 'a directory'],
  [0o060000, 'a block device'],
  [0o120000, 'a symbolic link'],
  [0o140000, 'a socket'],
]);

/** Two struct iovec: ours, then the mapping's. */
const vectors = new Uint32Array(32);
const vectorBytes = new Uint8Array(vectors.buffer);

/**
 * What all callers together may have mapped into this process. A sparse file costs its owner nothing, but us
 * addresses (of 2^47 in all) and an area (of vm.max_map_count, 65,530 as a rule), and a process that has used
 * up either dies at its next allocation.
 */
const MAX_BYTES = 2 ** 45;
const MAX_FILES = 32_768;

/** By identity and open mode. */
const open = new Map<string, FileMemory>();
let mappedBytes = 0;

/**
 * Bytes [offset, offset+length) of the file behind descriptor `fd` of thread `tid`, which must be waiting for
 * us. Each call adds a reference, which the receiver closes.
 *
 * @param access 1 read, 2 write; 0: nothing is asked of the range yet.
 * @throws Refusal EBADF no such descriptor; EACCES not open, or sealed, for `access`; EINVAL not a file that
 * can be mapped, or past its end; EPERM ptrace rules forbid to copy the descriptor; ENOMEM, EMFILE the server
 * cannot map it, or keep it open.
 */
export function fileMemory(
  tid: number,
  fd: number,
  offset: number,
  length: number,
  access: number,
): { memory: FileMemory; offset: number } {
  const expected = statusOfTheirs(tid, fd);
  const filesystem = requireMappable(tid, fd, expected);
  const copy = copyDescriptor(tid, fd);
  const status = statusOfOurs(copy);
  if (status.identity !== expected.identity || status.mount !== expected.mount) {
    // Whatever was put in its place may have a server that must not be waited for.
    closeInBackground(copy);
    refuse('EBADF', `fd ${fd} was replaced by another file during the call`);
  }
  try {
    const writable = requireRights(fd, copy, access);
    if (access !== 0) requireRange(fd, status.size, offset, length);
    return { memory: FileMemory.of(copy, status, filesystem, writable), offset };
  } finally {
    libc().close(copy);
  }
}

/** A mapped file. It has the shape of the `Memory` that the IOMMU knows. */
export class FileMemory {
  readonly ofProcess = false;
  readonly description: string;
  readonly #identity: string;
  readonly #key: string;
  readonly #fd: number;
  readonly #writable: boolean;
  readonly #copy: GuardedCopy;
  #address = 0;
  #length = 0;
  #references = 0;

  /** The memory of the file behind our descriptor `fd`, which stays the caller's, with one more reference. */
  static of(fd: number, status: FileStatus, filesystem: string, writable: boolean): FileMemory {
    const key = `${status.identity}:${writable ? 'rw' : 'r'}`;
    const memory =
      open.get(key) ?? new FileMemory(status.identity, key, fd, filesystem === 'memfd', writable);
    try {
      if (memory.#length < status.size) memory.#map(status.size);
    } catch (error) {
      if (memory.#references === 0) memory.#letGo();
      throw error;
    }
    open.set(key, memory);
    memory.#references++;
    return memory;
  }

  private constructor(identity: string, key: string, fd: number, memfd: boolean, writable: boolean) {
    this.#identity = identity;
    this.#key = key;
    this.#writable = writable;
    this.#copy = guardedCopy() ?? (memfd && (seals(fd) & F_SEAL_SHRINK) !== 0 ? plainCopy : noCopy);
    this.description = readlinkSync(`/proc/self/fd/${fd}`)
      .replace(/^\/(memfd:.*) \(deleted\)$/, '$1')
      .replace(/\p{C}/gu, '?');
    if (open.size >= MAX_FILES)
      refuse('ENOMEM', `the server has ${open.size} files of its callers mapped already`);
    holdDescriptors(1);
    this.#fd = libc().fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (this.#fd !== -1) return;
    dropDescriptors(1);
    throw new Refusal(lastErrno(), `${this.description} cannot be kept open`);
  }

  /** Copies from byte `offset` of the file. @returns the bytes copied: short where the file ends now. */
  read(offset: number, target: Uint8Array, at: number, length: number): number {
    if (!this.#has(offset, target, at, length)) return 0;
    const local = addressOf(target) + at;
    const done = this.#copy(local, this.#address + offset, length);
    return done === length
      ? done
      : done + this.#readThroughKernel(offset + done, local + done, length - done);
  }

  /** Copies to byte `offset` of the file. Returns as `read` does; the file never grows. */
  write(offset: number, source: Uint8Array, at: number, length: number): number {
    if (!this.#writable || !this.#has(offset, source, at, length)) return 0;
    const local = addressOf(source) + at;
    const done = this.#copy(this.#address + offset, local, length);
    return done === length
      ? done
      : done + this.#writeThroughKernel(offset + done, local + done, length - done);
  }

  #has(offset: number, buffer: Uint8Array, at: number, length: number): boolean {
    return (
      length > 0 && offset >= 0 && offset + length <= this.#length && at >= 0 && at + length <= buffer.length
    );
  }

  /** One call may stop early (it copies 2 GiB at most), so go on until nothing comes. */
  #readThroughKernel(offset: number, local: number, length: number): number {
    let done = 0;
    while (done < length) {
      const n = libc().pread(this.#fd, local + done, length - done, offset + done);
      if (n <= 0) break;
      done += n;
    }
    return done;
  }

  #writeThroughKernel(offset: number, local: number, length: number): number {
    let done = 0;
    while (done < length) {
      setVector(0, local + done, length - done);
      setVector(4, this.#address + offset + done, length - done);
      const at = addressOf(vectorBytes);
      const n = libc().process_vm_writev(process.pid, at, 1, at + 16, 1, 0);
      if (n <= 0) break;
      done += n;
    }
    return done;
  }

  /** Maps the file anew, to its present size. State is unchanged when it fails. */
  #map(size: number): void {
    if (mappedBytes - this.#length + size > MAX_BYTES) {
      const all = `${this.description} of ${hex(size)} bytes and what else the server has mapped`;
      refuse('ENOMEM', `${all} are more than ${hex(MAX_BYTES)} bytes`);
    }
    const protection = this.#writable ? PROT_READ | PROT_WRITE : PROT_READ;
    const address = libc().mmap(0, size, protection, MAP_SHARED, this.#fd, 0);
    if (address >= MAP_FAILED)
      throw new Refusal(
        lastErrno(),
        `${this.description} of ${hex(size)} bytes cannot be mapped into the server`,
      );
    if (this.#length > 0) libc().munmap(this.#address, this.#length);
    mappedBytes += size - this.#length;
    this.#address = address;
    this.#length = size;
  }

  /** Does the file have these bytes now, and was it opened for `access`? */
  reaches(offset: number, length: number, access: number): boolean {
    if (access & WRITE && !this.#writable) return false;
    return offset >= 0 && offset + length <= statusOfOurs(this.#fd).size;
  }

  /** As Memory.backing: the file itself. */
  backing(offset: number): { file: string; offset: number; length: number } {
    return { file: this.#identity, offset, length: Number.POSITIVE_INFINITY };
  }

  /** Drops one reference; the last one unmaps and closes the file. */
  close(): void {
    if (this.#references === 0 || --this.#references > 0) return;
    open.delete(this.#key);
    libc().munmap(this.#address, this.#length);
    mappedBytes -= this.#length;
    this.#length = 0;
    this.#letGo();
  }

  #letGo(): void {
    libc().close(this.#fd);
    dropDescriptors(1);
  }
}

/** @returns the filesystem's type. */
function requireMappable(tid: number, fd: number, status: FileStatus): string {
  if (status.type !== S_IFREG)
    refuse('EINVAL', `fd ${fd} is ${kinds.get(status.type) ?? 'no file'}, not a regular file or memfd`);
  const type = filesystemOfMount(tid, status.mount);
  if (type === undefined)
    refuse('EINVAL', `fd ${fd} is on a filesystem that neither the caller nor the server has mounted`);
  if (!filesystems.has(type)) {
    const why = 'which may have to wait for another process';
    refuse('EINVAL', `fd ${fd} is on a ${type} filesystem, ${why}: use a memfd or a local file`);
  }
  return type;
}

/** @returns whether the file may be mapped for writing. */
function requireRights(fd: number, copy: number, access: number): boolean {
  const flags = libc().fcntl(copy, F_GETFL, 0);
  if (flags & O_PATH) refuse('EBADF', `fd ${fd} was opened with O_PATH, which gives no access to the file`);
  if (flags & constants.O_DIRECT) refuse('EINVAL', `fd ${fd} was opened with O_DIRECT`);
  const mode = flags & (constants.O_WRONLY | constants.O_RDWR);
  if (mode === constants.O_WRONLY)
    refuse('EACCES', `fd ${fd} is not open for reading, which every mapping needs`);
  const sealed = sealedAgainstWriting(copy);
  if (access & WRITE && mode !== constants.O_RDWR) refuse('EACCES', `fd ${fd} is not open for writing`);
  if (access & WRITE && sealed) refuse('EACCES', `fd ${fd} is sealed against writing`);
  return mode === constants.O_RDWR && !sealed;
}

function requireRange(fd: number, size: number, offset: number, length: number): void {
  const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length > 0;
  if (!valid || offset > size - length) {
    refuse(
      'EINVAL',
      `${hex(length)} bytes at offset ${hex(offset)} are not within fd ${fd}, which has ${hex(size)} bytes`,
    );
  }
}

/** Could nobody open the file for writing and map it? */
export function sealedAgainstWriting(fd: number): boolean {
  return (seals(fd) & F_SEALS_WRITE) !== 0;
}

/** The file's seals; 0 for a file that cannot have any. */
function seals(fd: number): number {
  return Math.max(0, libc().fcntl(fd, F_GET_SEALS, 0));
}

/** For memory that cannot fault: the file keeps at least the size that is mapped. */
function plainCopy(target: number, source: number, length: number): number {
  libc().memcpy(target, source, length);
  return length;
}

/** For memory that only the kernel may touch. */
function noCopy(): number {
  return 0;
}

function setVector(at: number, base: number, length: number): void {
  vectors[at] = base >>> 0;
  vectors[at + 1] = base / 2 ** 32;
  vectors[at + 2] = length >>> 0;
  vectors[at + 3] = length / 2 ** 32;
}
