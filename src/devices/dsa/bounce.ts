/**
 * The bounce buffers: what a slice of an operation reads goes here, and what it writes comes from here.
 *
 * They are shared by all engines, because no slice is ever interrupted: nothing in them outlives the slice.
 */
import type { Access } from './access.js';
import type { Task } from './task.js';

/**
 * Bytes of a slice: large enough that a slice's fixed costs vanish, small enough for the caches and for
 * `step`.
 */
export const BOUNCE_SIZE = 0x10000;
const PATTERN_SIZE = 8;

export const first = new Uint8Array(BOUNCE_SIZE);
export const second = new Uint8Array(BOUNCE_SIZE);
export const firstWords = new Int32Array(first.buffer);
export const secondWords = new Int32Array(second.buffer);

/**
 * Reads the next bytes of the source, at most `limit`, into `first`. @returns how many: where they end early
 * the task has the fault, or it goes on with the next slice.
 */
export function readSource(task: Task, access: Access, limit = BOUNCE_SIZE): number {
  const from = task.descriptor.source + task.done;
  const read = access.readSome(task.pasid, from, first, Math.min(task.remaining, limit));
  if (access.faulted) task.fault(access.faultAddress, false);
  return read;
}

/**
 * As `readSource`, of both sources of a compare, into `first` and `second`. @returns how many bytes there are
 * of both.
 */
export function readSources(task: Task, access: Access): number {
  const read = readSource(task, access);
  if (read === 0) return 0;
  const both = access.readSome(task.pasid, task.descriptor.destination + task.done, second, read);
  if (access.faulted) task.fault(access.faultAddress, false);
  return both;
}

/** Writes the first `length` bytes of `first` to the destination, and counts them. */
export function writeRead(task: Task, access: Access, length: number): void {
  if (length === 0) return;
  const written = access.writeSome(task.pasid, task.descriptor.destination + task.done, first, length);
  if (access.faulted) task.fault(access.faultAddress, true);
  task.done += written;
}

/**
 * Fills `target` with the 8 bytes at `offset` of the descriptor, over and over, for at least `length` bytes:
 * what comes after the bytes that are done, which after a page fault are any number.
 */
export function repeatPattern(
  target: Uint8Array,
  { descriptor, done }: Task,
  offset: number,
  length: number,
): void {
  for (let i = 0; i < PATTERN_SIZE; i++) target[i] = descriptor.bytes[offset + ((done + i) % PATTERN_SIZE)]!;
  for (let filled = PATTERN_SIZE; filled < length; filled *= 2)
    target.copyWithin(filled, 0, Math.min(filled, target.length - filled));
}
