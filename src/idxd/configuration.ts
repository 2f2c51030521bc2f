/**
 * The way of a configuration into the device and out of it: GRPCFG and WQCFG. Source: specification (see
 * docs/dsa.md), 9.2.23, 9.2.24.
 */
import {
  Command,
  GRPCFG_STRIDE,
  GroupField,
  DeviceState as HardwareState,
  Register,
  WQCFG_STRIDE,
  WqField,
  WqMode,
} from '../devices/dsa/registers.js';
import type { Work } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import type { IdxdEngine } from './engine.js';
import type { IdxdGroup } from './group.js';
import type { Hardware } from './hardware.js';
import { type DeviceState, Trouble } from './state.js';
import type { IdxdWq } from './wq.js';

/** All that can be configured. */
export interface Parts {
  readonly state: DeviceState;
  readonly wqs: readonly IdxdWq[];
  readonly engines: readonly IdxdEngine[];
  readonly groups: readonly IdxdGroup[];
}

/**
 * Writes it all, but what is enabled already. @throws Refusal with `errno`: no work queue or no engine is in
 * a group; a shared work queue in a group is for nobody, so that no PASIDs are for it.
 */
export function writeConfiguration(hardware: Hardware, parts: Parts, errno: 'EINVAL' | 'ENXIO'): void {
  const { state, wqs, engines, groups } = parts;
  const aimless = wqs.find(({ group, dedicated, type }) => group !== -1 && !dedicated && type === 'none');
  if (aimless !== undefined) {
    state.commandStatus = Trouble.WQ_NO_SHARING;
    refuse(errno, `${aimless.path} is shared and has no type, as which its PASIDs would be known`);
  }
  if (wqs.every(({ group }) => group === -1)) {
    state.commandStatus = Trouble.NONE_CONFIGURED;
    refuse(errno, `no work queue of ${state.name} is in a group`);
  }
  if (engines.every(({ group }) => group === -1)) refuse(errno, `no engine of ${state.name} is in a group`);
  for (const wq of wqs) {
    if (wq.enabled) continue;
    if (wq.group !== -1) writeWq(hardware, wq);
    // A device that comes up configured has given it one.
    else hardware.set(hardware.wqTable + wq.id * WQCFG_STRIDE + WqField.SIZE, 0);
  }
  for (const group of groups) writeGroup(hardware, group, members(wqs, group), members(engines, group));
}

/**
 * Gives an enabled dedicated work queue another PASID, 0: none, for which it must be disabled meanwhile.
 * @returns the status of the command that enables it again.
 */
export function* changePasid(hardware: Hardware, wq: IdxdWq, pasid: number): Work<number> {
  yield* hardware.commandWq(Command.DRAIN_WQ, wq.id);
  yield* hardware.commandWq(Command.RESET_WQ, wq.id);
  wq.pasid = pasid;
  writeWq(hardware, wq);
  return yield* hardware.command(Command.ENABLE_WQ, wq.id);
}

/** Takes over what the device has come up with, enabled. @returns the work queues that it has. */
export function readConfiguration(hardware: Hardware, { wqs, engines, groups }: Parts): IdxdWq[] {
  if ((hardware.get(Register.GENSTS) & 3) !== HardwareState.ENABLED) return [];
  for (const { id } of groups) {
    const at = hardware.groupTable + id * GRPCFG_STRIDE;
    const has = (offset: number, bit: number) =>
      ((hardware.get(at + offset + 4 * (bit >>> 5)) >>> (bit & 31)) & 1) === 1;
    for (const wq of wqs) if (has(GroupField.WQS, wq.id)) wq.setGroup(id);
    for (const engine of engines) if (has(GroupField.ENGINES, engine.id)) engine.setGroup(id);
  }
  const found = wqs.filter(({ group }) => group !== -1);
  let claimed = 0;
  for (const wq of found) {
    readWq(hardware, wq, claimed);
    claimed += wq.size;
  }
  return found;
}

function members(all: readonly { id: number; group: number }[], { id }: IdxdGroup): number[] {
  return all.filter((each) => each.group === id).map((each) => each.id);
}

function writeGroup(hardware: Hardware, group: IdxdGroup, wqs: number[], engines: number[]): void {
  const at = hardware.groupTable + group.id * GRPCFG_STRIDE;
  for (let from = 0; from < 256; from += 32) hardware.set(at + GroupField.WQS + from / 8, word(wqs, from));
  for (const from of [0, 32]) hardware.set(at + GroupField.ENGINES + from / 8, word(engines, from));
  for (const [n, flags] of group.flags().entries()) hardware.set(at + GroupField.FLAGS + 4 * n, flags);
}

/** A bit for each of `members` from `from` to `from + 31`. */
function word(members: readonly number[], from: number): number {
  return members.reduce((bits, id) => bits + (id >= from && id < from + 32 ? 2 ** (id - from) : 0), 0);
}

function writeWq(hardware: Hardware, wq: IdxdWq): void {
  wq.settleSize();
  const at = hardware.wqTable + wq.id * WQCFG_STRIDE;
  const mode = wq.dedicated ? WqMode.DEDICATED : 0;
  // A shared one takes each descriptor's own PASID, a dedicated one has it once it is opened.
  const pasid = wq.dedicated && wq.pasid === 0 ? 0 : WqMode.PASID_ENABLE + wq.pasid * 2 ** 8;
  const block = wq.blockOnFault ? WqMode.BLOCK_ON_FAULT : 0;
  hardware.set(at + WqField.SIZE, wq.size);
  hardware.set(at + WqField.THRESHOLD, wq.threshold);
  hardware.set(at + WqField.MODE, mode + block + wq.priority * 2 ** 4 + pasid);
  hardware.set(at + WqField.LIMITS, Math.log2(wq.maxTransfer) + Math.log2(wq.maxBatch) * 2 ** 5);
  for (let n = 0; n < 8; n++)
    hardware.set(at + WqField.OPERATIONS + 4 * n, Number((wq.operations >> BigInt(32 * n)) & 0xffffffffn));
}

function readWq(hardware: Hardware, wq: IdxdWq, claimed: number): void {
  const [size, threshold, mode, limits] = [WqField.SIZE, WqField.THRESHOLD, WqField.MODE, WqField.LIMITS].map(
    (field) => hardware.get(hardware.wqTable + wq.id * WQCFG_STRIDE + field),
  ) as [number, number, number, number];
  wq.setSize(size & 0xffff, claimed + wq.size);
  wq.setDedicated((mode & WqMode.DEDICATED) !== 0);
  if (!wq.dedicated) wq.setThreshold(threshold & 0xffff);
  wq.setPriority((mode >>> 4) & 0xf);
  wq.setBlockOnFault((mode & WqMode.BLOCK_ON_FAULT) !== 0);
  wq.setMaxTransfer(2n ** BigInt(limits & 0x1f));
  wq.setMaxBatch(2n ** BigInt((limits >>> 5) & 0xf));
}
