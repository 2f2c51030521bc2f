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

import { spawnSync } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import { refuse } from '../linux/errno.js';
import { pipe } from '../linux/fd-passing.js';
import { ownScript } from '../linux/own-package.js';
import { randomBytes } from '../linux/random-bytes.js';
import { ABORT, type GuardOrder, KNOWN } from './guard-order.js';

/** Minor numbers of a device number. */
const MINORS = 0x100000;
const script = ownScript('cli/guard-main.js');

/**
 * Standard output is closed when the background process has started: shells give it /dev/null to read from
 * before anything else, and /dev may have nobody to answer for it a moment later.
 */
const wait = `(
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
) &`;

/** A name for a filesystem that no other has. */
export function newSource(): string {
  return `ioasid:${process.pid}-${randomBytes(8).toString('hex')}`;
}

/**
 * Starts a guard in this process's namespaces. @returns the lifeline, close-on-exec.
 * @throws Refusal EMFILE; EAGAIN no process can be started.
 */
export function startGuard(order: GuardOrder): number {
  const [waiting, lifeline] = pipe();
  const command = [process.execPath, script, JSON.stringify(order)];
  const { error } = spawnSync('/bin/sh', ['-c', wait, 'ioasid-guard', order.source, ...command], {
    stdio: ['ignore', 'pipe', 'ignore', waiting],
    detached: true,
    cwd: '/',
  } as object);
  closeSync(waiting);
  if (error === undefined) return lifeline;
  closeSync(lifeline);
  return refuse('EAGAIN', `no guard can be started: ${error.message}`);
}

/** Tells the guard which filesystem it guards. */
export function nameToGuard(lifeline: number, device: number): void {
  writeSync(lifeline, `${device}\n`);
}
