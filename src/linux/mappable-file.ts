/**
 * Which files can be mapped, and with which rights.
 *
 * The serving thread must not wait for another filesystem's server, least of all for itself. So only
 * filesystems that the kernel serves alone are accepted, and the file is looked at before its descriptor is
 * copied: even closing a copy of a FUSE file waits for its server.
 */
import { constants } from 'node:fs';
import { hex, refuse } from './errno.js';
import { givesNoAccess, notOpenedFor } from './fd-identity.js';
import { libc } from './ffi.js';
import { type FileStatus, filesystemOfMount } from './file-status.js';

const WRITE = 2;
const F_GET_SEALS = 1034;
/** F_SEAL_WRITE | F_SEAL_FUTURE_WRITE. */
const F_SEALS_WRITE = 0x18;
const O_PATH = 0o10000000;
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

const UNKNOWN = 'the server has not mounted, nor the caller as one of his first (32 KiB of mountinfo)';
const kinds = new Map([
  [0o010000, 'a pipe'],
  [0o020000, 'a character device'],
  [0o040000, 'a directory'],
  [0o060000, 'a block device'],
  [0o120000, 'a symbolic link'],
  [0o140000, 'a socket'],
]);

/** @returns the filesystem's type. */
export function requireMappable(tid: number, fd: number, status: FileStatus): string {
  const isFile = status.type === S_IFREG;
  const type = isFile ? filesystemOfMount(tid, status.mount) : undefined;
  if (type !== undefined && filesystems.has(type)) return type;
  if (givesNoAccess(tid, fd)) throw notOpenedFor(fd);
  if (!isFile)
    refuse('EINVAL', `fd ${fd} is ${kinds.get(status.type) ?? 'no file'}, not a regular file or memfd`);
  if (type === undefined) refuse('EINVAL', `fd ${fd} is on a filesystem that ${UNKNOWN}`);
  const why = 'which may have to wait for another process';
  return refuse('EINVAL', `fd ${fd} is on a ${type} filesystem, ${why}: use a memfd or a local file`);
}

/**
 * `flags`: those that descriptor `fd` is open with; `ours`: any descriptor of ours of its file. @returns
 * whether the file may be mapped for writing.
 */
export function requireRights(fd: number, flags: number, ours: number, access: number): boolean {
  if (flags & O_PATH) throw notOpenedFor(fd);
  if (flags & constants.O_DIRECT) refuse('EINVAL', `fd ${fd} was opened with O_DIRECT`);
  const mode = flags & (constants.O_WRONLY | constants.O_RDWR);
  if (mode === constants.O_WRONLY)
    refuse('EACCES', `fd ${fd} is not open for reading, which every mapping needs`);
  const sealed = sealedAgainstWriting(ours);
  if (access & WRITE && mode !== constants.O_RDWR) refuse('EACCES', `fd ${fd} is not open for writing`);
  if (access & WRITE && sealed) refuse('EACCES', `fd ${fd} is sealed against writing`);
  return mode === constants.O_RDWR && !sealed;
}

export function requireRange(fd: number, size: number, offset: number, length: number): void {
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
export function seals(fd: number): number {
  return Math.max(0, libc().fcntl(fd, F_GET_SEALS, 0));
}
