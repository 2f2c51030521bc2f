/**
 * The command register: one command at a time, some of which end only when work has drained.
 *
 * A command is issued, checks what it is given, and either has a status at once or leaves a condition to wait
 * for. CMDSTS shows Active until then. Codes and statuses: specification (see docs/dsa.md), 9.2.12, 5.8.3.
 */
import type { DmaPort } from '../device-model.js';
import type { Registers } from '../registers.js';
import { checkGroups } from './groups.js';
import { Command, CommandStatus, DeviceState, Register, type Shape, WqState } from './registers.js';
import type { Scheduler } from './scheduler.js';
import type { WorkQueue } from './work-queue.js';

/**
 * A command that waits: for descriptors that came before it (`marks`, one number for each of `wqs`, or a
 * PASID), then `done`.
 */
interface Waiting {
  readonly wqs: readonly WorkQueue[];
  readonly marks: readonly number[];
  readonly pasid?: number;
  done(): void;
}

/** What the commands act upon. */
export interface CommandTarget {
  readonly registers: Registers;
  readonly shape: Shape;
  readonly wqs: readonly WorkQueue[];
  readonly scheduler: Scheduler;
  readonly dma: DmaPort;
  /** Everything as after a software reset. */
  resetConfiguration(): void;
}

const nothing = (): void => {};

export class Commands {
  readonly #target: CommandTarget;
  #waiting: Waiting | undefined;

  constructor(target: CommandTarget) {
    this.#target = target;
  }

  /** Begins command `code`. @returns its status, or undefined: it is active until `poll` says otherwise. */
  issue(code: number, operand: number): number | undefined {
    switch (code) {
      case Command.ENABLE_DEVICE:
        return this.#enableDevice();
      case Command.DISABLE_DEVICE:
        return this.#disableDevice();
      case Command.DRAIN_ALL:
        return this.#wait(this.#target.wqs, nothing);
      case Command.ABORT_ALL:
        return this.#abort(this.#target.wqs);
      case Command.RESET_DEVICE:
        this.#target.resetConfiguration();
        return CommandStatus.SUCCESS;
      case Command.ENABLE_WQ:
        return this.#enableWq(operand);
      case Command.DISABLE_WQ:
      case Command.DRAIN_WQ:
      case Command.ABORT_WQ:
      case Command.RESET_WQ:
        return this.#forWqs(code, operand);
      case Command.DRAIN_PASID:
        return this.#wait(this.#target.wqs, nothing, operand);
      case Command.ABORT_PASID:
        this.#target.scheduler.abortPasid(operand);
        return CommandStatus.SUCCESS;
      default:
        return CommandStatus.INVALID_COMMAND;
    }
  }

  /** @returns the status of the active command when it has just ended. */
  poll(): number | undefined {
    const waiting = this.#waiting;
    if (waiting === undefined || !this.#isOver(waiting)) return undefined;
    this.#waiting = undefined;
    waiting.done();
    return CommandStatus.SUCCESS;
  }

  /** Forgets the active command. */
  cancel(): void {
    this.#waiting = undefined;
  }

  #isOver(waiting: Waiting): boolean {
    const { scheduler } = this.#target;
    if (waiting.pasid !== undefined && !scheduler.busy(waiting.pasid)) return true;
    return waiting.wqs.every((wq, i) => scheduler.drained(wq, waiting.marks[i]!));
  }

