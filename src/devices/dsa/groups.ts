/**
 * Groups: which engines serve which work queues, as GRPCFG has it.
 *
 * While the device is enabled every work queue of a group can be reached by every engine of the group, and by
 * no other. Layout and checks: specification (see docs/dsa.md), 9.2.23, 5.1.
 */
import type { Registers } from '../registers.js';
import {
  CommandStatus,
  GRPCFG_STRIDE,
  GroupField,
  GroupFlag,
  READ_BUFFERS,
  Register,
  type Shape,
} from './registers.js';

/** Offset of GRPCFG entry `group`. */
function entry(group: number): number {
  return Register.GRPCFG + group * GRPCFG_STRIDE;
}

/** Is work queue `wq` in `group`? */
export function hasWq(registers: Registers, group: number, wq: number): boolean {
  return ((registers.get(entry(group) + (wq >>> 5) * 4) >>> (wq & 31)) & 1) === 1;
}

/** Is engine `engine` in `group`? */
export function hasEngine(registers: Registers, group: number, engine: number): boolean {
  return ((registers.get(entry(group) + GroupField.ENGINES) >>> engine) & 1) === 1;
}

/** Puts all work queues and engines in group 0. */
export function presetGroups(registers: Registers, shape: Shape): void {
  for (let wq = 0; wq < shape.wqs; wq++) {
    const offset = entry(0) + (wq >>> 5) * 4;
    registers.set(offset, (registers.get(offset) | (1 << (wq & 31))) >>> 0);
  }
  registers.set(entry(0) + GroupField.ENGINES, 2 ** shape.engines - 1);
}

/** What Enable Device says about the groups, given the configured size of each work queue. */
export function checkGroups(registers: Registers, shape: Shape, sizeOf: (wq: number) => number): number {
  for (let wq = 0; wq < shape.wqs; wq++) {
    const groups = countGroups(shape, (group) => hasWq(registers, group, wq));
    if (groups !== (sizeOf(wq) > 0 ? 1 : 0)) return CommandStatus.GROUP_WQS;
  }
  for (let engine = 0; engine < shape.engines; engine++) {
    if (countGroups(shape, (group) => hasEngine(registers, group, engine)) > 1)
      return CommandStatus.GROUP_ENGINES;
  }
  for (let group = 0; group < shape.groups; group++) {
    const wqs = isAny(shape.wqs, (wq) => hasWq(registers, group, wq));
    const engines = isAny(shape.engines, (engine) => hasEngine(registers, group, engine));
    if (wqs !== engines) return CommandStatus.GROUP_INCOMPLETE;
  }
  return checkReadBuffers(registers, shape);
}

/** There are as many as groups reserve together, and a group may use those that it reserves. */
function checkReadBuffers(registers: Registers, shape: Shape): number {
  let total = 0;
  for (let group = 0; group < shape.groups; group++) {
    const flags = registers.get(entry(group) + GroupField.FLAGS);
    const reserved = (flags & GroupFlag.RESERVED_BUFFERS) >>> 8;
    if (reserved > (flags & GroupFlag.ALLOWED_BUFFERS) >>> 20) return CommandStatus.GROUP_BUFFERS;
    total += reserved;
  }
  return total > READ_BUFFERS ? CommandStatus.GROUP_BUFFERS : CommandStatus.SUCCESS;
}

function countGroups(shape: Shape, isIn: (group: number) => boolean): number {
  let count = 0;
  for (let group = 0; group < shape.groups; group++) if (isIn(group)) count++;
  return count;
}

function isAny(count: number, holds: (index: number) => boolean): boolean {
  for (let i = 0; i < count; i++) if (holds(i)) return true;
  return false;
}
