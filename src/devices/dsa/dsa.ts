/**
 * The device: registers in BAR0, portals in BAR2, and the work behind them.
 *
 * This file decides what a program's accesses mean; it keeps the invariant that no PASID gets into a work
 * queue or a descriptor slot that `dma.admits` has not admitted. Whole functions and mediated devices are the
 * same class with another `Preset`.
 */
import type { DeviceHost, DeviceModel, MdevSupport, PciDescription } from '../device-model.js';
import { Commands } from './commands.js';
import { DESCRIPTOR_SIZE } from './descriptor.js';
import type { EngineContext } from './engine.js';
import { configureGroup, presetGroups } from './groups.js';
import {
  BAR0_SIZE,
  CMDSTS_ACTIVE,
  CommandStatus,
  DeviceState,
  describeShape,
  GENCFG_USER_INTERRUPTS,
  GENCFG_WRITABLE,
  GENCTRL_SOFTWARE_ERROR,
  GRPCFG_STRIDE,
  InterruptCause,
  MSIX_PBA_OFFSET,
  MSIX_TABLE_OFFSET,
  MSIXPERM_STRIDE,
  PORTAL_IMS,
  PORTAL_LIMITED,
  PORTAL_SIZE,
  PORTALS_PER_WQ,
  Register,
  RegisterImage,
  type Shape,
  WQCFG_STRIDE,
  WqState,
} from './registers.js';
import { Scheduler } from './scheduler.js';
import { SoftwareError, SoftwareErrorCode } from './software-error.js';
import type { Task } from './task.js';
import { WorkQueue } from './work-queue.js';

/** How a device comes out of reset. */
export interface Preset {
  /** Work queues and groups are configured, after a software reset too. */
  readonly configured: boolean;
  /**
   * After power-on, device and shared work queues (and dedicated ones that need no PASID) are enabled as
   * well.
   */
  readonly enabled: boolean;
  readonly shared: boolean;
  /** A dedicated work queue waits for its program to write a PASID before it is enabled. */
  readonly awaitsPasid: boolean;
}

const MSIXPERM_IGNORE = 0x4;
const MSIXPERM_PASID_ENABLE = 0x8;
const MSIXPERM_WRITABLE = 0xfffff00c;

export class Dsa implements DeviceModel, EngineContext {
  readonly pci: PciDescription;
  readonly mdev?: MdevSupport;
  readonly #host: DeviceHost;
  readonly #shape: Shape;
  readonly #preset: Preset;
  readonly #image = new RegisterImage();
  readonly #wqs: readonly WorkQueue[];
  readonly #scheduler: Scheduler;
  readonly #commands: Commands;
  readonly #error: SoftwareError;

