/**
 * The 32-byte completion record. Layout: Linux, include/uapi/linux/idxd.h, struct dsa_completion_record.
 *
 * Programs poll the status byte, so it must not appear before the rest: the record is written in two parts, the first eight bytes last.
 */
import type { Access } from './access.js';
import { Flag, Opcode, Status } from './descriptor.js';
import { crcOf } from './operations.js';
import type { Task } from './task.js';

const RECORD_SIZE = 32;
const FIRST_PART = 8;

const record = new Uint8Array(RECORD_SIZE);
const view = new DataView(record.buffer);

/** What became of a record. */
export const Written = { NOT_WANTED: 0, WRITTEN: 1, FAULTED: 2, MISALIGNED: 3, NO_ADDRESS: 4 } as const;

/** Writes the record of `task`, which has ended, if there is one to write. @returns a value of `Written`. */
export function writeCompletion(task: Task, access: Access): number {
  const d = task.descriptor;
  const failed = task.status !== Status.SUCCESS;
  if (!d.has(Flag.COMPLETION_ADDRESS_VALID)) return failed ? Written.NO_ADDRESS : Written.NOT_WANTED;
  if (!failed && !d.has(Flag.REQUEST_COMPLETION)) return Written.NOT_WANTED;
  if (d.completionAddress % RECORD_SIZE !== 0) return Written.MISALIGNED;
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

/** Zero after an operation that did all of its bytes; a batch counts descriptors, and a compare that differs says where. */
function bytesCompleted(task: Task): number {
  if (task.descriptor.opcode === Opcode.BATCH) return task.done;
  return task.done === task.descriptor.size ? 0 : task.done;
}

function hasCrc(task: Task): boolean {
  const opcode = task.descriptor.opcode;
  return task.seeded && (opcode === Opcode.CRC_GENERATION || opcode === Opcode.COPY_CRC);
}
