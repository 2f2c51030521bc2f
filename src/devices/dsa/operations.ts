/**
 * The operations: each advances a Task by one slice of at most `BOUNCE_SIZE` bytes, through the bounce
 * buffers and nothing else.
 *
 * A slice reads first and writes afterwards what it read, never more. Where reading stops short the bytes
 * before are still written, so that `done` is exact: the fault that is reported is the one nearest to the
 * bytes that were done.
 */
import type { Access } from './access.js';
import { compare, comparePattern, endCompare } from './compare.js';
import { crc } from './crc.js';
import { APPLY_COST, applyDelta, createDelta, endCreate } from './delta.js';
import { Opcode, Status } from './descriptor.js';
import { dif } from './dif-operations.js';
import { dualcast, fill, flush, move } from './move.js';
import type { Task } from './task.js';

/** An operation of data. What it does not finish in this slice it goes on with in the next. */
type Slice = (task: Task, access: Access) => void;

/** How a task ends whose bytes are all done; absent: with success. */
type End = (task: Task) => void;

const slices: (Slice | undefined)[] = [];
slices[Opcode.MEMMOVE] = move;
slices[Opcode.FILL] = fill;
slices[Opcode.COMPARE] = compare;
slices[Opcode.COMPARE_PATTERN] = comparePattern;
slices[Opcode.CREATE_DELTA] = createDelta;
slices[Opcode.APPLY_DELTA] = applyDelta;
slices[Opcode.DUALCAST] = dualcast;
slices[Opcode.CRC_GENERATION] = crc;
slices[Opcode.COPY_CRC] = crc;
slices[Opcode.DIF_CHECK] = dif;
slices[Opcode.DIF_INSERT] = dif;
slices[Opcode.DIF_STRIP] = dif;
slices[Opcode.DIF_UPDATE] = dif;
slices[Opcode.CACHE_FLUSH] = flush;

const ends: (End | undefined)[] = [];
ends[Opcode.COMPARE] = (task) => endCompare(task, 0);
ends[Opcode.COMPARE_PATTERN] = ends[Opcode.COMPARE];
ends[Opcode.CREATE_DELTA] = (task) => endCreate(task);

/**
 * Does the next slice of `task`, whose status is NONE and whose descriptor has passed its checks. @returns
 * what it costs, in bytes moved or looked at.
 */
export function advance(task: Task, access: Access): number {
  const { opcode } = task.descriptor;
  const slice = slices[opcode];
  if (slice === undefined) {
    // Noop, and a drain: by the time that an engine has it, what it waits for is over.
    task.status = Status.SUCCESS;
    return 0;
  }
  const before = task.done;
  slice(task, access);
  if (task.status === Status.NONE && task.remaining === 0) {
    const end = ends[opcode];
    if (end === undefined) task.status = Status.SUCCESS;
    else end(task);
  }
  const bytes = task.done - before;
  return opcode === Opcode.APPLY_DELTA ? bytes * APPLY_COST : bytes;
}
