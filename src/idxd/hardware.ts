/**
 * The registers and portals of a DSA, as its driver uses them. Source: specification (see docs/dsa.md), 9.
 *
 * One command runs at a time: whoever issues some does so in a call that uses the whole device
 * (OpenFile.uses), and has the device work until the command has ended.
 */
import type { CalledModel } from '../devices/called-model.js';
import {
  CMDSTS_ACTIVE,
  PORTAL_LIMITED,
  PORTAL_SIZE,
  PORTALS_PER_WQ,
  Register,
  TABLE_UNIT,
} from '../devices/dsa/registers.js';
import type { DeviceWork } from '../driver/device-work.js';
import type { Work } from '../file/work.js';

/** CMDSTS of a device that does not answer: what is none of its own codes. */
export const NO_ANSWER = 0xff;
const REGISTERS = 0;
const PORTALS = 2;

export class Hardware {
  readonly work: DeviceWork;
  /** Where the tables of groups and work queues begin. */
  readonly groupTable: number;
  readonly wqTable: number;
  readonly #model: CalledModel;
  readonly #bytes = new Uint8Array(8);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor(model: CalledModel, work: DeviceWork) {
    this.#model = model;
    this.work = work;
    const tables = this.get(Register.TABLE_OFFSET);
    this.groupTable = (tables & 0xffff) * TABLE_UNIT;
    this.wqTable = (tables >>> 16) * TABLE_UNIT;
  }

  /** 32 bits. */
  get(offset: number): number {
    this.#model.readBar(REGISTERS, offset, this.#bytes.fill(0).subarray(0, 4));
    return this.#view.getUint32(0, true);
  }

  /** 64 bits. */
  getWide(offset: number): bigint {
    this.#model.readBar(REGISTERS, offset, this.#bytes.fill(0));
    return this.#view.getBigUint64(0, true);
  }

  /** 32 bits. */
  set(offset: number, value: number): void {
    this.#view.setUint32(0, value, true);
    this.#model.writeBar(REGISTERS, offset, this.#bytes.subarray(0, 4));
  }

  /** @returns the status that command `code` has ended with (CMDSTS bits 7:0). */
  *command(code: number, operand = 0): Work<number> {
    this.set(Register.CMD, code * 2 ** 20 + operand);
    let status = this.get(Register.CMDSTS);
    while (status >= CMDSTS_ACTIVE) {
      this.work.step();
      yield;
      status = this.get(Register.CMDSTS);
    }
    return this.work.calls.failure === undefined ? status & 0xff : NO_ANSWER;
  }

  /** As `command`, for work queue `wq` alone. */
  commandWq(code: number, wq: number): Work<number> {
    return this.command(code, 2 ** (wq % 16) + Math.floor(wq / 16) * 2 ** 16);
  }

  /**
   * 64 bytes to the limited portal of work queue `wq`, at byte `offset` of it. @returns false: try again
   * (ENQCMD's ZF).
   */
  submit(wq: number, offset: number, descriptor: Uint8Array): boolean {
    const portal = (wq * PORTALS_PER_WQ + PORTAL_LIMITED) * PORTAL_SIZE;
    return this.#model.writeBar(PORTALS, portal + offset, descriptor);
  }
}
