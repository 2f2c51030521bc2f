/** Files below /sys, found again by their paths. They come and go as a machine changes. */
import type { Attribute, BinaryAttribute, Entry } from '../file/attributes.js';
import { refuse } from '../linux/errno.js';
import type { SysfsFolder } from '../sysfs/bus-device.js';

const SYSFS = '/sys/';

/** Of `folders`, the attribute that is at `path` now. @throws Refusal ENOENT there is none. */
export function attributeAt(folders: readonly SysfsFolder[], path: string): Attribute | BinaryAttribute {
  const entry = entryAt(folders, path.slice(SYSFS.length));
  if (entry?.kind === 'attribute' || entry?.kind === 'binary') return entry;
  return refuse('ENOENT', `${path} is not there`);
}

function entryAt(folders: readonly SysfsFolder[], below: string): Entry | undefined {
  const [at, folder] = folders.find(([each]) => below.startsWith(`${each}/`)) ?? [];
  if (at === undefined) return undefined;
  return below
    .slice(at.length + 1)
    .split('/')
    .reduce<Entry | undefined>(
      (found, name) => (found?.kind === 'folder' ? found.entries().get(name) : undefined),
      folder,
    );
}
