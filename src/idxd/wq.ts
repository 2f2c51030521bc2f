/**
 * A work queue as it is configured: its group, size, mode and limits, what it is for, and what may be changed
 * of that when. Which of it has got into the device the device's driver knows (device.ts).
 *
 * The rules, their order and their errnos are those of Linux 7.3's driver. A setter is given undefined where
 * what was written is no value at all, since Linux asks for other things before that.
 */
import { refuse } from '../linux/errno.js';
import { checkGroup, type DeviceState, given } from './state.js';

export type WqType = 'none' | 'kernel' | 'user';

const DEFAULT_TRANSFER = 2 ** 21;
const DEFAULT_BATCH = 32;
/** Of one that has a purpose and no size. */
const DEFAULT_SIZE = 16;
const DEFAULT_RETRIES = 32;
const MOST_RETRIES = 64;
const MOST_PRIORITY = 15;
const MOST_NAME = 1024;
const MOST_DRIVER_NAME = 128;

export class IdxdWq {
  readonly id: number;
  /** `wq0.3`: its file below /dev/dsa. */
  readonly path: string;
  readonly #device: DeviceState;
  enabled = false;
  /** The minor number of its file; undefined: it has none now. */
  minor: number | undefined;
  /** Times that it was enabled: what was opened before the last time has nothing of it any more. */
  enablings = 0;
  /** Files of it that are open, of the last enabling. */
  clients = 0;
  /** What the device is told of whose memory a dedicated one means: 0 before it is opened. */
  pasid = 0;
  type: WqType = 'none';
  #name = '';
  #driverName = '';
  #group = -1;
  #dedicated = false;
  #size = 0;
  #priority = 0;
  #blockOnFault = false;
  #threshold = 0;
  #maxTransfer = DEFAULT_TRANSFER;
  #maxBatch = DEFAULT_BATCH;
  #retries = DEFAULT_RETRIES;
  #operations: bigint;

  constructor(device: DeviceState, id: number) {
    this.#device = device;
    this.id = id;
    this.path = `wq${device.id}.${id}`;
    this.#operations = device.caps.opcap;
  }

  /** The number of its group; -1: none. */
  get group(): number {
    return this.#group;
  }

