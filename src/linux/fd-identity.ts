/**
 * Which file does descriptor N of thread T mean, without touching that file?
 *
 * A FUSE server must never wait for its own filesystem, and not for anybody else's either, so everything here
 * is answered by the kernel alone: statx with AT_STATX_DONT_SYNC, pidfd_getfd. Whether it is an open file or
 * only a name of one (O_PATH) is in /proc/T/fdinfo, where the kernel may wait: a helper reads it
 * (certain-copy.ts). Another thread may swap the descriptor in between, so inode and mount must agree.
 */
import { Errno, Refusal } from './errno.js';
import { addressOf, check, lastErrno, libc } from './ffi.js';
import { deviceNumber } from './mount-tables.js';
import { procFile } from './own-proc.js';
import { notOpen, notTraceable, processOfThread } from './proc.js';
import type { Step } from './scripted-process.js';

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const AT_STATX_FORCE_SYNC = 0x2000;
const AT_STATX_DONT_SYNC = 0x4000;
const STATX_MODE = 0x2;
const STATX_INO = 0x100;
const STATX_MNT_ID = 0x1000;
const STATX_SIZE = 0x200;
const S_IRWXU = 0o700;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const F_GETFL = 3;
const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;
const PIDFD_THREAD = 0o200;

/**
 * What statx says of a file (struct statx: stx_mode 28, stx_ino 32, stx_dev_major 136, stx_dev_minor 140,
 * stx_mnt_id 144).
 */
const statxBytes = new Uint8Array(256);
const statxView = new DataView(statxBytes.buffer);
const textBytes = Buffer.alloc(4096);

/** A file as one system call saw it. */
export interface FileIdentity {
  /** As `deviceNumber` makes it. */
  readonly device: number;
  readonly inode: number;
  /** 0 where the kernel (before 5.8) does not tell. */
  readonly mount: number;
}

/**
 * The file that descriptor `fd` of thread `tid` is, or names (O_PATH).
 * @throws Refusal EBADF no such descriptor; EPERM this process may not look at the caller's descriptors.
 */
export function identifyDescriptor(tid: number, fd: number): FileIdentity {
  if (fd < 0) throw notOpen(fd);
  const path = procFile(tid, `fd/${fd}`);
  const wanted = STATX_INO | STATX_MNT_ID;
  const seen = libc().statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, wanted, addressOf(statxBytes));
  if (seen === -1) throw notVisible(tid, fd);
  return { device: statxDevice(), inode: statxInode(), mount: statxMount() };
}

/** Does descriptor `fd` of thread `tid` give no access: is it only a name (O_PATH) as a rule? */
export function givesNoAccess(tid: number, fd: number): boolean {
  const path = procFile(tid, `fd/${fd}`);
  const flags = AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW;
  const seen = libc().statx(AT_FDCWD, path, flags, STATX_MODE, addressOf(statxBytes));
  return seen === 0 && (statxView.getUint16(28, true) & S_IRWXU) === 0;
}

/** What is said of such a descriptor. */
export function notOpenedFor(fd: number): Refusal {
  return new Refusal(Errno.EBADF, `fd ${fd} was opened with O_PATH and is no open file`);
}

/**
 * The device of the file that descriptor `fd` of thread `tid` is, or names (O_PATH); undefined: there is
 * none, or this process may not look at it.
 */
export function deviceOfDescriptor(tid: number, fd: number): number | undefined {
  if (fd < 0) return undefined;
  const path = procFile(tid, `fd/${fd}`);
  const seen = libc().statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, addressOf(statxBytes));
  return seen === 0 ? statxDevice() : undefined;
}

/** The file behind our own descriptor `fd`. `pathOnly`: it only names it. @throws Refusal EBADF. */
export function identifyOwn(fd: number): Omit<FileIdentity, 'mount'> & { readonly pathOnly: boolean } {
  if (libc().statx(fd, '', AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, addressOf(statxBytes)) === -1) {
    throw new Refusal(lastErrno(), `the copied descriptor ${fd} cannot be identified`);
  }
  return {
    device: statxDevice(),
    inode: statxInode(),
    pathOnly: (libc().fcntl(fd, F_GETFL, 0) & O_PATH) !== 0,
  };
}

/**
 * A copy, in this process, of descriptor `fd` of thread `tid`. Close it where waiting is allowed: a close may
 * call the file's server.
 * @throws Refusal EBADF no such descriptor; EPERM this process may not trace the caller.
 */
