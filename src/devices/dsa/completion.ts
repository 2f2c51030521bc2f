/**
 * The 32-byte completion record. Layout: specification (see docs/dsa.md), 8.2.
 *
 * Programs poll the status byte, so it must not appear before the rest: the record is written in two parts,
 * the first eight bytes last.
 */
import type { Access } from './access.js';
import { Flag, Opcode, Status } from './descriptor.js';
import { crcOf } from './operations.js';
import type { Task } from './task.js';

/** Bytes of a record, and what its address is a multiple of. */
export const RECORD_SIZE = 32;
const FIRST_PART = 8;

const record = new Uint8Array(RECORD_SIZE);
const view = new DataView(record.buffer);

/** What became of a record. NONE: there can be none, so that the status belongs into SWERR. */
export const Written = { NOT_WANTED: 0, WRITTEN: 1, FAULTED: 2, NONE: 3 } as const;

/** Statuses that are written only when a record was requested. */
const SUCCESSES: readonly number[] = [Status.SUCCESS, Status.SUCCESS_FALSE_PREDICATE, Status.BATCH_FAILED];
/** Statuses that are never written into a record. */
const UNWRITTEN: readonly number[] = [Status.COMPLETION_ALIGNMENT, Status.PRIVILEGE];

/** Writes the record of `task`, which has ended, if there is one to write. @returns a value of `Written`. */
export function writeCompletion(task: Task, access: Access): number {
  const d = task.descriptor;
  const failed = !SUCCESSES.includes(task.status);
  if (UNWRITTEN.includes(task.status)) return Written.NONE;
  if (!d.has(Flag.COMPLETION_ADDRESS_VALID)) return failed ? Written.NONE : Written.NOT_WANTED;
  if (!failed && !d.has(Flag.REQUEST_COMPLETION)) return Written.NOT_WANTED;
  compose(task);
  access.write(task.pasid, d.completionAddress + FIRST_PART, record, FIRST_PART, RECORD_SIZE - FIRST_PART);
  if (!access.faulted) access.write(task.pasid, d.completionAddress, record, 0, FIRST_PART);
  return access.faulted ? Written.FAULTED : Written.WRITTEN;
}

function compose(task: Task): void {
  record.fill(0);
  record[0] = task.status;
  record[1] = task.result;
  view.setUint32(4, bytesCompleted(task), true);
  view.setUint32(8, task.faultAddress % 2 ** 32, true);
  view.setUint32(12, Math.floor(task.faultAddress / 2 ** 32), true);
  if (task.status === Status.INVALID_FLAGS) view.setUint32(16, task.invalidFlags, true);
  else if (hasCrc(task)) view.setUint32(16, crcOf(task), true);
}

/**
 * Zero after an operation that did all of its bytes; a batch counts descriptors, and a compare that differs
 * says where.
 */
function bytesCompleted(task: Task): number {
  if (task.descriptor.opcode === Opcode.BATCH) return task.done;
  return task.done === task.descriptor.size ? 0 : task.done;
}

function hasCrc(task: Task): boolean {
  const opcode = task.descriptor.opcode;
  return task.seeded && (opcode === Opcode.CRC_GENERATION || opcode === Opcode.COPY_CRC);
}
