/**
 * The operations on data with integrity fields: check, insert, strip, update (specification, 8.3).
 *
 * Each does whole blocks; `done` counts those of the source that were right and, where there is a
 * destination, written. The first that is wrong ends the operation: it is not written.
 */
import type { Access } from './access.js';
import { BOUNCE_SIZE, first, readSource, second } from './bounce.js';
import { Opcode, Status } from './descriptor.js';
import { checkBlock, DIF_SIZE, destinationBlock, makeBlock, sourceBlock } from './dif.js';
import type { Task } from './task.js';

export function dif(task: Task, access: Access): void {
  const d = task.descriptor;
  const block = sourceBlock(d);
  const most = Math.floor(BOUNCE_SIZE / (block + DIF_SIZE)) * block;
  const read = Math.floor(readSource(task, access, most) / block);
  const right = checkBlocks(task, read);
  if (d.opcode === Opcode.DIF_CHECK) task.done += right * block;
  else writeBlocks(task, access, right);
}

/** Checks `count` blocks in `first`. @returns how many are right; the first that is not ends the task. */
function checkBlocks(task: Task, count: number): number {
  const d = task.descriptor;
  const block = sourceBlock(d);
  for (let i = 0; i < count; i++) {
    const wrong = checkBlock(d, task.done / block + i, first, i * block);
    if (wrong === 0) continue;
    task.status = Status.DIF_ERROR;
    task.result = wrong;
    task.faultAddress = 0;
    return i;
  }
  return count;
}

/** Makes `count` blocks of those in `first`, and writes them. A fault is before what was found wrong. */
function writeBlocks(task: Task, access: Access, count: number): void {
  const d = task.descriptor;
  const from = sourceBlock(d);
  const to = destinationBlock(d);
  const index = task.done / from;
  for (let i = 0; i < count; i++) makeBlock(d, index + i, first, i * from, second, i * to);
  if (count === 0) return;
  const written = access.write(task.pasid, d.destination + index * to, second, 0, count * to);
  task.done += Math.floor(written / to) * from;
  if (!access.faulted) return;
  task.result = 0;
  task.fault(access.faultAddress, true);
}
