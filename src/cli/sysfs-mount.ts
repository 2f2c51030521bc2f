/**
 * The machine's entries in the command's /sys: a file system in memory over each folder that has some, with
 * the host's own entries in it as they were. Folders that are served are bound into such a one, or over what
 * the host has at that place.
 *
 * Where the host has no such folder (a kernel without PCI or IOMMUs), the nearest folder above takes its
 * place. A folder that cannot be covered stays as it is: whoever needs no /sys runs all the same.
 */
import {
  closeSync,
  type Dirent,
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path/posix';
import { Refusal } from '../linux/errno.js';
import { bind, mountMemory, openFolder, unmount } from '../linux/namespaces.js';
import { type SysfsEntry, sysfsFolder } from './launch-plan.js';

const TMPFS_MAGIC = 0x01021994;
const FUSE_MAGIC = 0x65735546;

/** That of mediated devices may be made by covering that of all buses, so it comes before others there. */
const folders = ['kernel/iommu_groups', 'bus/mdev/devices', 'bus/pci/devices', 'module'];

/** Those in which folders that an outer run serves may be. */
const outerFolders = ['bus', 'devices'];

/** Folders that are in memory now. What they have of the host is bound into them, and no part of them. */
const covered = new Set<string>();

/** Shows `entries` and what is served in this process's mount namespace. */
export function showSysfs(entries: readonly SysfsEntry[], served: readonly string[]): void {
  if (!existsSync('/sys/kernel')) return;
  for (const folder of outerFolders) if (isOfRun(`/sys/${folder}`)) cover(`/sys/${folder}`, []);
  for (const folder of folders) {
    const within = entries.filter(({ path }) => path.startsWith(`${folder}/`));
    if (within.length > 0 || isOfRun(`/sys/${folder}`)) cover(nearest(`/sys/${folder}`), within);
  }
  for (const path of served) bindServed(path);
}

function bindServed(path: string): void {
  const target = `/sys/${path}`;
  if (!existsSync(target)) {
    const folder = nearest(target);
    if (![...covered].some((each) => `${folder}/`.startsWith(`${each}/`))) cover(folder, []);
    if (!isOfRun(folder)) return;
    mkdirSync(target, { recursive: true });
  }
  bind(`/dev/${sysfsFolder}/${path}`, target);
}

/** Is `folder` an outer run's? In sysfs itself no folder is in memory, or served. */
function isOfRun(folder: string): boolean {
  return existsSync(folder) && [TMPFS_MAGIC, FUSE_MAGIC].includes(statfsSync(folder).type);
}

function nearest(folder: string): string {
  return existsSync(folder) ? folder : nearest(dirname(folder));
}

function cover(folder: string, entries: readonly SysfsEntry[]): void {
  const ofFunctions = [...outerFolders, ...folders].some((each) => folder === `/sys/${each}`);
  const old = openFolder(folder);
  try {
    const names = readdirSync(folder, { withFileTypes: true });
    mountMemory(folder);
    try {
      for (const { path, target, content } of entries) {
        mkdirSync(dirname(`/sys/${path}`), { recursive: true });
        if (target !== undefined) symlinkSync(target, `/sys/${path}`);
        else writeFileSync(`/sys/${path}`, content ?? '', { encoding: 'latin1', mode: 0o444 });
      }
      for (const entry of names) {
        const path = `/proc/self/fd/${old}/${entry.name}`;
        if (existsSync(`${folder}/${entry.name}`) || (ofFunctions && isOfOuterRun(path, entry))) continue;
        repeat(path, `${folder}/${entry.name}`, entry);
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
}
