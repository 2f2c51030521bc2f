/**
 * SWERR: the register that holds the first error which no completion record could carry, until the program acknowledges it.
 *
 * Later errors only set its overflow bit. Fields: Linux, drivers/dma/idxd/registers.h, union sw_err_reg.
 */
import { Register, type RegisterImage } from './registers.js';
import type { Task } from './task.js';

/**
 * Error codes that are not completion status codes. 0x52 is the hardware's, as Intel's mdev emulation of this device had it. The hardware's
 * numbers for errors at a portal are not in any header of Linux; those are this model's own, in a range of their own.
 */
export const SoftwareErrorCode = {
  COMMAND_WHILE_ACTIVE: 0x52,
  PORTAL_WRITE_SIZE: 0xe0,
  WQ_NOT_ENABLED: 0xe1,
  DEDICATED_WQ_FULL: 0xe2,
  PASID_NOT_ADMITTED: 0xe3,
} as const;

const VALID = 0x01;
const OVERFLOW = 0x02;
const DESCRIPTOR_VALID = 0x04;
const WQ_VALID = 0x08;
const IN_BATCH = 0x10;
const WRITE = 0x20;
const PRIVILEGED = 0x40;

export class SoftwareError {
  readonly #image: RegisterImage;

  constructor(image: RegisterImage) {
    this.#image = image;
  }

  /** An error with nothing to say about a descriptor. @returns whether it was recorded: then an interrupt is due. */
  record(code: number, wq?: number): boolean {
    return this.#store(wq === undefined ? code * 2 ** 8 : WQ_VALID + code * 2 ** 8 + wq * 2 ** 16, 0, 0, 0, 0);
  }

  /** A PASID that must not be loaded. */
  recordPasid(code: number, wq: number, pasid: number): boolean {
    return this.#store(WQ_VALID + code * 2 ** 8 + wq * 2 ** 16, pasid * 2 ** 8, 0, 0, 0);
  }

  /** An error of `task`; `batchIndex` is its place in a batch, or -1. */
  recordTask(code: number, task: Task, wq: number, batchIndex: number, faultAddress: number, write: boolean): boolean {
    const d = task.descriptor;
    let low = DESCRIPTOR_VALID + WQ_VALID + code * 2 ** 8 + wq * 2 ** 16;
    if (batchIndex >= 0) low += IN_BATCH;
    if (write) low += WRITE;
    if (d.privileged) low += PRIVILEGED;
    return this.#store(low, d.opcode + task.pasid * 2 ** 8, Math.max(batchIndex, 0), task.invalidFlags, faultAddress);
  }

  /** Write-one-to-clear of the valid and overflow bits. */
  acknowledge(bits: number): void {
    this.#image.set(Register.SWERR, this.#image.get(Register.SWERR) & ~(bits & (VALID | OVERFLOW)));
  }

  #store(low: number, high: number, batchIndex: number, invalidFlags: number, faultAddress: number): boolean {
    const now = this.#image.get(Register.SWERR);
    if ((now & VALID) !== 0) {
      this.#image.set(Register.SWERR, now | OVERFLOW);
      return false;
    }
    this.#image.set(Register.SWERR, low + VALID);
    this.#image.set(Register.SWERR + 4, high);
    this.#image.set(Register.SWERR + 8, batchIndex);
    this.#image.set(Register.SWERR + 12, invalidFlags);
    this.#image.set(Register.SWERR + 16, faultAddress % 2 ** 32);
    this.#image.set(Register.SWERR + 20, Math.floor(faultAddress / 2 ** 32));
    return true;
  }
}
