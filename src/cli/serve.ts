/**
 * `ioasid serve`: the machine's files below a folder, for every process that may see it, until Ctrl-C.
 *
 * The folder is a mount point as long as this process lives: it unmounts at the end, and a guard does when it
 * was killed. A mount that a dead server left in spite of both is removed at the next start.
 */
import { closeSync, fstatSync, readdirSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errnoOf, inWords, Refusal, refuse } from '../linux/errno.js';
import { mountedDevice } from '../linux/fd-identity.js';
import { mountFuse, unmountFuse } from '../linux/fuse-mount.js';
import { mountFuseAsUser, unmountFuseAsUser } from '../linux/fusermount.js';
import { isThere, makeFolder, removeFolder } from '../linux/locked-folders.js';
import { writeNow } from '../linux/write-now.js';
import { nameToGuard, newSource, startGuard } from './guard.js';
import { inheritedDescriptors } from './inheritance.js';
import { lastSteps } from './last-steps.js';
import { OUR_FAULT } from './launch-plan.js';
import { launchMode } from './launcher-process.js';
import { complain, complainOf } from './messages.js';
import { type End, ModelFaults } from './model-faults.js';
import { isAlive, isMounted } from './mounted.js';
import { npxSource } from './npx.js';
import { checkOwnLimits, disksOf } from './own-limits.js';
import { inspectIf, type MachineArguments, makeMachine, serveMachine } from './service.js';
import { leave } from './signals.js';
import { tellingOf } from './told.js';

/**
 * Where `serve` puts the files when it is not told. @throws Refusal ENOENT when this user has no such place.
 */
function defaultFolder(): string {
  const runtime = process.env.XDG_RUNTIME_DIR;
  if (runtime !== undefined && runtime !== '') return join(runtime, 'ioasid');
  if (process.geteuid?.() === 0) return '/run/ioasid';
  return refuse('ENOENT', 'XDG_RUNTIME_DIR is not set, so name a folder: ioasid serve FOLDER');
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    throw new Refusal(errnoOf(error), `nothing can be mounted on ${folder}: ${inWords(error)}`);
  }
}

/** A folder with our file system mounted on it. */
class MountPoint {
  /** The FUSE connection. */
  readonly fuse: number;
  readonly #folder: string;
  readonly #asRoot: boolean;
  readonly #made: boolean;

  /**
   * Mounts it there, as `source`; the folder is made where it is not there. @throws Refusal EBUSY another
   * server serves there, or somebody has the folder above locked; EEXIST there are other files; EACCES,
   * ENOENT, ENOTDIR it cannot be made; EPERM it cannot be mounted.
   */
  constructor(folder: string, there: boolean, source: string) {
    this.#folder = folder;
    this.#asRoot = launchMode() === 'root';
    if (isMounted(folder)) {
      if (isAlive(folder)) refuse('EBUSY', `another ioasid serves ${folder}`);
      this.#unmount();
    }
    this.#made = !there && makeFolder(folder);
    if (entriesOf(folder).length > 0)
      refuse('EEXIST', `${folder} has files in it, which the mount would hide`);
    this.fuse = this.#mount(source);
  }

