/**
 * The device: registers in BAR0, portals in BAR2, and the work behind them.
 *
 * This file decides what a program's accesses mean; it keeps the invariant that no PASID gets into a work
 * queue or a descriptor slot that `dma.admits` has not admitted. Whole functions and mediated devices are the
 * same class with another `Preset`.
 */
import { hex } from '../../linux/errno.js';
import type { DeviceHost, DeviceModel, MdevSupport, PciDescription } from '../device-model.js';
import type { Registers } from '../registers.js';
import { Commands } from './commands.js';
import { DESCRIPTOR_SIZE } from './descriptor.js';
import type { EngineContext } from './engine.js';
import { presetGroups } from './groups.js';
import { createRegisters } from './register-map.js';
import {
  BAR0_SIZE,
  CMDSTS_ACTIVE,
  CommandStatus,
  DeviceState,
  GENCTRL_SOFTWARE_ERROR,
  InterruptCause,
  MSIX_PBA_OFFSET,
  MSIX_TABLE_OFFSET,
  MSIXPERM_STRIDE,
  MsixPermission,
  PORTAL_IMS,
  PORTAL_LIMITED,
  PORTAL_SIZE,
  PORTALS_PER_WQ,
  type Preset,
  Register,
  type Shape,
  WqState,
} from './registers.js';
import { Scheduler } from './scheduler.js';
import { SoftwareError, SoftwareErrorCode } from './software-error.js';
import { SplitPortals } from './split-portal.js';
import type { Task } from './task.js';
import { whyCommandFailed, whyNotEnabled } from './words.js';
import { WorkQueue } from './work-queue.js';

export class Dsa implements DeviceModel, EngineContext {
  readonly pci: PciDescription;
  readonly mdev?: MdevSupport;
  readonly #host: DeviceHost;
  readonly #shape: Shape;
  readonly #preset: Preset;
  readonly #registers: Registers;
  readonly #wqs: readonly WorkQueue[];
  readonly #scheduler: Scheduler;
  readonly #commands: Commands;
  readonly #error: SoftwareError;
  /** Undefined: descriptors come in one access. */
  readonly #split: SplitPortals | undefined;