  #wait(wqs: readonly WorkQueue[], done: () => void, pasid?: number): number | undefined {
    this.#waiting = {
      wqs,
      marks: wqs.map((wq) => wq.accepted),
      done,
      ...(pasid === undefined ? {} : { pasid }),
    };
    return this.poll();
  }

  get #state(): number {
    return this.#target.registers.get(Register.GENSTS) & 3;
  }

  set #state(state: number) {
    this.#target.registers.set(Register.GENSTS, state);
  }

  #enableDevice(): number {
    const { registers, shape, wqs, scheduler } = this.#target;
    if (this.#state !== DeviceState.DISABLED) return CommandStatus.DEVICE_NOT_DISABLED;
    const total = wqs.reduce((sum, wq) => sum + wq.size, 0);
    if (total > shape.totalSize) return CommandStatus.WQ_SIZES_OUT_OF_RANGE;
    const status = checkGroups(registers, shape, (wq) => wqs[wq]!.size);
    if (status !== CommandStatus.SUCCESS) return status;
    scheduler.assign(registers, shape);
    this.#state = DeviceState.ENABLED;
    return CommandStatus.SUCCESS;
  }

  #disableDevice(): number | undefined {
    if (this.#state !== DeviceState.ENABLED) return CommandStatus.DISABLE_NOT_ENABLED;
    this.#state = DeviceState.DRAINING;
    return this.#wait(this.#close(this.#target.wqs), () => {
      for (const wq of this.#target.wqs) wq.state = WqState.DISABLED;
      this.#state = DeviceState.DISABLED;
    });
  }

  /** No more descriptors are accepted; those that were will still be executed. */
  #close(wqs: readonly WorkQueue[]): readonly WorkQueue[] {
    for (const wq of wqs) if (wq.state === WqState.ENABLED) wq.state = WqState.BUSY;
    return wqs;
  }

  #abort(wqs: readonly WorkQueue[]): number {
    for (const wq of wqs) this.#target.scheduler.abortWq(wq);
    return CommandStatus.SUCCESS;
  }

  #enableWq(index: number): number {
    const wq = this.#target.wqs[index];
    if (wq === undefined) return CommandStatus.INVALID_WQ;
    if (this.#state !== DeviceState.ENABLED) return CommandStatus.DEVICE_NOT_ENABLED;
    if (wq.state !== WqState.DISABLED) return CommandStatus.WQ_NOT_DISABLED;
    const status = this.#checkWq(wq);
    if (status === CommandStatus.SUCCESS) wq.enable();
    return status;
  }

  #checkWq(wq: WorkQueue): number {
    if (wq.size === 0) return CommandStatus.WQ_SIZE;
    if (wq.priority === 0) return CommandStatus.WQ_PRIORITY;
    if (!wq.shared && wq.pasidEnabled && wq.privileged) return CommandStatus.WQ_PRIVILEGED;
    if (!this.#mayUsePasid(wq)) return CommandStatus.WQ_PASID;
    const { maxBatchShift, maxTransferShift } = this.#target.shape;
    if (wq.maxBatchShift === 0 || wq.maxBatchShift > maxBatchShift) return CommandStatus.WQ_MAX_BATCH;
    return wq.maxTransferShift > maxTransferShift ? CommandStatus.WQ_MAX_TRANSFER : CommandStatus.SUCCESS;
  }

  /** A shared work queue takes the PASID of each descriptor, a dedicated one its own, or none. */
  #mayUsePasid(wq: WorkQueue): boolean {
    if (wq.shared) return wq.pasidEnabled;
    if (!wq.pasidEnabled) return true;
    return wq.pasid !== 0 && this.#target.dma.admits(wq.pasid);
  }

  /** Bits 15:0 of the operand choose among the sixteen work queues that bits 19:16 name. */
  #forWqs(code: number, operand: number): number | undefined {
    const chosen: WorkQueue[] = [];
    for (let bit = 0; bit < 16; bit++) {
      if (((operand >>> bit) & 1) === 0) continue;
      const wq = this.#target.wqs[(operand >>> 16) * 16 + bit];
      if (wq === undefined) return CommandStatus.INVALID_WQ;
      if (code !== Command.RESET_WQ && wq.state !== WqState.ENABLED) return CommandStatus.WQ_NOT_ENABLED;
      chosen.push(wq);
    }
    if (chosen.length === 0) return CommandStatus.INVALID_WQ;
    if (code === Command.DRAIN_WQ) return this.#wait(chosen, nothing);
    if (code === Command.DISABLE_WQ) return this.#wait(this.#close(chosen), () => this.#disableWqs(chosen));
    this.#abort(chosen);
    if (code === Command.RESET_WQ) for (const wq of chosen) wq.reset();
    return CommandStatus.SUCCESS;
  }

  #disableWqs(wqs: readonly WorkQueue[]): void {
    for (const wq of wqs) wq.state = WqState.DISABLED;
  }
}
