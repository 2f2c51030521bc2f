/**
 * Copies of other processes' descriptors that are known for what they are before this process has them.
 *
 * A process that ends closes all that it has open, whatever ends it, and a close of a file of a FUSE file
 * system waits for its server, which no signal ends: until that answers, a zombie is left. What a descriptor
 * is can be looked at first, but another thread may put something else in its place before it is copied. So a
 * helper process copies it, which has nothing else open. Nobody else changes what that has: it is looked at
 * there, and then copied from there.
 *
 * Invariant: nothing comes into this process that `isWanted` has not been true of. What has come into the
 * helper is closed by it; if that takes long, the helper is given up and nobody misses it.
 *
 * To close what somebody else has made may take as long as he likes, too: an eventfd that is in an epoll set
 * waits for who has locked that. So a helper has it last (`certainClose`).
 *
 * There is no helper on some processors (helper-code.ts). And where Yama lets a process trace its descendants
 * alone, one without CAP_SYS_PTRACE may copy what its helper may not. Then it is copied here, and looked at
 * afterwards.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { Errno, Refusal } from './errno.js';
import { copyDescriptor } from './fd-identity.js';
import { libc } from './ffi.js';
import { HelperProcess, Sys } from './helper-process.js';
import { notOpen, notTraceable, processOfThread } from './proc.js';
import { yamaScope } from './ptrace.js';

/** A copy takes microseconds; the kernel may have the helper wait while its process executes a program. */
const COPY_MS = 100;
/**
 * For how long who presents a descriptor may have us wait for what the kernel says of it: more than one of
 * the steps that the kernel counts a helper's time in, of which one may end at any moment.
 */
const READ_MS = 20;
/** More than what the kernel says of any file: it comes first. */
const INFO_BYTES = 512;
const AT_FDCWD = -100;
const O_CLOEXEC = 0o2000000;
/** Steps of a helper that gets no processor. */
const SPARE_STEPS = 4;
/** The number that a helper's first descriptor beside its own three has. */
const FIRST = 3;
const PIDFD_THREAD = 0o200;
const CAP_SYS_PTRACE = 19n;

/**
 * Is descriptor `fd` of process `pid`, which closes it soon, what is to be copied? The kernel alone is asked.
 */
export type IsWanted = (pid: number, fd: number) => boolean;

/** A file as statx(2) has seen it. */
export interface SeenFile {
  readonly inode: number;
  readonly mount: number;
}

/** What was copied was not wanted. It has been closed, or it is told who has it. */
export class Swapped extends Refusal {
  /** The helper that waits for it to be closed, which has been killed; undefined: there is none. */
  readonly helper: number | undefined;
  /** A copy in this process, where there is no helper. */
  readonly copy: number | undefined;

  constructor(reason: string, { helper, copy }: { readonly helper?: number; readonly copy?: number } = {}) {
    super(Errno.EBADF, reason);
    this.helper = helper;
    this.copy = copy;
  }
}

let present: HelperProcess | undefined;
/** Those that were killed while they gave something back. */
let late: HelperProcess[] = [];
let possible = true;
/** Before Linux 6.9 there are pidfds for whole processes only; their threads share descriptors anyway. */
let ofThreads = true;

/**
 * A copy, in this process, of descriptor `fd` of thread `tid`, of which `isWanted` is true.
 * @param patience how many ms may be waited until what is not wanted has been closed.
 * @throws Refusal EBADF no such descriptor, or it was another one when it was copied (`Swapped`); EPERM this
 * process may not trace the caller; EAGAIN, EMFILE, ENOMEM there is no helper now.
 */
export function certainCopy(tid: number, fd: number, isWanted: IsWanted, patience: number): number {
  if (fd < 0) throw notOpen(fd);
  const helper = helperProcess();
  if (helper === undefined) return copyHere(tid, fd, isWanted);
  const there = copyThere(helper, tid, fd);
  if (there === -Errno.EPERM && onlyParentsTrace()) return copyHere(tid, fd, isWanted);
  if (there < 0) throw notCopied(-there, tid, fd);
  const wanted = holds(isWanted, helper.pid, there);
  helper.put(0, Sys.close, there);
  if (wanted) {
    try {
      return helper.take(there);
    } finally {
      // It has as many others as it had before: that waits for nobody.
      helper.begin(1);
    }
  }
  // To give a large file's pages back takes long too.
  const closed = helper.do(1, patience, patience + SPARE_STEPS) >= 0;
  throw new Swapped(replaced(fd), closed ? {} : { helper: helper.pid });
}

/**
 * How descriptor `fd` of thread `tid` is open (the flags of open(2)), if it is `inode` of `mount`. Its file
 * tells what it likes in the same text, and for as long as it likes: an epoll set waits for what another
 * thread does with it, inotify lists all that it watches. So a helper reads it.
 * @returns undefined: it is another file, or no helper may look, or the kernel (before 5.14) does not tell.
 * @throws Refusal EBADF no such descriptor, or the text has not come (`Swapped`); EAGAIN, EMFILE, ENOMEM
 * there is no helper now.
 */
