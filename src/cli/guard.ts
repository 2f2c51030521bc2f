/**
 * The guard: a process that removes what a server could not, because it was killed (guard-main.ts).
 *
 * It is a shell in a session of its own, nobody's child, that waits on a pipe. The other end, the lifeline,
 * is held by a thread of the server that goes when the server is killed, whatever becomes of its others
 * (devfs/stand-in.ts). The first line that comes through is the device number of the server's filesystem. A
 * second one says that the server ends in order; the pipe's end without it says that the server is dead.
 *
 * A guard may be slow, and number and folder be another server's by then. So it goes by nothing but what was
 * this server's alone: the name of the filesystem, and the file that aborts the connection, if the filesystem
 * of that name still has the number after that was opened (where there is a fusectl).
 */

import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { Errno, refuse } from '../linux/errno.js';
import { pipe } from '../linux/fd-passing.js';
import { ownScript } from '../linux/own-package.js';
import { randomBytes } from '../linux/random-bytes.js';
import type { ScriptedProcess, Step } from '../linux/scripted-process.js';
import { exitOf, spawn } from '../linux/spawn.js';
import { ABORT, type GuardOrder, KNOWN } from './guard-order.js';

const AT_FDCWD = -100;
const X_OK = 1;
const O_RDWR = 2;
const SIGCHLD = 17;
const CLONE_VFORK = 0x4000;
/** The last descriptor that there may be. */
const LAST = 2 ** 32 - 1;
const SHELL = '/bin/sh';
const NO_PROCESS = 'no guard can be started: it needs two processes more (ulimit -u, or pids of a cgroup)';
/** Minor numbers of a device number. */
const MINORS = 0x100000;
const program = ownScript('cli/guard-main.js');

/**
 * What the shell does. Standard output is closed when it has started, in the background: shells give that
 * /dev/null to read from before anything else, and /dev may have nobody to answer for it a moment later.
 */
const wait = `
  exec >&-
  source=$1
  known=
  shift
  read -r device <&3
  minor=$((\${device:-0} % ${MINORS}))
  abort=/sys/fs/fuse/connections/$minor/abort
  [ -w $abort ] && command exec ${ABORT}>$abort &&
    grep -q " $((\${device:-0} / ${MINORS})):$minor .* $source " /proc/self/mountinfo && known=${KNOWN}
  read -r line <&3 || exec "$@" "$known" 3<&-
`;

/** The arguments of a shell that waits so, by `script`. */
function waiting(script: string, order: GuardOrder): string[] {
  const guard = [process.execPath, program, JSON.stringify(order)];
  return [SHELL, '-c', script, 'ioasid-guard', order.source, ...guard];
}

/** A name for a filesystem that no other has, mounted by process `pid`. */
export function newSource(pid: number): string {
  return `ioasid:${pid}-${randomBytes(8).toString('hex')}`;
}

/**
 * Starts a guard in this process's namespaces. By none of Node's functions: its modules for processes, with
 * those for sockets, are 2 MiB. @returns the lifeline, close-on-exec.
 * @throws Refusal EMFILE; EAGAIN no process can be started.
 */
export function startGuard(order: GuardOrder): number {
  const [end, lifeline] = pipe();
  const [begun, output] = pipe();
  const nothing = openSync('/dev/null', 'r+');
  try {
    const shell = started(waiting(`cd /; (${wait}) &`, order), [nothing, output, nothing, end]);
    readSync(begun, new Uint8Array(1));
    if (exitOf(shell) !== 0) refuse('EAGAIN', NO_PROCESS);
    return lifeline;
  } catch (error) {
    closeSync(lifeline);
    throw error;
  } finally {
    closeSync(begun);
  }
}

/** Starts it in a session of its own, with these descriptors from 0 on, which are closed here. */
function started(argv: readonly string[], descriptors: readonly number[]): number {
  try {
    return spawn(argv, process.env, new Map(descriptors.entries()), { apart: 'session' });
  } catch (error) {
    return refuse('EAGAIN', `no guard can be started: ${(error as Error).message}`);
  } finally {
    for (const fd of new Set(descriptors)) closeSync(fd);
  }
}

/**
 * Starts a guard in the namespaces of `launcher`, whose descriptor `end` is that of the pipe, and is closed.
 * It is nobody's child.
 * @throws Refusal ENOENT no shell; EAGAIN no process can be started. Gone.
 */
export async function startGuardIn(launcher: ScriptedProcess, order: GuardOrder, end: number): Promise<void> {
  const bytes = (texts: readonly string[]) => texts.map((text) => Buffer.from(text));
  const argv = bytes(waiting(wait, order));
  const env = bytes(Object.entries(launcher.env).map(([name, value]) => `${name}=${value}`));
  const nothing: Step[] = [0, 1, 2].flatMap((fd) => [
    { call: 'close', args: [fd], what: '', despite: Errno.EBADF },
    { call: 'openat', args: [AT_FDCWD, '/dev/null', O_RDWR, 0], what: '' },
  ]);
  const guard: Step[] = [
    { call: 'chdir', args: ['/'], what: '' },
    { call: 'dup3', args: [end, 3, 0], what: '' },
    { call: 'close_range', args: [4, LAST, 0], what: '' },
    { call: 'execve', args: [SHELL, argv, env], what: '' },
  ];
  // Without its socket, who is not as far as he should be ends.
  const between: Step[] = [
    { call: 'close', args: [launcher.own[0]!], what: '' },
    { call: 'setsid', args: [], what: '' },
    ...nothing,
    // It goes on when the guard is a shell: the memory that is shared may have another list then.
    { call: 'clone', args: [CLONE_VFORK | SIGCHLD], what: '', child: guard },
    { call: 'exit_group', args: [0], what: '' },
  ];
  const status = Buffer.alloc(4);
  await launcher.run([
    { call: 'faccessat', args: [AT_FDCWD, SHELL, X_OK], what: `no guard can be started: ${SHELL}` },
    { call: 'clone', args: [SIGCHLD], what: NO_PROCESS, child: between },
    { call: 'wait4', args: [-1, status, 0, 0], what: 'no guard can be started' },
    { call: 'close', args: [end], what: 'the end of a pipe cannot be closed' },
  ]);
  if (status.readInt32LE(0) !== 0) refuse('EAGAIN', NO_PROCESS);
}

/** Tells the guard which filesystem it guards. One that was killed guards nothing, as if that came later. */
export function nameToGuard(lifeline: number, device: number): void {
  try {
    writeSync(lifeline, `${device}\n`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  }
}
