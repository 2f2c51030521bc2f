/** What was written below /sys, written again. */
import type { Entry } from '../file/attributes.js';
import type { Sliced } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import type { SysfsFolder } from '../sysfs/bus-device.js';
import type { CallRecord } from '../trace/call-record.js';
import { SYSFS } from '../trace/traced-folders.js';

/** Was the call on a file below /sys? */
export function isOfSysfs({ path }: CallRecord): boolean {
  return path.startsWith(SYSFS);
}

/** Writes into `folders` what was written; nothing where there is no such attribute now. @throws Refusal. */
export function writeAgain(folders: readonly SysfsFolder[], { path, transfer }: CallRecord): Sliced<void> {
  const entry = found(folders, path.slice(SYSFS.length));
  const { offset = 0, bytes } = transfer ?? refuse('EINVAL', `nothing is written to ${path}`);
  if (entry?.kind === 'attribute') return entry.store?.(Buffer.from(bytes).toString('latin1'));
  if (entry?.kind === 'binary') entry.write(offset, bytes);
}

function found(folders: readonly SysfsFolder[], path: string): Entry | undefined {
  const [at, folder] = folders.find(([each]) => path.startsWith(`${each}/`)) ?? [];
  if (at === undefined) return undefined;
  return path
    .slice(at.length + 1)
    .split('/')
    .reduce<Entry | undefined>(
      (entry, name) => (entry?.kind === 'folder' ? entry.entries().get(name) : undefined),
      folder,
    );
}
