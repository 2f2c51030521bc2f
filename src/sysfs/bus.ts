/**
 * Bus: a bus in sysfs: links to its devices, and its drivers, each with links to those that it has, and with
 * `bind` and `unbind`, to which the name of a device is written (Linux: drivers/base/bus.c).
 */
import { type Attribute, type Entry, type Folder, folderOf } from '../file/attributes.js';
import { type Work, workOf } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import { type BusDevice, comingFolder } from './bus-device.js';
import { word } from './numbers.js';

export class Bus {
  readonly #devices: () => readonly BusDevice[];
  readonly #uses: () => readonly object[];

  /** `devices` are those that there are now; `uses` is what a bind uses, as OpenFile.uses. */
  constructor(devices: () => readonly BusDevice[], uses: () => readonly object[] = () => []) {
    this.#devices = devices;
    this.#uses = uses;
  }

  /** Its folder, with the attributes `own`; `drivers` have more beside `bind` and `unbind`. */
  folder(
    drivers: Iterable<readonly [driver: string, entries: readonly (readonly [string, Entry])[]]>,
    own: readonly (readonly [string, Attribute])[] = [],
  ): Folder {
    const folders = [...drivers].map(([driver, rest]) => [driver, this.#driver(driver, rest)] as const);
    const devices = comingFolder(() => this.#devices().map(({ name, fromBus }) => [name, fromBus]));
    return folderOf([['devices', devices], ['drivers', folderOf(folders)], ...own]);
  }

  /** The device that `text` is the name of. @throws Refusal ENODEV. */
  named(text: string): BusDevice {
    const found = this.#devices().find(({ name }) => word(text, [name]) !== undefined);
    return found ?? refuse('ENODEV', `the bus has no device "${text}"`);
  }

  #driver(driver: string, rest: readonly (readonly [string, Entry])[]): Folder {
    const bind: Attribute = {
      kind: 'attribute',
      store: (name) => this.#bind(driver, name),
      uses: this.#uses,
    };
    const unbind: Attribute = { ...bind, store: (name) => this.#unbind(driver, name) };
    const isOurs = ({ binding }: BusDevice) => binding?.driver === driver && binding.isBound();
    return comingFolder(() => [
      ['bind', bind],
      ['unbind', unbind],
      ...rest,
      ...this.#devices()
        .filter(isOurs)
        .map(({ name, fromDriver }) => [name, fromDriver] as const),
    ]);
  }

  /** @throws Refusal ENODEV no such device, or none for this driver; EBUSY it has it; and as the driver. */
  *#bind(driver: string, text: string): Work<void> {
    const { binding, name } = this.named(text);
    if (binding?.driver !== driver || binding.matches?.() === false)
      refuse('ENODEV', `${name} is nothing for driver ${driver}`);
    if (binding.isBound()) refuse('EBUSY', `driver ${driver} has ${name} already`);
    yield* workOf(binding.bind());
  }

  /** @throws Refusal ENODEV no such device, or the driver has it not. */
  *#unbind(driver: string, text: string): Work<void> {
    const { binding, name } = this.named(text);
    if (binding?.driver !== driver || !binding.isBound())
      refuse('ENODEV', `driver ${driver} does not have ${name}`);
    yield* binding.unbind();
  }
}
