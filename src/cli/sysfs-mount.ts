/**
 * The machine's folders in the command's /sys, which are served: each is bound over what the host has at that
 * place. Where the host has nothing, a file system in memory is put over the nearest folder above, with the
 * host's own entries in it as they were.
 *
 * A folder that cannot be covered stays as it is: whoever needs no /sys runs all the same.
 */
import {
  closeSync,
  type Dirent,
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path/posix';
import { Refusal } from '../linux/errno.js';
import { bind, makeReadOnly, mountMemory, openFolder, unmount } from '../linux/namespaces.js';
import { isOfRun } from './host-sysfs.js';
import { sysfsFolder } from './launch-plan.js';

/** Folders of the host's in which some may be served: covered first, so that an inner run sees it. */
const parents = ['kernel/iommu_groups', 'module', 'class', 'bus', 'devices', 'dev'];

/** The host's own functions: who writes to ours by a wrong number is to do no harm there. */
const hostBus = /^\/sys\/devices\/pci[^/]*$/;

/** Folders that are in memory now. What they have of the host is bound into them, and no part of them. */
const covered = new Set<string>();

/** Shows what is served, by paths below /sys, in this process's mount namespace. */
export function showSysfs(served: readonly string[]): void {
  if (!existsSync('/sys/kernel')) return;
  for (const parent of parents) {
    const within = served.some((path) => path.startsWith(`${parent}/`));
    if (within || isOfRun(`/sys/${parent}`)) cover(nearest(`/sys/${parent}`));
  }
  for (const path of served) bindServed(path);
}

function bindServed(path: string): void {
  const target = `/sys/${path}`;
  if (!existsSync(target)) {
    const folder = nearest(target);
    if (![...covered].some((each) => `${folder}/`.startsWith(`${each}/`))) cover(folder);
    if (!isOfRun(folder)) return;
    mkdirSync(target, { recursive: true });
  }
  bind(`/dev/${sysfsFolder}/${path}`, target);
}

function nearest(folder: string): string {
  return existsSync(folder) ? folder : nearest(dirname(folder));
}

function cover(folder: string): void {
  const old = openFolder(folder);
  try {
    const names = readdirSync(folder, { withFileTypes: true });
    mountMemory(folder);
    try {
      for (const entry of names) {
        const path = `/proc/self/fd/${old}/${entry.name}`;
        if (!isOfOuterRun(path, entry)) repeat(path, `${folder}/${entry.name}`, entry);
      }
    } catch (error) {
      unmount(folder);
      throw error;
    }
    covered.add(folder);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  } finally {
    closeSync(old);
  }
}

/** A run inside a run hides the outer one's files in /dev, so what that shows in /sys goes too. */
function isOfOuterRun(path: string, entry: Dirent): boolean {
  return entry.isDirectory() && isOfRun(path);
}

/** The host's entry `from`, at the path `to`. */
function repeat(from: string, to: string, entry: Dirent): void {
  if (entry.isSymbolicLink()) {
    symlinkSync(readlinkSync(from), to);
    return;
  }
  if (entry.isDirectory()) mkdirSync(to);
  else writeFileSync(to, '');
  bind(from, to);
  if (hostBus.test(to)) makeReadOnly(to);
}
