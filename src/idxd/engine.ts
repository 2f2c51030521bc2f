/** An engine, as it is configured: the group that it works for. */
import { checkGroup, type DeviceState, given } from './state.js';

export class IdxdEngine {
  readonly id: number;
  readonly name: string;
  readonly #device: DeviceState;
  #group = -1;

  constructor(device: DeviceState, id: number) {
    this.#device = device;
    this.id = id;
    this.name = `engine${device.id}.${id}`;
  }

  /** The number of its group; -1: none. */
  get group(): number {
    return this.#group;
  }

  /** It takes effect when the device is enabled. @throws Refusal EINVAL no such group; EPERM read-only. */
  setGroup(value: number | undefined): void {
    const group = given(value, `the group of ${this.name}`);
    this.#device.checkConfigurable();
    checkGroup(this.#device, group);
    this.#group = group;
  }

  /** As after a reset of the device. */
  clear(): void {
    this.#group = -1;
  }
}
