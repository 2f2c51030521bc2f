/**
 * BusDevice: something on the bus `dsa`, as sysfs shows it: a folder below /sys/devices, a link to it from
 * the bus, and when a driver has it, links from one to the other.
 */
import type { Entry, Folder, Link } from '../file/attributes.js';
import type { Work } from '../file/work.js';

const BUS = 'bus/dsa';

/** How a driver gets and gives up a device. */
export interface Binding {
  readonly driver: string;
  isBound(): boolean;
  bind(): Work<void>;
  unbind(): Work<void>;
}

export class BusDevice {
  readonly name: string;
  readonly binding: Binding | undefined;
  readonly folder: Folder;
  /** What leads to it from the folder of all devices of the bus, and from that of its driver. */
  readonly fromBus: Link;
  readonly fromDriver: Link;

  /**
   * `path` is that of its folder, below /sys; `entries` are what is always in it, `coming` what is in it now.
   */
  constructor(
    path: string,
    entries: readonly (readonly [string, Entry])[],
    {
      binding,
      coming = () => [],
    }: { binding?: Binding; coming?: () => readonly (readonly [string, Entry])[] } = {},
  ) {
    const up = '../'.repeat(path.split('/').length);
    this.name = path.slice(path.lastIndexOf('/') + 1);
    this.binding = binding;
    this.fromBus = { kind: 'link', target: `../../../${path}` };
    this.fromDriver = { kind: 'link', target: `../../../../${path}` };
    const subsystem: Link = { kind: 'link', target: `${up}${BUS}` };
    const driver: Link = { kind: 'link', target: `${up}${BUS}/drivers/${binding?.driver}` };
    const always: readonly (readonly [string, Entry])[] = [...entries, ['subsystem', subsystem]];
    this.folder = {
      kind: 'folder',
      entries: () =>
        new Map([...always, ...(binding?.isBound() ? [['driver', driver] as const] : []), ...coming()]),
    };
  }
}

/** A folder of what is in it now, by name. */
export function comingFolder(entries: () => Iterable<readonly [string, Entry]>): Folder {
  return { kind: 'folder', entries: () => new Map(entries()) };
}
