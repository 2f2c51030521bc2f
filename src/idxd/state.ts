/**
 * DeviceState: what a device, its engines, groups and work queues know of the device in common: what it can
 * do, whether it is enabled, and how the last command or refusal ended (`cmd_status`).
 */
import { refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';
import type { Capabilities } from './capabilities.js';

/** Codes of `cmd_status` that are Linux's and not the device's (enum idxd_scmd_stat, <linux/idxd.h>). */
export const Trouble = {
  DEVICE_ENABLED: 0x80000010,
  DEVICE_NOT_ENABLED: 0x80000020,
  WQ_ENABLED: 0x80000021,
  WQ_NO_GROUP: 0x80030000,
  WQ_NO_NAME: 0x80040000,
  WQ_NO_THRESHOLD: 0x80060000,
  WQ_NO_SHARING: 0x800c0000,
  NONE_CONFIGURED: 0x800d0000,
  WQ_NO_DRIVER_NAME: 0x80200000,
} as const;

export class DeviceState {
  /** The D of `dsaD`. */
  readonly id: number;
  readonly name: string;
  readonly caps: Capabilities;
  enabled = false;
  commandStatus = 0;
  /** Read buffers that no group has reserved. */
  freeReadBuffers: number;
  readBufferLimit = 0;

  constructor(id: number, caps: Capabilities) {
    this.id = id;
    this.name = `dsa${id}`;
    this.caps = caps;
    this.freeReadBuffers = caps.readBuffers;
  }

  /** @throws Refusal EPERM its configuration cannot be written. */
  checkConfigurable(): void {
    if (!this.caps.configurable) refuse('EPERM', `the configuration of ${this.name} is read-only`);
  }

  /** @throws Refusal EPERM it is enabled. */
  checkDisabled(what: string): void {
    if (this.enabled) refuse('EPERM', `${what} cannot be changed while ${this.name} is enabled`);
  }
}

/** @throws Refusal EINVAL nothing was given that `what` could be: undefined. */
export function given<T>(value: T | undefined, what: string): T {
  return value ?? refuse('EINVAL', `what was written is no value of ${what}`);
}

/** The number of the group that engines and work queues may be put in; -1: none. @throws Refusal EINVAL. */
export function checkGroup({ name, caps }: DeviceState, value: number): void {
  if (value >= -1 && value < caps.groups) return;
  refuse('EINVAL', `${name} has no group ${value}: its groups are 0 to ${caps.groups - 1}, -1 is none`);
}

/** The numbers that are in use of a kind that all devices share; the lowest that is free is the next. */
export class Numbers {
  readonly #taken = new Set<number>();

  take(): number {
    let number = 0;
    while (this.#taken.has(number)) number++;
    this.#taken.add(number);
    return number;
  }

  give(number: number): void {
    if (!this.#taken.delete(number)) broken(`number ${number} is given back by who has it not`);
  }
}

/** The numbers of all devices: minor numbers of work queues' files, and those of open files. */
export interface SharedNumbers {
  readonly minors: Numbers;
  readonly files: Numbers;
}
