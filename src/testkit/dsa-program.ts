/** What a program does with a model of DSA by itself, on a SparseHost: registers, commands, descriptors. */
import assert from 'node:assert/strict';
import type { DeviceModel } from '../devices/device-model.js';
import { Flag } from '../devices/dsa/descriptor.js';
import createDsa from '../devices/dsa/index.js';
import { Command, Register } from '../devices/dsa/registers.js';
import { settle } from '../devices/fake-host.js';
import { type Fields, PAGE, pack, SparseHost } from './sparse-host.js';

/** Flags of a descriptor that wants a completion record. */
export const RECORD = Flag.COMPLETION_ADDRESS_VALID | Flag.REQUEST_COMPLETION;

/** Registers of BAR 0. */
export function read32(model: DeviceModel, offset: number): number {
  const bytes = new Uint8Array(4);
  model.readBar(0, offset, bytes);
  return new DataView(bytes.buffer).getUint32(0, true);
}

export function write32(model: DeviceModel, offset: number, value: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  model.writeBar(0, offset, bytes);
}

/** Gives a command. @returns CMDSTS right after it. */
export function command(model: DeviceModel, code: number, operand = 0, interrupt = false): number {
  write32(model, Register.CMD, operand + code * 2 ** 20 + (interrupt ? 2 ** 31 : 0));
  return read32(model, Register.CMDSTS);
}

/** Writes a descriptor into a portal. @returns false: try again. */
export function submit(model: DeviceModel, fields: Fields, portal = 0): boolean {
  return model.writeBar(2, portal * PAGE, pack(fields)) !== false;
}

/** Configures work queue 0 and engine 0 in group 0, as a driver does: WQCFG words, then GRPCFG. */
export function configure(model: DeviceModel, wqcfg: readonly number[]): void {
  const tables = read32(model, Register.TABLE_OFFSET);
  for (const [i, value] of wqcfg.entries()) write32(model, (tables >>> 16) * 0x100 + i * 4, value);
  write32(model, (tables & 0xffff) * 0x100, 1);
  write32(model, (tables & 0xffff) * 0x100 + 32, 1);
}

/** Words of WQCFG: the mode (with the lowest priority), and the limits of transfers and batches. */
export const DEDICATED = 0x11;
export const SHARED = 0x10;
export const PASID_ENABLE = 0x10000000;
export const PRIVILEGED = 0x20000000;
export const LIMITS = 31 + 10 * 2 ** 5;

/** A whole function with one dedicated work queue of `size`, for `pasid` (0: requests without PASID). */
export function dedicated(host: SparseHost, pasid = 0, size = 16, gencfg = 0): DeviceModel {
  const model = createDsa(host, {});
  write32(model, Register.GENCFG, gencfg);
  configure(model, [size, 0, DEDICATED + (pasid === 0 ? 0 : PASID_ENABLE + pasid * 2 ** 8), LIMITS]);
  assert.equal(command(model, Command.ENABLE_DEVICE), 0);
  assert.equal(command(model, Command.ENABLE_WQ), 0);
  return model;
}

/** The functions of mediated devices, by their options: of the function itself these have nothing. */
const parents = new Map<string, DeviceModel>();

/** A mediated device: one work queue, which is ready unless it waits for a PASID. */
export function mdev(host: SparseHost, options: Record<string, string> = {}): DeviceModel {
  const key = JSON.stringify(options);
  const parent = parents.get(key) ?? createDsa(new SparseHost(), options);
  parents.set(key, parent);
  return parent.mdev!.create(0, host);
}

/** The register of errors. */
export function swerr(model: DeviceModel): {
  valid: boolean;
  overflow: boolean;
  error: number;
  wq: number;
  pasid: number;
  batchIndex: number;
} {
  const low = read32(model, Register.SWERR);
  return {
    valid: (low & 1) !== 0,
    overflow: (low & 2) !== 0,
    error: (low >>> 8) & 0xff,
    wq: (low >>> 16) & 0xff,
    pasid: (read32(model, Register.SWERR + 4) >>> 8) & 0xfffff,
    batchIndex: read32(model, Register.SWERR + 8) & 0xffff,
  };
}

/** Where `putBatch` puts the list of a batch. */
export const LIST = 0x10000;

/** Puts the descriptors of a batch into the memory of PASID 1. */
export function putBatch(host: SparseHost, descriptors: readonly Fields[]): void {
  for (const [i, fields] of descriptors.entries()) host.poke(1, LIST + i * 64, pack(fields));
}

/** A completion record. */
export interface Completion {
  readonly status: number;
  readonly result: number;
  readonly completed: number;
  readonly fault: number;
  /** Bytes 16 to 31: what the operation says. */
  readonly specific: DataView;
}

/**
 * Has `model`, whose portal 0 is that of a shared work queue, execute a descriptor with a record at `at`, in
 * memory that is there.
 */
export function execute(host: SparseHost, model: DeviceModel, at: number, fields: Fields): Completion {
  const { pasid = 1, flags = 0 } = fields;
  host.poke(pasid, at, new Uint8Array(32));
  assert.equal(submit(model, { ...fields, pasid, flags: RECORD | flags, completion: at }), true);
  settle(model, 100_000);
  const view = new DataView(host.peek(pasid, at, 32).buffer);
  return {
    status: view.getUint8(0),
    result: view.getUint8(1),
    completed: view.getUint32(4, true),
    fault: view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32,
    specific: new DataView(view.buffer, 16, 16),
  };
}