export function copyDescriptor(tid: number, fd: number): number {
  if (fd < 0) throw notOpen(fd);
  const pidfd = openThread(tid);
  const copy = libc().syscall(SYS_pidfd_getfd, pidfd, fd, 0);
  const errno = copy === -1 ? lastErrno() : 0;
  libc().close(pidfd);
  if (copy !== -1) return copy;
  if (errno === Errno.EBADF) throw notOpen(fd);
  if (errno === Errno.EPERM) throw notTraceable(tid, `fd ${fd}`);
  throw new Refusal(errno, `fd ${fd} of thread ${tid} cannot be copied`);
}

/**
 * A name (O_PATH), in this process, of the file behind descriptor `fd` of thread `tid`: it does not keep the
 * file open, and its close calls no server.
 * @throws Refusal EBADF no such descriptor; EPERM this process may not trace the caller.
 */
export function nameDescriptor(tid: number, fd: number): number {
  const name = libc().open(procFile(tid, `fd/${fd}`), O_PATH | O_CLOEXEC, 0);
  if (name === -1) throw notVisible(tid, fd);
  return name;
}

/**
 * The device number of the filesystem mounted on `folder`, which is not asked: its server may not be at work
 * yet. @throws Refusal.
 */
export function mountedDevice(folder: string): number {
  const result = libc().statx(AT_FDCWD, folder, AT_STATX_DONT_SYNC, STATX_INO, addressOf(statxBytes));
  check(result, `the device number of what is mounted on ${folder} is not known`);
  return statxDevice();
}

/** The same in another process, where `folder` is mounted. What it writes is for `deviceIn`. */
export function statOf(folder: string, bytes: Uint8Array): Step {
  const what = `the device number of what is mounted on ${folder} is not known`;
  return { call: 'statx', args: [AT_FDCWD, folder, AT_STATX_DONT_SYNC, STATX_INO, bytes], what };
}

/** The device number in a struct statx. */
export function deviceIn(bytes: Uint8Array): number {
  statxBytes.set(bytes);
  return statxDevice();
}

/**
 * The device number of the filesystem behind descriptor `fuseFd` of process `pid`, a connection to /dev/fuse;
 * undefined where the kernel does not show it (before 6.16).
 */
export function connectionDevice(pid: number, fuseFd: number): number | undefined {
  const match = /^fuse_connection:\s*(\d+)$/m.exec(readText(procFile(pid, `fdinfo/${fuseFd}`)) ?? '');
  return match === null ? undefined : Number(match[1]);
}

/** Lets the kernel ask the server of our descriptor `fd` for its file's attributes, and waits for him. */
export function askAttributes(fd: number): void {
  const flags = AT_EMPTY_PATH | AT_STATX_FORCE_SYNC;
  libc().statx(fd, '', flags, STATX_SIZE, addressOf(statxBytes));
}

function notVisible(tid: number, fd: number): Refusal {
  return lastErrno() === Errno.ENOENT ? notOpen(fd) : notTraceable(tid, `fd ${fd}`);
}

/**
 * A descriptor that becomes readable when process `pid` ends; undefined when there is no such process (any
 * more).
 */
export function processEnd(pid: number): number | undefined {
  const pidfd = libc().syscall(SYS_pidfd_open, pid, 0, 0);
  return pidfd === -1 ? undefined : pidfd;
}

/**
 * A pidfd for one thread; kernels before 6.9 have pidfds for whole processes only, whose threads share their
 * descriptors anyway.
 */
function openThread(tid: number): number {
  let pidfd = libc().syscall(SYS_pidfd_open, tid, PIDFD_THREAD, 0);
  if (pidfd === -1 && lastErrno() === Errno.EINVAL)
    pidfd = libc().syscall(SYS_pidfd_open, processOfThread(tid), 0, 0);
  if (pidfd === -1) throw new Refusal(lastErrno(), `thread ${tid} cannot be named by a pidfd`);
  return pidfd;
}

/** The text of a small file of /proc; undefined when it cannot be opened, and errno says why. */
function readText(path: string): string | undefined {
  const file = libc().open(path, O_CLOEXEC, 0);
  if (file === -1) return undefined;
  const length = libc().read(file, addressOf(textBytes), textBytes.length);
  libc().close(file);
  return textBytes.toString('latin1', 0, Math.max(0, length));
}

function statxInode(): number {
  return statxView.getUint32(32, true) + statxView.getUint32(36, true) * 2 ** 32;
}

function statxMount(): number {
  return statxView.getUint32(144, true) + statxView.getUint32(148, true) * 2 ** 32;
}

function statxDevice(): number {
  return deviceNumber(statxView.getUint32(136, true), statxView.getUint32(140, true));
}