export function certainFlags(tid: number, fd: number, { inode, mount }: SeenFile): number | undefined {
  const helper = helperProcess();
  if (helper === undefined) return undefined;
  const path = Buffer.from(helper.data.buffer, helper.data.byteOffset).write(`/proc/${tid}/fdinfo/${fd}\0`);
  helper.put(0, Sys.openat, AT_FDCWD, helper.dataAt, O_CLOEXEC);
  helper.require(0, FIRST);
  helper.put(1, Sys.pread, FIRST, helper.dataAt + path, INFO_BYTES, 0);
  helper.put(2, Sys.close, FIRST);
  if (helper.do(3, READ_MS) < 0)
    throw new Swapped(`what fd ${fd} is has not been told within ${READ_MS} ms`, { helper: helper.pid });
  if (helper.result(0) === -Errno.ENOENT) throw notOpen(fd);
  if (helper.result(0) < 0) return undefined;
  const text = Buffer.from(helper.data.subarray(path)).toString('latin1', 0, Math.max(0, helper.result(1)));
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\d+)$`, 'm').exec(text)?.[1];
  const isIt = Number(field('ino')) === inode && Number(field('mnt_id')) === mount;
  return isIt ? Number.parseInt(field('flags') ?? '0', 8) : undefined;
}

/** Descriptors that are closed at once. */
export const MOST_CLOSED = 32;

/**
 * Closes our own descriptors `fds`, MOST_CLOSED at most, of which a helper has a copy, and closes it last.
 * @param patience how many ms may be waited for that. `tid`: of this thread, which has a table of its own.
 * `begins` is told which process is about to close them.
 * @throws Swapped it takes longer; ours are closed. Refusal EAGAIN, EMFILE, ENOMEM there is no helper now;
 * none is closed.
 */
export function certainClose(
  fds: readonly number[],
  patience: number,
  tid?: number,
  begins?: (pid: number) => void,
): void {
  const helper = helperProcess();
  const copies = helper === undefined ? [] : copiesOfOurs(helper, fds, tid);
  for (const fd of fds) libc().close(fd);
  if (helper === undefined || copies.length === 0) return;
  begins?.(helper.pid);
  for (const [n, copy] of copies.entries()) helper.put(n, Sys.close, copy);
  if (helper.do(copies.length, patience, patience + SPARE_STEPS) < 0)
    throw new Swapped(`to close ${copies.length} descriptors takes long`, { helper: helper.pid });
}

/** Has `helper` copy them. @returns their numbers there; none where it may not. */
function copiesOfOurs(helper: HelperProcess, fds: readonly number[], tid?: number): number[] {
  if (tid === undefined) helper.put(0, Sys.pidfd_open, process.pid, 0);
  else helper.put(0, Sys.pidfd_open, tid, PIDFD_THREAD);
  for (const [n, fd] of fds.entries()) helper.put(n + 1, Sys.pidfd_getfd, FIRST, fd, 0);
  helper.put(fds.length + 1, Sys.close, FIRST);
  if (helper.do(fds.length + 2, COPY_MS) < 0) return [];
  return fds.map((_, n) => helper.result(n + 1)).filter((copy) => copy >= 0);
}

/** The one that copies; undefined: there can be none. @throws Refusal as HelperProcess. */
function helperProcess(): HelperProcess | undefined {
  // What it has closed of the last copy takes long only if it was the last to have it.
  if (present !== undefined && !present.dead && present.wait(COPY_MS, COPY_MS) < 0) late.push(present);
  if (present !== undefined && !present.dead) return present;
  late = late.filter((helper) => !helper.ended);
  if (!possible) return undefined;
  try {
    present = new HelperProcess();
    return present;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.errno !== Errno.ENOSYS && error.errno !== Errno.EACCES) throw error;
    possible = false;
    return undefined;
  }
}

/** Has `helper` copy it. @returns its number there, or -errno. @throws Swapped it has not answered. */
function copyThere(helper: HelperProcess, tid: number, fd: number): number {
  if (ofThreads) helper.put(0, Sys.pidfd_open, tid, PIDFD_THREAD);
  else helper.put(0, Sys.pidfd_open, processOfThread(tid), 0);
  helper.put(1, Sys.pidfd_getfd, FIRST, fd, 0);
  helper.put(2, Sys.close, FIRST);
  if (helper.do(3, COPY_MS) < 0)
    throw new Swapped(`fd ${fd} has not been copied within ${COPY_MS} ms`, { helper: helper.pid });
  const pidfd = helper.result(0);
  if (pidfd >= 0) return helper.result(1);
  if (pidfd !== -Errno.EINVAL || !ofThreads) return pidfd;
  ofThreads = false;
  return copyThere(helper, tid, fd);
}

function copyHere(tid: number, fd: number, isWanted: IsWanted): number {
  const copy = copyDescriptor(tid, fd);
  const us = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  if (holds(isWanted, us, copy)) return copy;
  throw new Swapped(replaced(fd), { copy });
}

/** What cannot be looked at is not wanted. */
function holds(isWanted: IsWanted, pid: number, fd: number): boolean {
  try {
    return isWanted(pid, fd);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return false;
  }
}

/** May a process trace its descendants, and none of its children those? */
function onlyParentsTrace(): boolean {
  if (yamaScope() === 0) return false;
  const status = readFileSync('/proc/self/status', 'latin1');
  const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return ((capabilities >> CAP_SYS_PTRACE) & 1n) === 0n;
}

function notCopied(errno: number, tid: number, fd: number): Refusal {
  if (errno === Errno.EBADF) return notOpen(fd);
  if (errno === Errno.EPERM) return notTraceable(tid, `fd ${fd}`);
  return new Refusal(errno, `fd ${fd} of thread ${tid} cannot be copied`);
}

function replaced(fd: number): string {
  return `fd ${fd} was replaced by another file during the call`;
}
