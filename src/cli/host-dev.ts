/**
 * The machine's own /dev, as it is shown again inside `ioasid run`: symbolic links are repeated, everything
 * else gets a placeholder with the original bound over it. The exception is the device ptmx: the kernel opens
 * it only in a folder that has `pts` beside it, which a bound file has not, so it becomes a symbolic link
 * into the whole old /dev, kept as `/dev/.host`.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import type { TreeEntry } from '../devfs/fuse-server.js';
import { hostFolder, sysfsFolder } from './launch-plan.js';

/** Entries for the FUSE tree, and those of them that the launcher binds. */
export interface HostDev {
  readonly entries: readonly TreeEntry[];
  readonly binds: readonly string[];
}

/** Lists /dev without what the files of `ours` (paths below /dev) replace. */
export function hostDev(ours: readonly string[]): HostDev {
  const replaced = new Set(ours.map((path) => path.split('/')[0]));
  const entries: TreeEntry[] = [{ path: hostFolder, kind: 'dir' }];
  const binds: string[] = [];
  for (const entry of readdirSync('/dev', { withFileTypes: true })) {
    const path = entry.name;
    if (replaced.has(path) || path === hostFolder || path === sysfsFolder) continue;
    if (path === 'ptmx' && !entry.isSymbolicLink()) {
      entries.push({ path, kind: 'symlink', target: `${hostFolder}/ptmx` });
    } else if (entry.isSymbolicLink()) {
      entries.push({ path, kind: 'symlink', target: readlinkSync(`/dev/${path}`) });
    } else {
      entries.push({ path, kind: entry.isDirectory() ? 'dir' : 'file' });
      binds.push(path);
    }
  }
  return { entries, binds };
}
