/**
 * A group of work queues and engines, as it is configured: its part of the read buffers and its traffic
 * classes. Who is in it they know themselves.
 */
import { refuse } from '../linux/errno.js';
import { type DeviceState, given } from './state.js';

/** Traffic classes and limits that there are. */
const MOST_CLASS = 7;
const MOST_LIMIT = 3;
/** Up to this version the driver leaves traffic class 1 to everybody. */
const VERSION_2 = 0x200;

export class IdxdGroup {
  readonly id: number;
  readonly name: string;
  readonly #device: DeviceState;
  #reserved = 0;
  #allowed: number;
  #limited = false;
  #classes: [a: number, b: number];
  #limits: [descriptors: number, batches: number] = [0, 0];

  constructor(device: DeviceState, id: number) {
    this.#device = device;
    this.id = id;
    this.name = `group${device.id}.${id}`;
    this.#allowed = device.caps.readBuffers;
    this.#classes = initialClasses(device);
  }

  get readBuffersReserved(): number {
    return this.#reserved;
  }

  /** @throws Refusal EINVAL more than are left; EPERM read-only, or the device is enabled. */
  setReadBuffersReserved(value: number | undefined): void {
    const { caps, freeReadBuffers } = this.#device;
    const number = given(value, `the reserved read buffers of ${this.name}`);
    this.#checkWritable('read buffers');
    if (number > caps.readBuffers || number > freeReadBuffers + this.#reserved)
      refuse('EINVAL', `${number} read buffers for ${this.name} are more than the ${freeReadBuffers} left`);
    this.#device.freeReadBuffers += this.#reserved - number;
    this.#reserved = number;
  }

  get readBuffersAllowed(): number {
    return this.#allowed;
  }

  /** As above. @param engines that are in it: each needs four. */
  setReadBuffersAllowed(value: number | undefined, engines: number): void {
    const number = given(value, `the allowed read buffers of ${this.name}`);
    this.#checkWritable('read buffers');
    const most = this.#reserved + this.#device.freeReadBuffers;
    if (number < 4 * engines || number > most)
      refuse('EINVAL', `${this.name} may have ${4 * engines} to ${most} read buffers, not ${number}`);
    this.#allowed = number;
  }

  get useReadBufferLimit(): boolean {
    return this.#limited;
  }

  /** @throws Refusal EINVAL; EPERM read-only, the device is enabled, or has no limit of read buffers. */
  setUseReadBufferLimit(value: number | undefined): void {
    const number = given(value, `the use of a limit by ${this.name}`);
    this.#checkWritable('read buffers');
    const { name, readBufferLimit } = this.#device;
    if (readBufferLimit === 0) refuse('EPERM', `${name} has no limit of read buffers that could be used`);
    this.#limited = number !== 0;
  }

  /** Traffic class A (0) or B (1). */
  trafficClass(which: 0 | 1): number {
    return this.#classes[which];
  }

  /** @throws Refusal EINVAL no such class; EPERM read-only, enabled, or of a version before 3. */
  setTrafficClass(which: 0 | 1, value: number | undefined): void {
    const number = given(value, `a traffic class of ${this.name}`);
    this.#checkWritable('traffic classes');
    const { name, caps } = this.#device;
    if (caps.version <= VERSION_2)
      refuse('EPERM', `the driver leaves the traffic classes of ${name} as they are: its version is below 3`);
    if (number < 0 || number > MOST_CLASS) refuse('EINVAL', `traffic class ${number} is none of 0 to 7`);
    this.#classes[which] = number;
  }

  /** The limit of progress of descriptors (0) or batches (1). */
  progressLimit(which: 0 | 1): number {
    return this.#limits[which];
  }

  /** @throws Refusal EINVAL. */
  setProgressLimit(which: 0 | 1, value: number | undefined): void {
    const number = given(value, `a limit of progress of ${this.name}`);
    if (number < 0 || number > MOST_LIMIT) refuse('EINVAL', `limit ${number} of progress is none of 0 to 3`);
    this.#limits[which] = number;
  }

  /** GRPCFG's flags (specification, 9.2.23), the lower and the upper word. */
  flags(): [low: number, high: number] {
    const [a, b] = this.#classes.map((value, n) => (value < 0 ? n : value)) as [number, number];
    const low = a + b * 8 + (this.#limited ? 0x80 : 0) + this.#reserved * 2 ** 8 + this.#allowed * 2 ** 20;
    return [low, this.#limits[0] + this.#limits[1] * 2 ** 4];
  }

  /** As after a reset of the device. */
  clear(): void {
    this.#device.freeReadBuffers += this.#reserved;
    this.#reserved = 0;
    this.#allowed = this.#device.caps.readBuffers;
    this.#limited = false;
    this.#classes = initialClasses(this.#device);
    this.#limits = [0, 0];
  }

  #checkWritable(what: string): void {
    this.#device.checkConfigurable();
    this.#device.checkDisabled(what);
  }
}

function initialClasses({ caps }: DeviceState): [number, number] {
  return caps.version <= VERSION_2 ? [1, 1] : [-1, -1];
}
