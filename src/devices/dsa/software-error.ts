/**
 * SWERR: the register that holds the first error which no completion record could carry, until the program
 * acknowledges it.
 *
 * Later errors only set its overflow bit. Fields: specification (see docs/dsa.md), 9.2.15.
 */
import type { Registers } from '../registers.js';
import { Register } from './registers.js';
import type { Task } from './task.js';

/**
 * Error codes of what no descriptor in an engine has to do with: specification, 5.8. A PASID that the device
 * may not load is reported as what hardware would find out when it uses it: its requests for translation are
 * refused.
 */
export const SoftwareErrorCode = {
  TRANSLATION_REFUSED: 0x22,
  COMMAND_WHILE_ACTIVE: 0x52,
  DEDICATED_WQ_FULL: 0x53,
} as const;

const VALID = 0x01;
const OVERFLOW = 0x02;
const DESCRIPTOR_VALID = 0x04;
const WQ_VALID = 0x08;
const IN_BATCH = 0x10;
const WRITE = 0x20;
const PRIVILEGED = 0x40;

export class SoftwareError {
  readonly #registers: Registers;

  constructor(registers: Registers) {
    this.#registers = registers;
  }

  /**
   * An error with nothing to say about a descriptor. @returns whether it was recorded: then an interrupt is
   * due.
   */
  record(code: number, wq?: number): boolean {
    return this.#store(
      wq === undefined ? code * 2 ** 8 : WQ_VALID + code * 2 ** 8 + wq * 2 ** 16,
      0,
      0,
      0,
      0,
    );
  }

  /** A PASID that must not be loaded. */
  recordPasid(code: number, wq: number, pasid: number): boolean {
    return this.#store(WQ_VALID + code * 2 ** 8 + wq * 2 ** 16, pasid * 2 ** 8, 0, 0, 0);
  }

  /** An error of `task`; `batchIndex` is its place in a batch, or -1. */
  recordTask(
    code: number,
    task: Task,
    wq: number,
    batchIndex: number,
    faultAddress: number,
    write: boolean,
  ): boolean {
    const d = task.descriptor;
    let low = DESCRIPTOR_VALID + WQ_VALID + code * 2 ** 8 + wq * 2 ** 16;
    if (batchIndex >= 0) low += IN_BATCH;
    if (write) low += WRITE;
    if (d.privileged) low += PRIVILEGED;
    return this.#store(
      low,
      d.opcode + task.pasid * 2 ** 8,
      Math.max(batchIndex, 0),
      task.invalidFlags,
      faultAddress,
    );
  }

  #store(low: number, high: number, batchIndex: number, invalidFlags: number, faultAddress: number): boolean {
    const now = this.#registers.low(Register.SWERR);
    if ((now & VALID) !== 0) {
      this.#registers.set(Register.SWERR, now | OVERFLOW, this.#registers.high(Register.SWERR));
      return false;
    }
    this.#registers.set(Register.SWERR, low + VALID, high);
    this.#registers.set(Register.SWERR + 8, batchIndex, invalidFlags);
    this.#registers.set(Register.SWERR + 16, faultAddress);
    return true;
  }
}
