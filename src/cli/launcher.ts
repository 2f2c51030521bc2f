/**
 * The first half of the user's command's life: a process that builds the new /dev around itself and then
 * becomes the command. It does that by system calls that are listed here, and made there
 * (linux/scripted-process.ts): it is started for every `ioasid run`, and a Node of its own would take a
 * sixth of the time. From its first instruction on it dies with the server.
 */
import { readlinkSync } from 'node:fs';
import { Errno, errnoWords, Refusal } from '../linux/errno.js';
import { closeOnExec, dieWithParent, exec, exists, softFiles } from '../linux/exec.js';
import { deviceIn, statOf } from '../linux/fd-identity.js';
import { fuseMounted, openedFuse } from '../linux/fuse-mount.js';
import { bind, dropCapabilities, openedFolder, ownMounts, unmount } from '../linux/namespaces.js';
import { joinTrap, type TrapDescriptors } from '../linux/nested-trap.js';
import type { ScriptedProcess, Step } from '../linux/scripted-process.js';
import { type TrapRule, trapped } from '../linux/seccomp.js';
import { newSource, startGuardIn } from './guard.js';
import {
  hostFolder,
  type LaunchFailure,
  type LaunchMode,
  type LaunchPlan,
  NOT_EXECUTABLE,
  NOT_FOUND,
  OUR_FAULT,
} from './launch-plan.js';
import { showSysfs } from './sysfs-mount.js';

/** Of calls on files whose connection has been aborted: by umount -f, or by way of fusectl. */
const ENDED: readonly number[] = [Errno.ENOTCONN, Errno.ECONNABORTED];
const STATX_BYTES = 256;

/** Descriptors of the launcher, to be copied, and what they are. */
export interface LauncherDescriptors {
  /** The FUSE connection of the new /dev. */
  readonly fuse: number;
  /** The device number of that filesystem. */
  readonly device: number;
  /**
   * How ioctls that return new descriptors arrive and are answered (linux/seccomp.ts); undefined when they
   * cannot be trapped here.
   */
  readonly trap: TrapDescriptors | undefined;
  /** The /dev of before. */
  readonly oldDev: number;
}

/**
 * Mounts the new /dev in `launcher`, with nothing over it yet, and traps calls by `rules`. `end`: the pipe by
 * which its guard waits. @throws Refusal. Gone.
 */
export async function prepare(
  launcher: ScriptedProcess,
  mode: LaunchMode,
  rules: readonly TrapRule[],
  end: number,
): Promise<LauncherDescriptors> {
  const source = newSource(launcher.pid);
  const [socket, memory, code] = launcher.own as [number, number, number];
  await launcher.run([
    // Since unshare(1) changes the credentials.
    dieWithParent(),
    closeOnExec(socket),
    close(memory),
    close(code),
    ...(mode === 'root' ? ownMounts() : []),
  ]);
  await startGuardIn(launcher, { kill: true, source }, end);
  const [oldDev, fuse] = (await launcher.run([openedFolder('/dev'), openedFuse()])) as [number, number];
  const bytes = Buffer.alloc(STATX_BYTES);
  // Without root, other users' processes do not come here, and `allow_other` would shut out the server: it
  // admits the mount's user namespace only.
  const mounted = fuseMounted(fuse, '/dev', { allowOther: mode === 'root', source });
  await launcher.run([mounted, statOf('/dev', bytes)]);
  return { fuse, device: deviceIn(bytes), trap: await trap(launcher, rules, fuse), oldDev };
}

/**
 * Traps the command's ioctls that return new descriptors. Where that cannot be they are refused, and
 * everything else works.
 */
async function trap(
  launcher: ScriptedProcess,
  rules: readonly TrapRule[],
  fuse: number,
): Promise<TrapDescriptors | undefined> {
  for (const killable of [true, false]) {
    const step = trapped(rules, killable);
    if (step === undefined) return undefined;
    try {
      const [listener] = (await launcher.run([step])) as [number];
      return { listener, calls: listener };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.errno === Errno.EBUSY) return joinTrap(launcher, fuse);
      if (error.errno !== Errno.EINVAL) return undefined;
    }
  }
  return undefined;
}

/** Has `launcher` become the command. @returns why it could not. @throws Gone it has, or it was killed. */
export async function become(
  launcher: ScriptedProcess,
  descriptors: LauncherDescriptors,
  mode: LaunchMode,
  plan: LaunchPlan,
): Promise<LaunchFailure> {
  try {
    const { fuse, trap, oldDev } = descriptors;
    await launcher.run([...new Set([fuse, ...(trap ? [trap.listener, trap.calls] : [])])].map(close));
    await launcher.run(restoredDev(oldDev, plan.binds));
    await showSysfs(launcher, plan.sysfs);
    await launcher.run(ownWays(mode, plan));
  } catch (error) {
    if (error instanceof Refusal) return { status: OUR_FAULT, reason: reasonOf(error) };
    throw error;
  }
  const bytes = (text: string) => Buffer.from(text, 'latin1');
  const [name] = plan.argv;
  const errno = await exec(launcher, plan.argv.map(bytes), plan.env.map(bytes));
  if (errno === Errno.ENOENT) return { status: NOT_FOUND, reason: await notFound(launcher, name!) };
  return { status: NOT_EXECUTABLE, reason: `${name} cannot be executed: ${errnoWords(errno)}` };
}

/**
 * Puts the old /dev below the new one, and binds its entries over the placeholders. What has vanished since
 * the list was made is left out.
 */
function restoredDev(oldDev: number, binds: readonly string[]): Step[] {
  const host = `/dev/${hostFolder}`;
  const entry = (path: string): Step => ({
    ...bind(`${host}/${path}`, `/dev/${path}`),
    despite: Errno.ENOENT,
  });
  // What was mounted over the old /dev came with it: the new one.
  return [bind(`/proc/self/fd/${oldDev}`, host), unmount(host), ...binds.map(entry), close(oldDev)];
}

/** What makes it a process as the command would have been anywhere. */
function ownWays(mode: LaunchMode, plan: LaunchPlan): Step[] {
  const cwd = readlinkSync('/proc/self/cwd');
  const inDev = cwd === '/dev' || cwd.startsWith('/dev/');
  return [
    ...(inDev ? [{ call: 'chdir', args: [cwd], what: `there is no folder ${cwd}` } as const] : []),
    ...(mode === 'user' ? dropCapabilities() : []),
    dieWithParent(),
    ...(plan.softFiles === null ? [] : [softFiles(plan.softFiles)]),
  ];
}

async function notFound(launcher: ScriptedProcess, name: string): Promise<string> {
  if (!name.includes('/')) return `${name}: command not found`;
  return (await exists(launcher, Buffer.from(name, 'latin1')))
    ? `${name} cannot be executed: what it needs to be run, an interpreter or loader, is not there`
    : `there is no command ${name}`;
}

/** The server is there, or this process were not: if it cannot be asked, somebody else has seen to that. */
function reasonOf(error: Refusal): string {
  const ended = ENDED.includes(error.errno);
  return ended ? `somebody has ended the connection of the new /dev: ${error.message}` : error.message;
}

function close(fd: number): Step {
  return { call: 'close', args: [fd], what: `descriptor ${fd} cannot be closed` };
}
