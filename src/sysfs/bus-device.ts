/**
 * BusDevice: something on a bus, as sysfs shows it: a folder below /sys/devices, a link to it from the bus,
 * and when a driver has it, links from one to the other.
 */
import type { Entry, Folder, Link } from '../file/attributes.js';
import type { Sliced, Work } from '../file/work.js';

/** A folder of sysfs, by its path below it. */
export type SysfsFolder = readonly [path: string, folder: Folder];

/** How a driver gets and gives up a device. */
export interface Binding {
  readonly driver: string;
  /** Is the device one for that driver? Absent: it is. */
  matches?(): boolean;
  isBound(): boolean;
  bind(): Sliced<void>;
  unbind(): Work<void>;
}

export class BusDevice {
  readonly name: string;
  /** Of its folder, below /sys. */
  readonly path: string;
  readonly binding: Binding | undefined;
  readonly folder: Folder;
  /** What leads to it from the folder of all devices of the bus, and from that of its driver. */
  readonly fromBus: Link;
  readonly fromDriver: Link;

  /**
   * `bus` and `path` are the folders of the bus and of the device, below /sys; `entries` are what is always
   * in that, `coming` what is in it now.
   */
  constructor(
    bus: `bus/${string}`,
    path: string,
    entries: readonly (readonly [string, Entry])[],
    {
      binding,
      coming = () => [],
    }: { binding?: Binding; coming?: () => readonly (readonly [string, Entry])[] } = {},
  ) {
    const up = toRoot(path);
    this.name = path.slice(path.lastIndexOf('/') + 1);
    this.path = path;
    this.binding = binding;
    this.fromBus = { kind: 'link', target: `../../../${path}` };
    this.fromDriver = { kind: 'link', target: `../../../../${path}` };
    const subsystem: Link = { kind: 'link', target: `${up}${bus}` };
    const driver: Link = { kind: 'link', target: `${up}${bus}/drivers/${binding?.driver}` };
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

/** Where the folder of the function at `rid` is, below /sys. */
export function functionPath(rid: string): string {
  return `devices/pci${rid.slice(0, rid.lastIndexOf(':'))}/${rid}`;
}

/** From the folder at `path` to /sys. */
export function toRoot(path: string): string {
  return '../'.repeat(path.split('/').length);
}
