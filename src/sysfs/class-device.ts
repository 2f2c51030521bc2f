/**
 * ClassDevice: a character device as sysfs shows it: a folder in that of the device which it belongs to, and
 * links to it from its class and from its number.
 */
import type { Entry, Folder, Link } from '../file/attributes.js';
import { toRoot } from './bus-device.js';
import { uevent } from './uevent.js';
import { shown } from './values.js';

/** Its device number and its path below /dev. */
export interface CharacterDevice {
  readonly major: number;
  readonly minor: number;
  readonly devName: string;
}

export class ClassDevice {
  readonly name: string;
  /** `511:0`. */
  readonly number: string;
  readonly folder: Folder;
  /** What leads to it from /sys/class/CLASS and /sys/dev/char. */
  readonly link: Link;

  /**
   * `path` is that of its folder, below /sys; what it belongs to is `above` folders above it. `kind` is its
   * class; undefined: it has none.
   */
  constructor(
    kind: string | undefined,
    path: string,
    above: number,
    { major, minor, devName }: CharacterDevice,
  ) {
    const owner = path.split('/').at(-1 - above);
    this.name = path.slice(path.lastIndexOf('/') + 1);
    this.number = `${major}:${minor}`;
    this.link = { kind: 'link', target: `../../${path}` };
    const entries = new Map<string, Entry>([
      ['dev', shown(() => this.number)],
      ['uevent', uevent(() => [`MAJOR=${major}`, `MINOR=${minor}`, `DEVNAME=${devName}`])],
    ]);
    if (kind !== undefined) {
      entries.set('device', { kind: 'link', target: `${'../'.repeat(above + 1)}${owner}` });
      entries.set('subsystem', { kind: 'link', target: `${toRoot(path)}class/${kind}` });
    }
    this.folder = { kind: 'folder', entries: () => entries };
  }
}