  constructor(host: DeviceHost, shape: Shape, preset: Preset, mdev?: MdevSupport) {
    this.#host = host;
    this.#shape = shape;
    this.#preset = preset;
    if (mdev !== undefined) this.mdev = mdev;
    this.pci = describePci(shape);
    this.#registers = createRegisters(shape, preset, {
      command: (value) => this.#command(value),
      occupancy: (wq) => this.#wqs[wq]!.count,
      admits: (wq, pasid) => this.#admits(wq, pasid),
    });
    this.#wqs = Array.from({ length: shape.wqs }, (_, index) => new WorkQueue(index, this.#registers));
    this.#scheduler = new Scheduler(this.#wqs, shape, host.dma, this);
    this.#error = new SoftwareError(this.#registers);
    this.#split = preset.splitPortals ? new SplitPortals() : undefined;
    this.#commands = new Commands({
      registers: this.#registers,
      shape,
      wqs: this.#wqs,
      scheduler: this.#scheduler,
      dma: host.dma,
      resetConfiguration: () => this.#resetConfiguration(),
    });
    this.reset();
  }

  readBar(bar: number, offset: number, target: Uint8Array): void {
    if (bar === 0) this.#registers.read(offset, target);
    // Portals are write-only; reads are answered with all ones.
    else target.fill(bar === 2 ? 0xff : 0);
  }

  writeBar(bar: number, offset: number, source: Uint8Array): boolean {
    if (bar === 0) return this.#registers.write(offset, source);
    if (bar === 2) return this.#writePortal(offset, source);
    return true;
  }

  registerName(bar: number, offset: number): string | undefined {
    if (bar === 0) return this.#registers.nameOf(offset);
    return bar === 2 ? `portal of WQ ${queueAt(offset)}` : undefined;
  }

  reset(): void {
    this.#registers.reset();
    this.#commands.cancel();
    this.#split?.clear();
    this.#resetConfiguration();
    if (this.#preset.enabled) this.#comeUp();
  }

  step(): boolean {
    const more = this.#scheduler.step();
    const status = this.#commands.poll();
    if (status !== undefined) this.#endCommand(status);
    return more || status !== undefined;
  }

  busy(pasid?: number): boolean {
    return this.#scheduler.busy(pasid);
  }

  /**
   * EngineContext: MSIXPERM entry `handle` must be of the PASID of the descriptor, or of none when the work
   * queue has none.
   */
  mayInterrupt(handle: number, handleKind: number, wq: WorkQueue, pasid: number): boolean {
    if (handleKind !== 0 || handle >= this.#shape.vectors) return false;
    const entry = this.#registers.get(Register.MSIXPERM + handle * MSIXPERM_STRIDE);
    if ((entry & MsixPermission.PASID_ENABLE) === 0) return !wq.pasidEnabled;
    return wq.pasidEnabled && entry >>> 12 === pasid;
  }

  /** EngineContext: a descriptor has ended that asked for interrupt `handle`, and may. */
  interrupt(handle: number): void {
    const entry = this.#registers.get(Register.MSIXPERM + handle * MSIXPERM_STRIDE);
    if ((entry & MsixPermission.IGNORE) === 0) this.#host.interrupt(handle);
  }

  /** EngineContext. */
  note(sentence: string): void {
    this.#host.note(sentence);
  }

  /** EngineContext. */
  reportError(
    code: number,
    task: Task,
    wq: WorkQueue,
    batchIndex: number,
    faultAddress: number,
    write: boolean,
  ): void {
    this.#announceError(this.#error.recordTask(code, task, wq.index, batchIndex, faultAddress, write));
  }

  #announceError(recorded: boolean): void {
    if (recorded && (this.#registers.get(Register.GENCTRL) & GENCTRL_SOFTWARE_ERROR) !== 0)
      this.#raise(InterruptCause.SOFTWARE_ERROR);
  }

  #raise(cause: number): void {
    this.#registers.set(Register.INTCAUSE, this.#registers.get(Register.INTCAUSE) | cause);
    this.#host.interrupt(0);
  }

  /**
   * A software reset: no work, no configuration but the preset one, disabled. SWERR and the status of the
   * command stay.
   */
  #resetConfiguration(): void {
    for (const wq of this.#wqs) this.#scheduler.abortWq(wq);
    this.#registers.reset(Register.GENCFG, Register.CMD);
    this.#registers.reset(Register.GRPCFG, Register.END);
    if (this.#preset.configured) presetGroups(this.#registers, this.#shape);
  }

  #comeUp(): void {
    this.#scheduler.assign(this.#registers, this.#shape);
    this.#registers.set(Register.GENSTS, DeviceState.ENABLED);
    if (!this.#preset.awaitsPasid) for (const wq of this.#wqs) wq.enable();
  }

  /** May `pasid` be loaded into work queue `wq`? When not, it is in SWERR. */
  #admits(wq: number, pasid: number): boolean {
    if (pasid !== 0 && this.#host.dma.admits(pasid)) return true;
    this.#announceError(this.#error.recordPasid(SoftwareErrorCode.TRANSLATION_REFUSED, wq, pasid));
    const why = pasid === 0 ? 'a PASID is not 0' : 'this device has not been authorized for it';
    this.note(`PASID ${pasid} does not get into work queue ${wq}: ${why}`);
    return false;
  }

  #command(value: number): void {
    if (this.#registers.get(Register.CMDSTS) >= CMDSTS_ACTIVE) {
      this.#announceError(this.#error.record(SoftwareErrorCode.COMMAND_WHILE_ACTIVE));
      this.note(`command ${(value >>> 20) & 0x1f} is dropped: another one is active`);
      return;
    }
    this.#registers.set(Register.CMD, value);
    this.#registers.set(Register.CMDSTS, CMDSTS_ACTIVE);
    const reserved = (value >>> 25) & 0x3f;
    const status =
      reserved === 0
        ? this.#commands.issue((value >>> 20) & 0x1f, value & 0xfffff)
        : CommandStatus.RESERVED_NOT_ZERO;
    if (status !== undefined) this.#endCommand(status);
  }

  #endCommand(status: number): void {
    this.#registers.set(Register.CMDSTS, status);
    const command = this.#registers.get(Register.CMD);
    const complaint = whyCommandFailed((command >>> 20) & 0x1f, command & 0xfffff, status);
    if (complaint !== undefined) this.note(complaint);
    const wantsInterrupt = command >>> 31 === 1;
    if (wantsInterrupt) this.#raise(InterruptCause.COMMAND);
  }

  /**
   * A write is taken for the instruction that the work queue's mode is for: ENQCMD for a shared one,
   * MOVDIR64B for a dedicated one.
   * @returns false when the program must try again: what is ENQCMD's Retry, for a shared work queue without
   * room or that is not enabled.
   */
  #writePortal(offset: number, source: Uint8Array): boolean {
    if (this.#split === undefined || !SplitPortals.isPart(offset, source))
      return this.#writeDescriptor(offset, source);
    const descriptor = this.#split.take(offset, source);
    return descriptor === undefined || this.#writeDescriptor(offset - (offset % DESCRIPTOR_SIZE), descriptor);
  }

  #writeDescriptor(offset: number, source: Uint8Array): boolean {
    const portal = Math.floor(offset / PORTAL_SIZE);
    const wq = this.#wqs[queueAt(offset)];
    if (wq === undefined || source.length !== DESCRIPTOR_SIZE || offset % DESCRIPTOR_SIZE !== 0) {
      const needed = `${this.#wqs.length} work queues take ${DESCRIPTOR_SIZE} bytes at once, aligned`;
      this.note(`${source.length} bytes at ${hex(offset)} of the portals are dropped: ${needed}`);
      return true;
    }
    if (wq.state !== WqState.ENABLED) {
      this.note(whyNotEnabled(wq, this.#registers.get(Register.GENSTS) === DeviceState.ENABLED));
      return !wq.shared;
    }
    return wq.limits.shared ? this.#enqueue(wq, portal, source) : this.#submit(wq, portal, source);
  }

  /** ENQCMD to a shared work queue: the descriptor brings its PASID. */
  #enqueue(wq: WorkQueue, portal: number, source: Uint8Array): boolean {
    const limit = (portal & PORTAL_LIMITED) === 0 ? wq.size : Math.min(wq.threshold, wq.size);
    if (wq.count >= limit) {
      this.note(`work queue ${wq.index} is full with ${wq.count} descriptors; write it again`);
      return false;
    }
    const pasid = source[0]! | (source[1]! << 8) | ((source[2]! & 0xf) << 16);
    if (this.#admits(wq.index, pasid)) wq.push(source, pasid, portal & PORTAL_IMS);
    return true;
  }

  /** MOVDIR64B to a dedicated work queue: its own PASID, and no answer when it is full. */
  #submit(wq: WorkQueue, portal: number, source: Uint8Array): boolean {
    if (wq.full) {
      this.#announceError(this.#error.record(SoftwareErrorCode.DEDICATED_WQ_FULL, wq.index));
      this.note(`a descriptor is dropped: dedicated work queue ${wq.index} is full with ${wq.count}`);
    } else wq.push(source, wq.pasidEnabled ? wq.pasid : 0, portal & PORTAL_IMS);
    return true;
  }
}

/** The work queue whose portals have byte `offset` of their BAR. */
function queueAt(offset: number): number {
  return Math.floor(offset / (PORTAL_SIZE * PORTALS_PER_WQ));
}

function describePci(shape: Shape): PciDescription {
  const portals = 2 ** Math.ceil(Math.log2(shape.wqs * PORTALS_PER_WQ * PORTAL_SIZE));
  return {
    vendorId: 0x8086,
    deviceId: 0x0b25,
    classCode: 0x088000,
    bars: [
      { index: 0, size: BAR0_SIZE, is64: true, prefetchable: true },
      { index: 2, size: portals, is64: true, prefetchable: true, portals: { offset: 0, size: portals } },
    ],
    msix: { vectors: shape.vectors, bar: 0, tableOffset: MSIX_TABLE_OFFSET, pbaOffset: MSIX_PBA_OFFSET },
    pasidBits: 20,
    // Drivers ask for it before they use a dedicated work queue for a kernel.
    privilegedPasids: true,
    pageRequests: true,
  };
}
