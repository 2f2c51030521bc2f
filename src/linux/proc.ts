/**
 * What /proc tells about the processes that call us: which process a thread belongs to, its name, and why the
 * kernel would not let us at its memory.
 *
 * Process and thread ids are reused, so an answer holds only while the thread is known to live: during a call
 * that it waits for. Nothing here is remembered without a check that it still holds.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { Errno, Refusal } from './errno.js';
import { lastErrno, libc } from './ffi.js';
import { procFile } from './own-proc.js';

const SYS_tgkill = process.arch === 'arm64' ? 131 : 234;
/** How many threads' processes are remembered; threads come and go, the table must not grow with them. */
const MAX_KNOWN = 1024;

const known = new Map<number, number>();

/** The process (thread group) of thread `tid`. @throws Refusal ESRCH when there is no such thread. */
export function processOfThread(tid: number): number {
  const candidate = known.get(tid);
  if (candidate !== undefined && isThreadOf(candidate, tid)) return candidate;
  const tgid = Number(statusField(tid, 'Tgid'));
  if (!Number.isSafeInteger(tgid)) throw gone(tid);
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(tid, tgid);
  return tgid;
}

/** The same; undefined when there is no such thread. */
export function livingProcessOf(tid: number): number | undefined {
  try {
    return processOfThread(tid);
  } catch {
    return undefined;
  }
}

/**
 * Is `tid` a thread of the process `pid` now? (/proc/PID/task does not tell: a number that was a process may
 * be a thread by now, and /proc shows that as if it were one.)
 */
function isThreadOf(pid: number, tid: number): boolean {
  return libc().syscall(SYS_tgkill, pid, tid, 0) === 0 || lastErrno() === Errno.EPERM;
}

/** The process that thread `tid` belonged to when that was asked last, as far as it is known; else 0. */
export function processBefore(tid: number): number {
  return known.get(tid) ?? 0;
}

/**
 * The name of a process as the kernel has it (15 bytes at most), without control characters; `"?"` when it is
 * gone.
 */
export function commandName(pid: number): string {
  try {
    return readFileSync(procFile(pid, 'comm'), 'utf8').trimEnd().replace(/\p{C}/gu, '?');
  } catch {
    return '?';
  }
}

/** The user (effective uid, as this process sees it) of thread `tid`; undefined when it is gone. */
export function userOfThread(tid: number): number | undefined {
  const ids = statusField(tid, 'Uid')?.split('\t');
  return ids === undefined ? undefined : Number(ids[1]);
}

/**
 * Could the process of thread `tid` end this one by kill(2)? That of the same user can who sees us, in the
 * same pid namespace. (Who has CAP_KILL can too, and is not taken for one.)
 */
export function couldKillUs(tid: number): boolean {
  const ids = statusField(tid, 'Uid')?.split('\t') ?? ['-1'];
  return (
    ids.every((id) => Number(id) === process.geteuid?.()) &&
    namespace(tid, 'pid') === namespace('self', 'pid')
  );
}

/** Is thread `tid` in the user namespace of this process? No, when it is gone. */
export function sharesUserNamespace(tid: number): boolean {
  return namespace(tid, 'user') === namespace('self', 'user');
}

function namespace(tid: number | 'self', kind: 'pid' | 'user'): string | undefined {
  try {
    return readlinkSync(procFile(tid, `ns/${kind}`));
  } catch {
    return undefined;
  }
}

/**
 * The session of thread `tid`, by the process id of its leader; 0 for one outside of this process's pid
 * namespace, or of a thread that is not seen from here.
 */
export function sessionOf(tid: number): number {
  return tid === 0 ? 0 : Math.max(0, libc().getsid(tid));
}

/** Has thread `tid` capability `number` in effect, in its own user namespace? No, when it is gone. */
export function hasCapability(tid: number, number: number): boolean {
  const set = BigInt(`0x${statusField(tid, 'CapEff') ?? '0'}`);
  return ((set >> BigInt(number)) & 1n) === 1n;
}

/** The process that traces thread `tid`; 0: none does. undefined when the thread is gone. */
export function tracerOf(tid: number): number | undefined {
  const id = statusField(tid, 'TracerPid');
  return id === undefined ? undefined : Number(id);
}

/**
 * What thread `tid` does, in a letter of proc(5): `T` when a signal has stopped it, `t` when its tracer has.
 * undefined when it is gone.
 */
export function doingOf(tid: number): string | undefined {
  return statusField(tid, 'State')?.[0];
}

/** The process that has started that of thread `tid`, as long as it lives; NaN when it is gone. */
export function parentOf(tid: number): number {
  return Number(statusField(tid, 'PPid'));
}

/** How many threads the processes have whose real user is `uid`, as far as they are seen from here. */
export function threadsOfUser(uid: number): number {
  const theirs = readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      return pid > 0 && Number(statusField(pid, 'Uid')?.split('\t')[0]) === uid;
    });
  return theirs.reduce((sum, pid) => sum + Number(statusField(pid, 'Threads') ?? 0), 0);
}

/** The refusal for a thread that does not exist any more. */
export function gone(tid: number): Refusal {
  return new Refusal(Errno.ESRCH, `process ${tid} has exited`);
}

/** The refusal for a descriptor that the caller does not have. */
export function notOpen(fd: number): Refusal {
  return new Refusal(Errno.EBADF, `fd ${fd} is not open in the calling process`);
}

/**
 * The refusal for memory or descriptors of thread `tid` that the kernel does not let this process at: which
 * rule of ptrace(2), "Ptrace access mode checking", stands against it.
 */
export function notTraceable(tid: number, what: string): Refusal {
  return new Refusal(
    Errno.EPERM,
    `${what} of process ${tid} is out of reach: ${tracingRule(tid)}; \`ioasid doctor\` explains what to do`,
  );
}

function tracingRule(tid: number): string {
  const theirs = statusField(tid, 'Uid')?.split('\t')[0];
  const ours = process.geteuid?.() ?? 0;
  if (ours !== 0 && theirs !== undefined && theirs !== String(ours))
    return `it runs as user ${theirs}, this server as user ${ours}`;
  const scope = readText('/proc/sys/kernel/yama/ptrace_scope')?.trim();
  if (scope !== undefined && scope !== '0')
    return `kernel.yama.ptrace_scope is ${scope}, which allows this server its own descendants at most`;
  const beyond =
    'it holds capabilities or is in a user namespace that this server has no CAP_SYS_PTRACE over';
  return `it is not dumpable, or ${beyond}`;
}

function statusField(tid: number, name: string): string | undefined {
  return readText(procFile(tid, 'status'))?.match(new RegExp(`^${name}:\\t(.*)$`, 'm'))?.[1];
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
