/**
 * The bus `dsa` in sysfs: its devices, and the drivers `idxd` (of devices) and `user` (of work queues), to
 * which a name is written to bind or unbind that device.
 *
 * Drivers that Linux has besides are not there: `dmaengine`, which would have the kernel use a work queue,
 * and `dsa`, which programs used before Linux 5.15.
 */
import { type Attribute, type Entry, type Folder, folderOf } from '../file/attributes.js';
import type { Work } from '../file/work.js';
import type { IdxdDevice } from '../idxd/device.js';
import { refuse } from '../linux/errno.js';
import { type BusDevice, comingFolder } from './bus-device.js';
import { DsaDevices } from './dsa-devices.js';
import { word } from './numbers.js';

const drivers = ['idxd', 'user'] as const;

export class DsaBus {
  readonly #devices: readonly DsaDevices[];
  readonly #used: readonly IdxdDevice[];

  constructor(devices: readonly IdxdDevice[]) {
    this.#used = devices;
    this.#devices = devices.map((device) => new DsaDevices(device));
  }

  /** Its folders below /sys, by their paths: that of the bus, and one for each function. */
  folders(): readonly (readonly [path: string, folder: Folder])[] {
    const bus = folderOf([
      ['devices', comingFolder(() => this.#now().map(({ name, fromBus }) => [name, fromBus]))],
      ['drivers', folderOf(drivers.map((driver) => [driver, this.#driver(driver)]))],
    ]);
    return [
      ['bus/dsa', bus],
      ...this.#devices.map(({ path, device }) => [path, folderOf([[device.name, device.folder]])] as const),
    ];
  }

  #now(): BusDevice[] {
    return this.#devices.flatMap((devices) => devices.now());
  }

  #driver(driver: string): Folder {
    const bind = this.#taking((name) => this.#bind(driver, name));
    const unbind = this.#taking((name) => this.#unbind(driver, name));
    const isOurs = ({ binding }: BusDevice) => binding?.driver === driver && binding.isBound();
    return comingFolder(() => [
      ['bind', bind],
      ['unbind', unbind],
      ...this.#now()
        .filter(isOurs)
        .map(({ name, fromDriver }) => [name, fromDriver] as [string, Entry]),
    ]);
  }

  /** An attribute that takes the name of a device. What it does uses the whole of it. */
  #taking(act: (text: string) => Work<void>): Attribute {
    return { kind: 'attribute', store: act, uses: () => this.#used };
  }

  /** @throws Refusal ENODEV no such device, or none for this driver; EBUSY it has it; and as the driver. */
  *#bind(driver: string, text: string): Work<void> {
    const { binding, name } = this.#named(text);
    if (binding?.driver !== driver) refuse('ENODEV', `${name} is nothing for driver ${driver}`);
    if (binding.isBound()) refuse('EBUSY', `driver ${driver} has ${name} already`);
    yield* binding.bind();
  }

  /** @throws Refusal ENODEV no such device, or the driver has it not. */
  *#unbind(driver: string, text: string): Work<void> {
    const { binding, name } = this.#named(text);
    if (binding?.driver !== driver || !binding.isBound())
      refuse('ENODEV', `driver ${driver} does not have ${name}`);
    yield* binding.unbind();
  }

  #named(text: string): BusDevice {
    const found = this.#now().find(({ name }) => word(text, [name]) !== undefined);
    return found ?? refuse('ENODEV', `the bus has no device "${text}"`);
  }
}