  /** @throws Refusal EINVAL no such group; EPERM read-only or enabled. */
  setGroup(value: number | undefined): void {
    const group = given(value, `the group of ${this.path}`);
    this.#device.checkConfigurable();
    this.#checkDisabled('EPERM');
    checkGroup(this.#device, group);
    this.#group = group;
  }

  get dedicated(): boolean {
    return this.#dedicated;
  }

  /** @throws Refusal EPERM read-only or enabled; EINVAL. */
  setDedicated(value: boolean | undefined): void {
    this.#device.checkConfigurable();
    this.#checkDisabled('EPERM');
    this.#dedicated = given(value, `the mode of ${this.path}`);
    if (this.#dedicated) this.#threshold = 0;
  }

  /** Descriptors that it has room for. */
  get size(): number {
    return this.#size;
  }

  /**
   * @param claimed the sizes of all work queues together. @throws Refusal EINVAL more than the device has;
   * EPERM read-only, or the device is enabled.
   */
  setSize(value: number | undefined, claimed: number): void {
    const size = given(value, `the size of ${this.path}`);
    this.#device.checkConfigurable();
    this.#device.checkDisabled(`the size of ${this.path}`);
    const left = this.#device.caps.wqSize - (claimed - this.#size);
    if (size > left) refuse('EINVAL', `${this.path} cannot have ${size} descriptors: ${left} are left`);
    this.#size = size;
  }

  get priority(): number {
    return this.#priority;
  }

  /** @throws Refusal EINVAL above 15; EPERM read-only or enabled. */
  setPriority(value: number | undefined): void {
    const priority = given(value, `the priority of ${this.path}`);
    this.#device.checkConfigurable();
    this.#checkDisabled('EPERM');
    if (priority > MOST_PRIORITY) refuse('EINVAL', `priority ${priority} of ${this.path} is above 15`);
    this.#priority = priority;
  }

  get blockOnFault(): boolean {
    return this.#blockOnFault;
  }

  /** @throws Refusal EOPNOTSUPP the device cannot; EPERM read-only; ENXIO enabled; EINVAL. */
  setBlockOnFault(value: boolean | undefined): void {
    if (!this.#device.caps.blockOnFault)
      refuse('EOPNOTSUPP', `${this.#device.name} does not block on faults`);
    this.#device.checkConfigurable();
    this.#checkDisabled('ENXIO');
    this.#blockOnFault = given(value, `block on fault of ${this.path}`);
  }

  /** Descriptors up to which a shared one takes those of users. */
  get threshold(): number {
    return this.#threshold;
  }

  /** @throws Refusal EINVAL not from 1 to its size, or it is dedicated; EPERM read-only; ENXIO enabled. */
  setThreshold(value: number | undefined): void {
    const threshold = given(value, `the threshold of ${this.path}`);
    if (threshold < 1 || threshold > this.#size)
      refuse('EINVAL', `threshold ${threshold} of ${this.path} is not from 1 to its size, ${this.#size}`);
    this.#device.checkConfigurable();
    this.#checkDisabled('ENXIO');
    if (this.#dedicated) refuse('EINVAL', `${this.path} is dedicated, and has no threshold`);
    this.#threshold = threshold;
  }

  /** @throws Refusal EPERM enabled; EINVAL. A change clears its name. */
  setType(value: WqType | undefined): void {
    this.#checkDisabled('EPERM');
    const type = given(value, `the type of ${this.path}`);
    if (type !== this.type) this.#name = '';
    this.type = type;
  }

  get name(): string {
    return this.#name;
  }

  /** As it was written: spaces around it are not kept. @throws Refusal EPERM enabled; EINVAL. */
  setName(text: string): void {
    this.#checkDisabled('EPERM');
    this.#name = this.#checkedName(text, MOST_NAME);
  }

  /** The driver that is to have it, `user`. */
  get driverName(): string {
    return this.#driverName;
  }

  /** As setName. */
  setDriverName(text: string): void {
    this.#checkDisabled('EPERM');
    this.#driverName = this.#checkedName(text, MOST_DRIVER_NAME);
  }

  /** Bytes that one descriptor may move, a power of two. */
  get maxTransfer(): number {
    return this.#maxTransfer;
  }

  /**
   * Rounds up, and what is above 2^63 to 1. @throws Refusal EPERM read-only or enabled; EINVAL 0, or more
   * than the device can.
   */
  setMaxTransfer(value: bigint | undefined): void {
    this.#maxTransfer = this.#power(value, this.#device.caps.maxTransfer, 'bytes of a transfer');
  }

  /** Descriptors of a batch, a power of two. */
  get maxBatch(): number {
    return this.#maxBatch;
  }

  /** As setMaxTransfer. */
  setMaxBatch(value: bigint | undefined): void {
    this.#maxBatch = this.#power(value, this.#device.caps.maxBatch, 'descriptors of a batch');
  }

  /** Times that write(2) tries again where a shared one is full. @throws Refusal EOPNOTSUPP dedicated. */
  get retries(): number {
    this.#checkShared();
    return this.#retries;
  }

  /** No more than 64 are kept. @throws Refusal EOPNOTSUPP dedicated; EINVAL. */
  setRetries(value: number | undefined): void {
    this.#checkShared();
    this.#retries = Math.min(given(value, `the retries of ${this.path}`), MOST_RETRIES);
  }

  /** Bit n: descriptors with opcode n may be executed. */
  get operations(): bigint {
    return this.#operations;
  }

  /** @throws Refusal EPERM enabled; EINVAL operations that the device has not. */
  setOperations(value: bigint | undefined): void {
    this.#checkDisabled('EPERM');
    const operations = given(value, `the operations of ${this.path}`);
    if ((operations & ~this.#device.caps.opcap) !== 0n)
      refuse('EINVAL', `${this.#device.name} has not all of the operations 0x${operations.toString(16)}`);
    this.#operations = operations;
  }

  /** One that is for something has a size when it gets into the device. */
  settleSize(): void {
    if (this.#size === 0 && this.type !== 'none') this.#size = DEFAULT_SIZE;
  }

  /** As it is after it was disabled: what it may do, and its name, are forgotten. */
  clear(): void {
    this.enabled = false;
    this.#threshold = 0;
    this.#priority = 0;
    this.#retries = DEFAULT_RETRIES;
    this.#dedicated = false;
    this.#blockOnFault = false;
    this.#name = '';
    this.#maxTransfer = DEFAULT_TRANSFER;
    this.#maxBatch = DEFAULT_BATCH;
    this.#operations = this.#device.caps.opcap;
    this.pasid = 0;
  }

  /** As after a reset of the device. */
  clearAll(): void {
    this.clear();
    this.#size = 0;
    this.#group = -1;
  }

  #checkDisabled(errno: 'EPERM' | 'ENXIO'): void {
    if (this.enabled) refuse(errno, `${this.path} is enabled, and stays as it is`);
  }

  #checkShared(): void {
    if (this.#dedicated) refuse('EOPNOTSUPP', `${this.path} is dedicated: nothing is tried again`);
  }

  #checkedName(text: string, most: number): string {
    const bytes = Buffer.byteLength(text, 'latin1');
    if (bytes === 0 || bytes > most)
      refuse('EINVAL', `a name of ${bytes} bytes for ${this.path} is not of 1 to ${most}`);
    return text.trim();
  }

  #power(value: bigint | undefined, most: number, what: string): number {
    this.#device.checkConfigurable();
    this.#checkDisabled('EPERM');
    const power = powerFrom(given(value, `the most ${what} of ${this.path}`));
    if (power === 0 || power > most)
      refuse('EINVAL', `${value} ${what} of ${this.path} are not from 1 to ${most}`);
    return power;
  }
}

/** The next power of two from `value` on, as a 64-bit processor shifts: above 2^63 it comes out as 1. */
function powerFrom(value: bigint): number {
  if (value <= 1n || value > 2n ** 63n) return value === 0n ? 0 : 1;
  return 2 ** (value - 1n).toString(2).length;
}