  remove(): void {
    this.#unmount();
    if (this.#made) removeFolder(this.#folder);
  }

  #mount(source: string): number {
    try {
      return this.#asRoot
        ? mountFuse(this.#folder, { allowOther: true, source })
        : mountFuseAsUser(this.#folder, source);
    } catch (error) {
      if (this.#made) removeFolder(this.#folder);
      throw error;
    }
  }

  #unmount(): void {
    if (this.#asRoot) unmountFuse(this.#folder);
    else unmountFuseAsUser(this.#folder);
  }
}

/** Ends this process when it cannot: its thread that watches models would not let it end by itself. */
function mountAt(folder: string | undefined) {
  try {
    const root = resolve(folder ?? defaultFolder());
    const source = newSource(process.pid);
    const there = isThere(root);
    const lifeline = startGuard({ source, ...(there ? {} : { made: root }) });
    const mount = new MountPoint(root, there, source);
    const device = mountedDevice(root);
    nameToGuard(lifeline, device);
    return { root, lifeline, mount, device };
  } catch (error) {
    complainOf(error as Error);
    return leave(OUR_FAULT);
  }
}

/** What the options of `serve` say. */
export interface ServeArguments extends MachineArguments {
  readonly readyFd?: number;
  readonly listed?: boolean;
}

/** Ends this process when nobody has given it the descriptor: it may be open, and one of its own. */
function checkReadyFd(fd: number | undefined): void {
  if (fd === undefined || inheritedDescriptors().includes(fd) || (fd <= 2 && isOpen(fd))) return;
  complain(`descriptor ${fd} of --ready-fd is none that ioasid was started with`);
  leave(OUR_FAULT);
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

/** What it tells, and the machine. @throws Refusal which option, or which limit of this process, is wrong. */
async function prepared(options: ServeArguments) {
  checkOwnLimits(disksOf(options.device));
  return { telling: await tellingOf(options), made: await makeMachine(options, false) };
}

/**
 * Whoever reads them may have gone, or may have no room: the files are there all the same. Node's own stream,
 * whose modules are 1.5 MiB, gets what a reader does not take at once.
 */
function tellFiles(paths: readonly string[]): void {
  const failed = (error: NodeJS.ErrnoException) =>
    error.code === 'EPIPE' || complain(`standard output takes no list of the files: ${inWords(error)}`);
  const lines = Buffer.from(paths.map((path) => `${path}\n`).join(''));
  try {
    // A pipe's stream calls back, a file's throws.
    const rest = lines.subarray(writtenAtOnce(1, lines));
    if (rest.length > 0) process.stdout.on('error', failed).write(rest);
  } catch (error) {
    failed(error as NodeJS.ErrnoException);
  }
}

/** How many of `bytes` descriptor `fd` has taken at once. */
function writtenAtOnce(fd: number, bytes: Uint8Array): number {
  return fstatSync(fd).isFile() ? writeSync(fd, bytes) : writeNow(fd, bytes);
}

/** Whoever waits may have gone. */
function tellReady(fd: number | undefined): void {
  if (fd === undefined) return;
  try {
    writeSync(fd, '\n');
    if (fd > 2) closeSync(fd);
  } catch (error) {
    complain(`descriptor ${fd} of --ready-fd: ${(error as Error).message}`);
  }
}

/**
 * Serves below `folder`. Ends this process at SIGINT, SIGTERM, SIGHUP, with the npx that has started it, or
 * when somebody else unmounts the folder.
 */
export async function serve(folder: string | undefined, options: ServeArguments): Promise<never> {
  let end: End = leave;
  const faults = new ModelFaults((status) => end(status));
  checkReadyFd(options.readyFd);
  const { telling, made } = await prepared(options).catch((error: Error) => {
    complainOf(error);
    return leave(OUR_FAULT);
  });
  // Before there is a mount to be left. They are heard when this thread waits next: there is an `end` then.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end(0));
  const { root, lifeline, mount, device } = mountAt(folder);
  const service = serveMachine(
    made,
    { fuse: mount.fuse, device, lifeline },
    { telling, faults, watched: npxSource(() => end(0)), unlisted: options.listed !== true },
  );
  end = (status) => {
    const ended = lastSteps([() => mount.remove(), ...service.ending]);
    return leave(ended ? status : OUR_FAULT);
  };
  const shown = made.machine.nodes.filter(({ present }) => present?.() !== false);
  tellFiles(shown.map(({ path }) => join(root, path)));
  await inspectIf(options).catch((error: Error) => {
    complainOf(error);
    end(OUR_FAULT);
  });
  tellReady(options.readyFd);
  await service.gone;
  complain(`${root} has been unmounted by somebody else`);
  lastSteps(service.ending);
  return leave(OUR_FAULT);
}