  constructor(host: DeviceHost, shape: Shape, preset: Preset, mdev?: MdevSupport) {
    this.#host = host;
    this.#shape = shape;
    this.#preset = preset;
    if (mdev !== undefined) this.mdev = mdev;
    this.pci = describePci(shape);
    this.#wqs = Array.from(
      { length: shape.wqs },
      (_, index) => new WorkQueue(index, this.#image, shape.operations),
    );
    this.#scheduler = new Scheduler(this.#wqs, shape, host.dma, this);
    this.#error = new SoftwareError(this.#image);
    this.#commands = new Commands({
      image: this.#image,
      shape,
      wqs: this.#wqs,
      scheduler: this.#scheduler,
      dma: host.dma,
      resetConfiguration: () => this.#resetConfiguration(),
    });
    this.reset();
  }

  readBar(bar: number, offset: number, target: Uint8Array): void {
    if (bar === 0) this.#image.read(offset, target);
    // Portals are write-only; reads are answered with all ones.
    else target.fill(bar === 2 ? 0xff : 0);
  }

  writeBar(bar: number, offset: number, source: Uint8Array): boolean {
    if (bar === 0) this.#writeRegisters(offset, source);
    if (bar === 2) return this.#writePortal(offset, source);
    return true;
  }

  reset(): void {
    this.#image.clear(0, Register.END);
    describeShape(this.#image, this.#shape);
    this.#commands.cancel();
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
    const entry = this.#image.get(Register.MSIXPERM + handle * MSIXPERM_STRIDE);
    if ((entry & MSIXPERM_PASID_ENABLE) === 0) return !wq.pasidEnabled;
    return wq.pasidEnabled && entry >>> 12 === pasid;
  }

  /** EngineContext: a descriptor has ended that asked for interrupt `handle`, and may. */
  interrupt(handle: number): void {
    const entry = this.#image.get(Register.MSIXPERM + handle * MSIXPERM_STRIDE);
    if ((entry & MSIXPERM_IGNORE) === 0) this.#host.interrupt(handle);
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
    if (recorded && (this.#image.get(Register.GENCTRL) & GENCTRL_SOFTWARE_ERROR) !== 0)
      this.#raise(InterruptCause.SOFTWARE_ERROR);
  }

  #raise(cause: number): void {
    this.#image.set(Register.INTCAUSE, this.#image.get(Register.INTCAUSE) | cause);
    this.#host.interrupt(0);
  }

  /**
   * A software reset: no work, no configuration but the preset one, disabled. SWERR and the status of the
   * command stay.
   */
  #resetConfiguration(): void {
    for (const wq of this.#wqs) this.#scheduler.abortWq(wq);
    this.#image.clear(Register.GENCFG, Register.CMD);
    this.#image.clear(Register.GRPCFG, Register.END);
    const size = Math.floor(this.#shape.totalSize / this.#shape.wqs);
    for (const wq of this.#wqs) {
      wq.setPreset(this.#preset.configured ? size : 0, this.#preset.shared);
      wq.reset();
    }
    if (!this.#preset.configured) return;
    presetGroups(this.#image, this.#shape);
    this.#image.set(Register.GENCFG, GENCFG_USER_INTERRUPTS);
  }

  #comeUp(): void {
    this.#scheduler.assign(this.#image, this.#shape);
    this.#image.set(Register.GENSTS, DeviceState.ENABLED);
    if (!this.#preset.awaitsPasid) for (const wq of this.#wqs) wq.enable();
  }

  /** Cuts a write of any size at any offset into the 32-bit registers that it touches. */
  #writeRegisters(offset: number, source: Uint8Array): void {
    const end = Math.min(offset + source.length, Register.END);
    for (let register = Math.floor(offset / 4) * 4; register < end; register += 4) {
      let value = 0;
      let mask = 0;
      for (let byte = 0; byte < 4; byte++) {
        const at = register + byte - offset;
        if (at < 0 || at >= source.length) continue;
        value |= source[at]! << (byte * 8);
        mask |= 0xff << (byte * 8);
      }
      if (register >= 0) this.#writeRegister(register, value >>> 0, mask);
    }
  }

  /** Writes the bytes of `mask` of a register; those of `value` outside it are 0. */
  #writeRegister(register: number, value: number, mask: number): void {
    const merged = ((this.#image.get(register) & ~mask) | value) >>> 0;
    if (register >= Register.MSIXPERM) this.#writePermission(register - Register.MSIXPERM, merged);
    else if (register >= Register.WQCFG) this.#writeWqConfig(register - Register.WQCFG, merged);
    else if (register >= Register.GRPCFG) this.#writeGroupConfig(register - Register.GRPCFG, merged);
    else if (register === Register.GENCFG) this.#writeGeneralConfig(merged);
    else if (register === Register.GENCTRL) this.#image.set(register, merged & 0x3);
    else if (register === Register.INTCAUSE)
      this.#image.set(register, (this.#image.get(register) & ~value) >>> 0);
    else if (register === Register.SWERR) this.#error.acknowledge(value);
    // A command is one 32-bit write; a part of one does nothing.
    else if (register === Register.CMD && mask === -1) this.#command(value);
  }

  get #disabled(): boolean {
    return (this.#image.get(Register.GENSTS) & 3) === DeviceState.DISABLED;
  }

  #writeGeneralConfig(value: number): void {
    if (this.#disabled && this.#shape.configurable) this.#image.set(Register.GENCFG, value & GENCFG_WRITABLE);
  }

  #writeGroupConfig(offset: number, value: number): void {
    if (offset >= this.#shape.groups * GRPCFG_STRIDE) return;
    if (this.#disabled && this.#shape.configurable) configureGroup(this.#image, offset, value, this.#shape);
  }

  #writeWqConfig(offset: number, value: number): void {
    const wq = this.#wqs[Math.floor(offset / WQCFG_STRIDE)];
    if (wq === undefined) return;
    const field = offset % WQCFG_STRIDE;
    wq.configure(field, value, this.#disabled, this.#shape.configurable);
    // A PASID that this device may not have is not kept, so the work queue cannot be enabled (CMDSTS 0x26).
    const refused =
      field === 8 && wq.state === WqState.DISABLED && wq.pasid !== 0 && !this.#host.dma.admits(wq.pasid);
    if (refused) {
      wq.refusePasid();
      this.#announceError(
        this.#error.recordPasid(SoftwareErrorCode.TRANSLATION_REFUSED, wq.index, (value >>> 8) & 0xfffff),
      );
    }
  }

  #writePermission(offset: number, value: number): void {
    const known = offset < this.#shape.vectors * MSIXPERM_STRIDE && offset % MSIXPERM_STRIDE === 0;
    if (known) this.#image.set(Register.MSIXPERM + offset, (value & MSIXPERM_WRITABLE) >>> 0);
  }

  #command(value: number): void {
    if (this.#image.get(Register.CMDSTS) >= CMDSTS_ACTIVE) {
      this.#announceError(this.#error.record(SoftwareErrorCode.COMMAND_WHILE_ACTIVE));
      return;
    }
    this.#image.set(Register.CMD, value);
    this.#image.set(Register.CMDSTS, CMDSTS_ACTIVE);
    const reserved = (value >>> 25) & 0x3f;
    const status =
      reserved === 0
        ? this.#commands.issue((value >>> 20) & 0x1f, value & 0xfffff)
        : CommandStatus.RESERVED_NOT_ZERO;
    if (status !== undefined) this.#endCommand(status);
  }

  #endCommand(status: number): void {
    this.#image.set(Register.CMDSTS, status);
    const wantsInterrupt = this.#image.get(Register.CMD) >>> 31 === 1;
    if (wantsInterrupt) this.#raise(InterruptCause.COMMAND);
  }

  /**
   * A write is taken for the instruction that the work queue's mode is for: ENQCMD for a shared one,
   * MOVDIR64B for a dedicated one.
   * @returns false when the program must try again: what is ENQCMD's Retry, for a shared work queue without
   * room or that is not enabled.
   */
  #writePortal(offset: number, source: Uint8Array): boolean {
    if (source.length !== DESCRIPTOR_SIZE || offset % DESCRIPTOR_SIZE !== 0) return true;
    const portal = Math.floor(offset / PORTAL_SIZE);
    const wq = this.#wqs[Math.floor(portal / PORTALS_PER_WQ)];
    if (wq === undefined) return true;
    if (wq.state !== WqState.ENABLED) return !wq.shared;
    return wq.limits.shared ? this.#enqueue(wq, portal, source) : this.#submit(wq, portal, source);
  }

  /** ENQCMD to a shared work queue: the descriptor brings its PASID. */
  #enqueue(wq: WorkQueue, portal: number, source: Uint8Array): boolean {
    const limit = (portal & PORTAL_LIMITED) === 0 ? wq.size : Math.min(wq.threshold, wq.size);
    if (wq.count >= limit) return false;
    const pasid = source[0]! | (source[1]! << 8) | ((source[2]! & 0xf) << 16);
    if (pasid === 0 || !this.#host.dma.admits(pasid)) {
      this.#announceError(this.#error.recordPasid(SoftwareErrorCode.TRANSLATION_REFUSED, wq.index, pasid));
      return true;
    }
    wq.push(source, pasid, portal & PORTAL_IMS);
    return true;
  }

  /** MOVDIR64B to a dedicated work queue: its own PASID, and no answer when it is full. */
  #submit(wq: WorkQueue, portal: number, source: Uint8Array): boolean {
    if (wq.full) this.#announceError(this.#error.record(SoftwareErrorCode.DEDICATED_WQ_FULL, wq.index));
    else wq.push(source, wq.pasidEnabled ? wq.pasid : 0, portal & PORTAL_IMS);
    return true;
  }
}

function describePci(shape: Shape): PciDescription {
  const portals = 2 ** Math.ceil(Math.log2(shape.wqs * PORTALS_PER_WQ * PORTAL_SIZE));
  return {
    vendorId: 0x8086,
    deviceId: 0x0b25,
    classCode: 0x088000,
    bars: [
      { index: 0, size: BAR0_SIZE, is64: true, prefetchable: true },
      { index: 2, size: portals, is64: true, prefetchable: true },
    ],
    msix: { vectors: shape.vectors, bar: 0, tableOffset: MSIX_TABLE_OFFSET, pbaOffset: MSIX_PBA_OFFSET },
    pasidBits: 20,
    pageRequests: true,
  };
}
