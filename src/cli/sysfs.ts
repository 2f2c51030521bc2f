/**
 * What programs look up in /sys before they open a device, as `run` serves it: the folders of the machine
 * (../sysfs), those that the host has too with its own entries beside ours. The launcher shows them to the
 * command only (sysfs-mount.ts).
 */
import type { TreeEntry } from '../devfs/fuse-server.js';
import { type Folder, folderOf } from '../file/attributes.js';
import type { Machine } from '../machine/machine.js';
import { besideHost, isOuter } from './host-sysfs.js';
import { sysfsFolder } from './launch-plan.js';

/** Folders in which the host may have devices of its own. */
const shared = ['bus/pci', 'bus/mdev', 'bus/vdpa', 'class/iommu', 'class/vfio-dev', 'dev/char'];

/** A folder of /sys that is served, by its path below that. */
export type ServedFolder = readonly [path: string, folder: Folder];

export function servedFolders({ sysfs }: Machine): ServedFolder[] {
  const folders = new Map(sysfs);
  // Of an outer run's the host's part stays.
  for (const path of shared) if (!folders.has(path) && isOuter(path)) folders.set(path, folderOf([]));
  return [...folders].map(([path, folder]) => [
    path,
    shared.includes(path) ? besideHost(path, folder) : folder,
  ]);
}

/** The served folders below /dev, for the launcher to bind. */
export function servedEntries(folders: readonly ServedFolder[]): TreeEntry[] {
  return folders.map(([path, folder]) => ({ path: `${sysfsFolder}/${path}`, kind: 'dir', folder }));
}
