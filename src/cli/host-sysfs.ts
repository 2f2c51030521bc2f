/**
 * The host's own entries in /sys, as they are shown beside the machine's: the folders and the links, as they
 * were at the start. Its files are left out, so nothing that is written there reaches the host.
 */
import { type Dirent, existsSync, readdirSync, readFileSync, readlinkSync, statfsSync } from 'node:fs';
import { type Entry, type Folder, folderOf } from '../file/attributes.js';

const TMPFS_MAGIC = 0x01021994;
const FUSE_MAGIC = 0x65735546;

/** Where a run shows anything, below /sys (sysfs-mount.ts). */
const shownIn = 'kernel|module|class|bus|devices|dev';
let mayBeOfRun: boolean | undefined;

/**
 * Does `path`, there, lead to what an outer run shows? In sysfs itself nothing is in memory, or served. Where
 * nothing such is mounted, which the kernel's list says once, none of some hundred entries is asked.
 */
export function isOfRun(path: string): boolean {
  mayBeOfRun ??= isShown('/sys') || hasShown(readFileSync('/proc/self/mountinfo', 'latin1'));
  return mayBeOfRun && isShown(path);
}

function isShown(path: string): boolean {
  return existsSync(path) && [TMPFS_MAGIC, FUSE_MAGIC].includes(statfsSync(path).type);
}

/** Is anything there in memory, or served, by the list `mountinfo` of proc_pid_mountinfo(5)? */
export function hasShown(mountinfo: string): boolean {
  return new RegExp(`^(\\S+ ){4}/sys/(${shownIn})[/ ].* - (tmpfs|fuse\\S*) `, 'm').test(mountinfo);
}

/** The requester ids of the host's own functions. */
export function hostFunctions(): string[] {
  const folder = '/sys/bus/pci/devices';
  return existsSync(folder) ? readdirSync(folder).filter((name) => !isOfRun(`${folder}/${name}`)) : [];
}

/** Is an outer run's folder at `path` of /sys? */
export function isOuter(path: string): boolean {
  return isOfRun(`/sys/${path}`);
}

/**
 * `ours`, with what the host has in the folder at `path` of /sys beside it. A run inside a run hides the
 * outer one's files in /dev, so its devices are left out.
 */
export function besideHost(path: string, ours: Folder): Folder {
  const folder = `/sys/${path}`;
  return existsSync(folder) ? overlaid(pictureOf(folder, isOuter(path)), ours) : ours;
}

function pictureOf(folder: string, nested: boolean): Folder {
  return folderOf(
    readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const pictured = pictureOfEntry(`${folder}/${entry.name}`, entry, nested);
      return pictured === undefined ? [] : [[entry.name, pictured] as const];
    }),
  );
}

function pictureOfEntry(path: string, entry: Dirent, nested: boolean): Entry | undefined {
  if (entry.isDirectory()) {
    const folder = pictureOf(path, nested);
    return nested && folder.entries().size === 0 ? undefined : folder;
  }
  if (!entry.isSymbolicLink() || (nested && isOfRun(path))) return undefined;
  return { kind: 'link', target: readlinkSync(path) };
}

/** `above` wins, but for folders that both have. */
function overlaid(below: Folder, above: Folder): Folder {
  const merged = new Map<Folder, Folder>();
  const both = (folder: Folder, other: Entry | undefined) => {
    if (other?.kind !== 'folder') return folder;
    const known = merged.get(folder) ?? overlaid(other, folder);
    merged.set(folder, known);
    return known;
  };
  return {
    kind: 'folder',
    entries: () => {
      const entries = new Map(below.entries());
      for (const [name, entry] of above.entries())
        entries.set(name, entry.kind === 'folder' ? both(entry, entries.get(name)) : entry);
      return entries;
    },
  };
}
