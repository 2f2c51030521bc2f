/**
 * The machine's folders in the command's /sys, which are served: each is bound over what the host has at that
 * place. Where the host has nothing, a file system in memory is put over the nearest folder above, with the
 * host's own entries in it as they were.
 *
 * All is done in the launcher's mount namespace, and decided by what this process sees in its own, where
 * nothing of it is: to look at what is served would be to wait for ourselves. A folder that cannot be covered
 * stays as it is: whoever needs no /sys runs all the same.
 */
import { type Dirent, existsSync, readdirSync, readlinkSync } from 'node:fs';
import { dirname } from 'node:path/posix';
import { Errno, Refusal } from '../linux/errno.js';
import { bind, makeReadOnly, mountMemory, openedFolder, unmount } from '../linux/namespaces.js';
import type { ScriptedProcess, Step } from '../linux/scripted-process.js';
import { isOfRun } from './host-sysfs.js';
import { sysfsFolder } from './launch-plan.js';

/** Folders of the host's in which some may be served: covered first, so that an inner run sees it. */
const parents = ['kernel/iommu_groups', 'module', 'class', 'bus', 'devices', 'dev'];

/** The host's own functions: who writes to ours by a wrong number is to do no harm there. */
const hostBus = /^\/sys\/devices\/pci[^/]*$/;

const AT_FDCWD = -100;
/** S_IFREG, for everybody. */
const REGULAR_FILE = 0o100666;

/** Folders that are in memory now, and what they have of the host, which is bound into them. */
type Covered = Map<string, readonly string[]>;

/** Shows what is served, by paths below /sys, in the mount namespace of `launcher`. */
export async function showSysfs(launcher: ScriptedProcess, served: readonly string[]): Promise<void> {
  if (!existsSync('/sys/kernel')) return;
  const wanted = new Set<string>();
  for (const parent of parents) {
    const within = served.some((path) => path.startsWith(`${parent}/`));
    if (within || isOfRun(`/sys/${parent}`)) wanted.add(nearest(`/sys/${parent}`));
  }
  for (const path of served) {
    const folder = nearest(`/sys/${path}`);
    const isIn = (each: string) => `${folder}/`.startsWith(`${each}/`);
    if (folder !== `/sys/${path}` && ![...wanted].some(isIn)) wanted.add(folder);
  }
  const covered: Covered = new Map();
  const folders = [...wanted];
  const opened = await launcher.run(folders.map(openedFolder));
  for (const [index, folder] of folders.entries()) {
    const names = await cover(launcher, folder, opened[index]!);
    if (names !== undefined) covered.set(folder, names);
  }
  await launcher.run([...opened.map(close), ...served.flatMap((path) => bound(path, covered))]);
}

/** Binds what is served over its place, which is made where it is in memory. */
function bound(path: string, covered: Covered): Step[] {
  const target = `/sys/${path}`;
  const step = bind(`/dev/${sysfsFolder}/${path}`, target);
  const folder = [...covered.keys()].find((each) => target.startsWith(`${each}/`));
  const ofHost = folder === undefined || covered.get(folder)!.includes(firstBelow(folder, target));
  if (!ofHost) return [...foldersTo(target, folder), step];
  if (existsSync(target)) return [step];
  const near = nearest(target);
  return folder === undefined && isOfRun(near) ? [...foldersTo(target, near), step] : [];
}

function firstBelow(folder: string, path: string): string {
  return path.slice(folder.length + 1).split('/', 1)[0]!;
}

/** Makes the folders from below `folder` to `target`. */
function foldersTo(target: string, folder: string): Step[] {
  return target === folder ? [] : [...foldersTo(dirname(target), folder), makeFolder(target)];
}

function nearest(folder: string): string {
  return existsSync(folder) ? folder : nearest(dirname(folder));
}

/** `old`: descriptor of the folder as it was. @returns the names in it; undefined: it could not be done. */
async function cover(launcher: ScriptedProcess, folder: string, old: number): Promise<string[] | undefined> {
  const names = readdirSync(folder, { withFileTypes: true });
  const ours = names.filter((entry) => !isOfOuterRun(`${folder}/${entry.name}`, entry));
  const repeated = ours.flatMap((entry) => repeat(`/proc/self/fd/${old}`, folder, entry));
  const done = await could(launcher, [mountMemory(folder)]);
  const filled = done && (await could(launcher, repeated));
  if (done && !filled) await launcher.run([unmount(folder)]);
  return filled ? ours.map(({ name }) => name) : undefined;
}

async function could(launcher: ScriptedProcess, steps: readonly Step[]): Promise<boolean> {
  try {
    await launcher.run(steps);
    return true;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}

/** A run inside a run hides the outer one's files in /dev, so what that shows in /sys goes too. */
function isOfOuterRun(path: string, entry: Dirent): boolean {
  return entry.isDirectory() && isOfRun(path);
}

/** The host's entry of `folder`, which is at `from`, where it was. */
function repeat(from: string, folder: string, entry: Dirent): Step[] {
  const to = `${folder}/${entry.name}`;
  if (entry.isSymbolicLink()) return [makeLink(readlinkSync(to), to)];
  const place = entry.isDirectory() ? makeFolder(to) : makeFile(to);
  const bound = [place, bind(`${from}/${entry.name}`, to)];
  return hostBus.test(to) ? [...bound, makeReadOnly(to)] : bound;
}

function makeFolder(path: string): Step {
  const what = `the folder ${path} cannot be made`;
  return { call: 'mkdirat', args: [AT_FDCWD, path, 0o777], what, despite: Errno.EEXIST };
}

function makeLink(target: string, path: string): Step {
  return { call: 'symlinkat', args: [target, AT_FDCWD, path], what: `the link ${path} cannot be made` };
}

function makeFile(path: string): Step {
  return {
    call: 'mknodat',
    args: [AT_FDCWD, path, REGULAR_FILE, 0],
    what: `the file ${path} cannot be made`,
  };
}

function close(fd: number): Step {
  return { call: 'close', args: [fd], what: `descriptor ${fd} cannot be closed` };
}
