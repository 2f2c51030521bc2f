/**
 * The first half of the user's command's life: a process that builds the new /dev around itself and then
 * becomes the command.
 *
 * Arguments: the descriptor of the server's socket (launch-plan.ts), the LaunchMode, the server's process id,
 * and the rules by which calls are trapped. From the first line on it dies with the server. It is started
 * for every `ioasid run`, so it imports as little as possible.
 */
import { closeSync, existsSync, readSync, writeSync } from 'node:fs';
import { Errno, errnoWords, Refusal } from '../linux/errno.js';
import { dieWithParent, exec, keepOverExec, restoreProcess } from '../linux/exec.js';
import { mountedDevice } from '../linux/fd-identity.js';
import { mountFuse, unmountFuse } from '../linux/fuse-mount.js';
import { bind, dropCapabilities, enterMountNamespace, openFolder } from '../linux/namespaces.js';
import { joinTrap, type TrapDescriptors } from '../linux/nested-trap.js';
import { type TrapRule, trapCalls } from '../linux/seccomp.js';
import { nameToGuard, newSource, startGuard } from './guard.js';
import {
  hostFolder,
  type LauncherMessage,
  type LaunchMode,
  type LaunchPlan,
  NOT_EXECUTABLE,
  NOT_FOUND,
  OUR_FAULT,
} from './launch-plan.js';
import { showSysfs } from './sysfs-mount.js';

/** Of calls on files whose connection has been aborted: by umount -f, or by way of fusectl. */
const ENDED: readonly number[] = [Errno.ENOTCONN, Errno.ECONNABORTED];

const control = Number(process.argv[2]);
const mode = process.argv[3] as LaunchMode;
const server = Number(process.argv[4]);
const trapped = JSON.parse(process.argv[5]!) as TrapRule[];

function send(message: LauncherMessage): void {
  writeSync(control, `${JSON.stringify(message)}\n`);
}

/** Reads one line from the server. It is the last: the rest of the buffer is empty. */
function receivePlan(): LaunchPlan {
  const parts: Buffer[] = [];
  const buffer = Buffer.alloc(65536);
  for (;;) {
    const length = readSync(control, buffer);
    if (length === 0) process.exit(OUR_FAULT);
    parts.push(Buffer.from(buffer.subarray(0, length)));
    if (buffer[length - 1] === 0x0a) return JSON.parse(Buffer.concat(parts).toString()) as LaunchPlan;
  }
}

/**
 * Puts the old /dev below the new one, and binds its entries over the placeholders. What has vanished since
 * the list was made is left out.
 */
function restoreDev(oldDev: number, binds: readonly string[]): void {
  const host = `/dev/${hostFolder}`;
  bind(`/proc/self/fd/${oldDev}`, host);
  // What was mounted over the old /dev came with it: the new one.
  unmountFuse(host);
  for (const path of binds) {
    try {
      bind(`${host}/${path}`, `/dev/${path}`);
    } catch (error) {
      if (!(error instanceof Refusal) || error.errno !== Errno.ENOENT) throw error;
    }
  }
}

/**
 * Traps the command's ioctls that return new descriptors. Where that cannot be they are refused, and
 * everything else works.
 */
function trap(fuse: number): TrapDescriptors | null {
  try {
    const listener = trapCalls(trapped);
    return { listener, calls: listener };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return error.errno === Errno.EBUSY ? (joinTrap(fuse) ?? null) : null;
  }
}

/** A server that was dead before is found by its number. */
function dieWithServer(): void {
  dieWithParent();
  if (process.ppid !== server) process.exit(OUR_FAULT);
}

function launch(): LauncherMessage {
  dieWithServer();
  const cwd = process.cwd();
  if (mode === 'root') enterMountNamespace();
  const oldDev = openFolder('/dev');
  const source = newSource();
  const lifeline = startGuard({ kill: true, source });
  // Without root, other users' processes do not come here, and `allow_other` would shut out the server: it
  // admits the mount's user namespace only.
  const fuse = mountFuse('/dev', { allowOther: mode === 'root', source });
  const device = mountedDevice('/dev');
  nameToGuard(lifeline, device);
  const descriptors = { fuse, device, lifeline, trap: trap(fuse) };
  send(descriptors);
  const plan = receivePlan();
  for (const fd of new Set([fuse, lifeline, ...Object.values(descriptors.trap ?? {})])) closeSync(fd);
  restoreDev(oldDev, plan.binds);
  showSysfs(plan.sysfs);
  if (cwd === '/dev' || cwd.startsWith('/dev/')) process.chdir(cwd);

  if (mode === 'user') dropCapabilities();
  dieWithServer();
  restoreProcess(plan.softFiles ?? undefined);
  for (const fd of [0, 1, 2, ...plan.keep]) keepOverExec(fd);
  const bytes = (text: string) => Buffer.from(text, 'latin1');
  const errno = exec(plan.argv.map(bytes), plan.env.map(bytes));
  const name = plan.argv[0];
  if (errno === Errno.ENOENT) return { status: NOT_FOUND, reason: notFound(name!) };
  return { status: NOT_EXECUTABLE, reason: `${name} cannot be executed: ${errnoWords(errno)}` };
}

function notFound(name: string): string {
  if (!name.includes('/')) return `${name}: command not found`;
  return existsSync(Buffer.from(name, 'latin1'))
    ? `${name} cannot be executed: what it needs to be run, an interpreter or loader, is not there`
    : `there is no command ${name}`;
}

/** The server is there, or this process were not: if it cannot be asked, somebody else has seen to that. */
function reasonOf(error: Error): string {
  const ended = error instanceof Refusal && ENDED.includes(error.errno);
  return ended ? `somebody has ended the connection of the new /dev: ${error.message}` : error.message;
}

let failure: LauncherMessage;
try {
  failure = launch();
} catch (error) {
  failure = { status: OUR_FAULT, reason: reasonOf(error as Error) };
}
send(failure);
