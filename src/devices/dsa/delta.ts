/**
 * Create and apply delta record (specification, 8.3).
 *
 * Of a create, `done` counts compared bytes, and `recordSize` those of the record: whole deltas that are in
 * memory, for all that is compared. Of an apply, `done` counts bytes of the record, and `lastDelta` is the
 * offset of the last delta that was applied.
 */
import type { Access } from './access.js';
import { BOUNCE_SIZE, first, firstWords, readSource, readSources, second, secondWords } from './bounce.js';
import { DELTA_SIZE, deltaOffset, nextDifference, putDelta, UNIT } from './delta-record.js';
import { type Descriptor, Flag, Status } from './descriptor.js';
import type { Task } from './task.js';

/** Results of a create. */
const EQUAL = 0;
const DIFFERENT = 1;
const TOO_DIFFERENT = 2;

/**
 * Deltas of a slice of an apply. Each may be a write of its own, which costs far more than its bytes: as much
 * as `APPLY_COST` times them.
 */
const APPLY_SLICE = 40 * DELTA_SIZE;
export const APPLY_COST = 64;
/** Deltas are reported as applied in fours, so that a record is aligned where another descriptor goes on. */
const RESUMABLE = 4 * DELTA_SIZE;

const record = new Uint8Array((BOUNCE_SIZE / UNIT) * DELTA_SIZE);

function maximumSize(d: Descriptor): number {
  return d.word(48);
}

export function createDelta(task: Task, access: Access): void {
  const read = readSources(task, access);
  const length = read - (read % UNIT);
  const room = maximumSize(task.descriptor) - task.recordSize;
  let size = 0;
  let at = nextDifference(firstWords, secondWords, 0, length);
  for (; at < length; at = nextDifference(firstWords, secondWords, at + UNIT, length)) {
    if (size + DELTA_SIZE > room) break;
    putDelta(record, size, task.done + at, second, at);
    size += DELTA_SIZE;
  }
  if (!writeDeltas(task, access, size)) return;
  task.done += at;
  if (at < length) endCreate(task, TOO_DIFFERENT);
}

/** Writes record[0..size) behind the deltas that are written. @returns false when that has faulted. */
function writeDeltas(task: Task, access: Access, size: number): boolean {
  if (size === 0) return true;
  const to = task.descriptor.address(40) + task.recordSize;
  const written = access.write(task.pasid, to, record, 0, size);
  const whole = written - (written % DELTA_SIZE);
  task.recordSize += whole;
  if (!access.faulted) return true;
  task.fault(access.faultAddress, true);
  task.done = deltaOffset(record, whole);
  return false;
}

/** Ends a create: all is compared, or `result` says why not. */
export function endCreate(task: Task, result = task.recordSize === 0 ? EQUAL : DIFFERENT): void {
  const d = task.descriptor;
  task.result = result;
  task.faultAddress = 0;
  const unexpected = d.has(Flag.CHECK_RESULT) && ((d.bytes[56]! >>> result) & 1) === 0;
  task.status = unexpected ? Status.SUCCESS_FALSE_PREDICATE : Status.SUCCESS;
}

export function applyDelta(task: Task, access: Access): void {
  const read = readSource(task, access, APPLY_SLICE);
  const whole = read - (read % DELTA_SIZE);
  for (let at = 0; at < whole; ) {
    const units = run(task, at, whole);
    if (units === 0) return;
    const offset = deltaOffset(first, at);
    const written = access.write(task.pasid, task.descriptor.destination + offset, second, 0, units * UNIT);
    const deltas = Math.floor(written / UNIT);
    task.done += deltas * DELTA_SIZE;
    if (deltas > 0) task.lastDelta = offset + (deltas - 1) * UNIT;
    if (access.faulted) {
      task.fault(access.faultAddress, true);
      return;
    }
    at += units * DELTA_SIZE;
  }
}

/**
 * Gathers the units of the deltas from first[at] on that follow each other without a gap in `second`.
 * @returns how many; 0 when the first of them may not be applied: the task has ended.
 */
function run(task: Task, at: number, end: number): number {
  const start = deltaOffset(first, at);
  if (start >= task.descriptor.size) task.status = Status.DELTA_OFFSET;
  else if (start < task.lastDelta) task.status = Status.DELTA_ORDER;
  else return gather(task.descriptor.size, start, at, end);
  task.faultAddress = 0;
  return 0;
}

function gather(limit: number, start: number, from: number, end: number): number {
  let units = 0;
  for (let at = from; at < end; at += DELTA_SIZE) {
    const offset = start + units * UNIT;
    if (offset >= limit || deltaOffset(first, at) !== offset) break;
    for (let i = 0; i < UNIT; i++) second[units * UNIT + i] = first[at + 2 + i]!;
    units++;
  }
  return units;
}

/** Of `done` bytes of a record that are applied, those that need not be applied again. */
export function resumableDeltas(done: number): number {
  return done - (done % RESUMABLE);
}
