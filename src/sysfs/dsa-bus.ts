/**
 * The bus `dsa` in sysfs: its devices, and the drivers `idxd` (of devices) and `user` (of work queues).
 *
 * Drivers that Linux has besides are not there: `dmaengine`, which would have the kernel use a work queue,
 * and `dsa`, which programs used before Linux 5.15.
 */
import type { IdxdDevice } from '../idxd/device.js';
import { Bus } from './bus.js';
import type { BusDevice, SysfsFolder } from './bus-device.js';
import { DsaDevices } from './dsa-devices.js';

const drivers = ['idxd', 'user'] as const;

export class DsaBus {
  readonly #devices: readonly DsaDevices[];
  readonly #bus: Bus;

  constructor(devices: readonly IdxdDevice[]) {
    this.#devices = devices.map((device) => new DsaDevices(device));
    const now = () => this.#devices.flatMap((each) => each.now());
    this.#bus = new Bus(now, () => devices);
  }

  /** By number: the folder of each is in that of its function. */
  get devices(): BusDevice[] {
    return this.#devices.map(({ device }) => device);
  }

  /** Its folder below /sys. */
  get folder(): SysfsFolder {
    return ['bus/dsa', this.#bus.folder(drivers.map((driver) => [driver, []]))];
  }
}
