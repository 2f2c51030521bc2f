/**
 * The 32-byte completion record. Layout: specification (see docs/dsa.md), 8.2.
 *
 * Programs poll the status byte, so it must not appear before the rest: the record is written in two parts,
 * the first eight bytes last.
 */
import type { Access } from './access.js';
import { crcOf } from './crc.js';
import { resumableDeltas } from './delta.js';
import { Flag, Opcode, Status } from './descriptor.js';
import { isDif, putTags, sourceBlock } from './dif.js';
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
  else if (wasExecuted(task)) composeResult(task);
}

/** What an operation has to say beside its status, of all bytes or of those before a fault. */
function composeResult(task: Task): void {
  const d = task.descriptor;
  if (d.opcode === Opcode.CRC_GENERATION || d.opcode === Opcode.COPY_CRC) {
    if (task.seeded) view.setUint32(16, crcOf(task), true);
  } else if (d.opcode === Opcode.CREATE_DELTA) view.setUint32(16, task.recordSize, true);
  else if (isDif(d)) putTags(d, task.done / sourceBlock(d), view);
}

/** Statuses from 0x10 on are of descriptors that were refused. */
function wasExecuted(task: Task): boolean {
  return (task.status & ~Status.WRITE_FAULT) < Status.UNSUPPORTED_OPCODE;
}

/**
 * Zero after an operation that did all of its bytes; a batch counts descriptors, and a compare that differs
 * says where.
 */
function bytesCompleted(task: Task): number {
  const { opcode } = task.descriptor;
  if (opcode === Opcode.BATCH) return task.done;
  if (task.done === task.total) return 0;
  return opcode === Opcode.APPLY_DELTA ? resumableDeltas(task.done) : task.done;
}
