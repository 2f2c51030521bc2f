/**
 * Which file does descriptor N of thread T mean, without touching that file?
 *
 * A FUSE server must never wait for its own filesystem, and not for anybody else's either, so everything here
 * is answered by the kernel alone: statx with AT_STATX_DONT_SYNC, /proc/T/fdinfo, pidfd_getfd. Two sources
 * are needed. Only statx names the device; only fdinfo tells a descriptor that was opened with O_PATH (a name
 * of the file, not an open file) from a real one. Each of them is a snapshot, and another thread may swap the
 * descriptor in between, so both also give inode and mount, which must agree.
 */
import { Errno, Refusal } from './errno.js';
import { addressOf, check, lastErrno, libc } from './ffi.js';
import { deviceNumber } from './mount-tables.js';
import { notOpen, notTraceable, processOfThread } from './proc.js';
import type { Step } from './scripted-process.js';

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_STATX_FORCE_SYNC = 0x2000;
const AT_STATX_DONT_SYNC = 0x4000;
const STATX_INO = 0x100;
const STATX_SIZE = 0x200;
const STATX_MNT_ID = 0x1000;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const F_GETFL = 3;
const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;
const PIDFD_THREAD = 0o200;

/**
 * What statx says of a file (struct statx: stx_mask 0, stx_ino 32, stx_dev_major 136, stx_dev_minor 140,
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
  /** Opened with O_PATH: it names the file and is no open file. */
  readonly pathOnly: boolean;
}

/**
 * The file behind descriptor `fd` of thread `tid`.
 * @returns undefined when the descriptor was swapped while we looked, or the kernel (before 5.14) does not
 * tell enough.
 * @throws Refusal EBADF no such descriptor; EPERM this process may not look at the caller's descriptors.
 */
export function identifyDescriptor(tid: number, fd: number): FileIdentity | undefined {
  const info = descriptorInfo(tid, fd);
  if (
    libc().statx(
      AT_FDCWD,
      `/proc/${tid}/fd/${fd}`,
      AT_STATX_DONT_SYNC,
      STATX_INO | STATX_MNT_ID,
      addressOf(statxBytes),
    ) === -1
  ) {
    throw notVisible(tid, fd);
  }
  const inode = statxInode();
  const sameFile =
    (statxView.getUint32(0, true) & STATX_MNT_ID) !== 0 &&
    inode === info.inode &&
    statxMount() === info.mount;
  return sameFile ? { device: statxDevice(), inode, pathOnly: (info.flags & O_PATH) !== 0 } : undefined;
}

/**
 * The device of the file that descriptor `fd` of thread `tid` is, or names (O_PATH); undefined: there is
 * none, or this process may not look at it.
 */
export function deviceOfDescriptor(tid: number, fd: number): number | undefined {
  if (fd < 0) return undefined;
  const path = `/proc/${tid}/fd/${fd}`;
  const seen = libc().statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, addressOf(statxBytes));
  return seen === 0 ? statxDevice() : undefined;
}

/**
 * How descriptor `fd` of thread `tid` is open (O_RDWR and the other flags of open(2)), if it is `inode` of
 * `mount`; undefined: it is another file, or the kernel (before 5.14) does not tell. @throws as
 * identifyDescriptor.
 */
export function flagsOf(tid: number, fd: number, file: { inode: number; mount: number }): number | undefined {
  const { flags, inode, mount } = descriptorInfo(tid, fd);
  return inode === file.inode && mount === file.mount ? flags : undefined;
}

/** The file behind our own descriptor `fd`. @throws Refusal EBADF. */
export function identifyOwn(fd: number): FileIdentity {
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
  const name = libc().open(`/proc/${tid}/fd/${fd}`, O_PATH | O_CLOEXEC, 0);
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
  const match = /^fuse_connection:\s*(\d+)$/m.exec(readText(`/proc/${pid}/fdinfo/${fuseFd}`) ?? '');
  return match === null ? undefined : Number(match[1]);
}

/** Lets the kernel ask the server of our descriptor `fd` for its file's attributes, and waits for him. */
export function askAttributes(fd: number): void {
  const flags = AT_EMPTY_PATH | AT_STATX_FORCE_SYNC;
  libc().statx(fd, '', flags, STATX_SIZE, addressOf(statxBytes));
}

function descriptorInfo(tid: number, fd: number): { flags: number; inode: number; mount: number } {
  if (fd < 0) throw notOpen(fd);
  const text = readText(`/proc/${tid}/fdinfo/${fd}`);
  if (text === undefined) throw notVisible(tid, fd);
  return {
    flags: Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(text)?.[1] ?? '0', 8),
    inode: Number(/^ino:\s*(\d+)$/m.exec(text)?.[1] ?? Number.NaN),
    mount: Number(/^mnt_id:\s*(\d+)$/m.exec(text)?.[1] ?? Number.NaN),
  };
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
