/**
 * Groups: which engines serve which work queues, as GRPCFG has it.
 *
 * While the device is enabled every work queue of a group can be reached by every engine of the group, and by
 * no other. Layout and checks: specification (see docs/dsa.md), 9.2.23, 5.1.
 */
import { CommandStatus, GRPCFG_STRIDE, Register, type RegisterImage, type Shape } from './registers.js';

const ENGINES_OFFSET = 32;

/** Offset of GRPCFG entry `group`. */
function entry(group: number): number {
  return Register.GRPCFG + group * GRPCFG_STRIDE;
}

/** Is work queue `wq` in `group`? */
export function hasWq(image: RegisterImage, group: number, wq: number): boolean {
  return ((image.get(entry(group) + (wq >>> 5) * 4) >>> (wq & 31)) & 1) === 1;
}

/** Is engine `engine` in `group`? */
export function hasEngine(image: RegisterImage, group: number, engine: number): boolean {
  return ((image.get(entry(group) + ENGINES_OFFSET) >>> engine) & 1) === 1;
}

/** Puts all work queues and engines in group 0. */
export function presetGroups(image: RegisterImage, shape: Shape): void {
  for (let wq = 0; wq < shape.wqs; wq++) {
    const offset = entry(0) + (wq >>> 5) * 4;
    image.set(offset, (image.get(offset) | (1 << (wq & 31))) >>> 0);
  }
  image.set(entry(0) + ENGINES_OFFSET, 2 ** shape.engines - 1);
}

/**
 * Stores dword `offset` (from the start of GRPCFG): only bits of work queues and engines that there are, and
 * the flags.
 */
export function configureGroup(image: RegisterImage, offset: number, value: number, shape: Shape): void {
  const within = offset % GRPCFG_STRIDE;
  if (Math.floor(offset / GRPCFG_STRIDE) >= shape.groups) return;
  if (within < ENGINES_OFFSET)
    image.set(Register.GRPCFG + offset, (value & maskOf(shape.wqs - within * 8)) >>> 0);
  if (within === ENGINES_OFFSET) image.set(Register.GRPCFG + offset, (value & maskOf(shape.engines)) >>> 0);
  if (within === ENGINES_OFFSET + 8) image.set(Register.GRPCFG + offset, (value & 0x3f) >>> 0);
}

function maskOf(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : (1 << bits) - 1;
}

/** What Enable Device says about the groups, given the configured size of each work queue. */
export function checkGroups(image: RegisterImage, shape: Shape, sizeOf: (wq: number) => number): number {
  for (let wq = 0; wq < shape.wqs; wq++) {
    const groups = countGroups(shape, (group) => hasWq(image, group, wq));
    if (groups !== (sizeOf(wq) > 0 ? 1 : 0)) return CommandStatus.GROUP_WQS;
  }
  for (let engine = 0; engine < shape.engines; engine++) {
    if (countGroups(shape, (group) => hasEngine(image, group, engine)) > 1)
      return CommandStatus.GROUP_ENGINES;
  }
  for (let group = 0; group < shape.groups; group++) {
    const wqs = isAny(shape.wqs, (wq) => hasWq(image, group, wq));
    const engines = isAny(shape.engines, (engine) => hasEngine(image, group, engine));
    if (wqs !== engines) return CommandStatus.GROUP_INCOMPLETE;
  }
  return CommandStatus.SUCCESS;
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
