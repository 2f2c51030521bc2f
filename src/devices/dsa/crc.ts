/**
 * CRC generation, and copy with CRC (specification, 8.3): the register that `crc32c.ts` advances is in the
 * task, and has seen the bytes that are done.
 */
import type { Access } from './access.js';
import { first, firstWords, readSource, writeRead } from './bounce.js';
import { crc32c, crc32cReversed, reverse32 } from './crc32c.js';
import { Flag, Opcode } from './descriptor.js';
import type { Task } from './task.js';

export function crc(task: Task, access: Access): void {
  if (!task.seeded && !seed(task, access)) return;
  const d = task.descriptor;
  const read = readSource(task, access);
  const before = task.done;
  if (d.opcode === Opcode.COPY_CRC) writeRead(task, access, read);
  else task.done += read;
  const run = d.has(Flag.CRC_BYPASS_DATA_REFLECTION) ? crc32cReversed : crc32c;
  task.crc = run(task.crc, first, task.done - before);
}

/**
 * Loads the CRC register: from the descriptor or from memory. The bypass flag leaves out the inversion, and
 * the bit order of its field.
 */
function seed(task: Task, access: Access): boolean {
  const d = task.descriptor;
  let value = d.word(40);
  if (d.has(Flag.CRC_READ_SEED)) {
    access.read(task.pasid, d.address(48), first, 4);
    if (access.faulted) {
      task.fault(access.faultAddress, false);
      return false;
    }
    value = firstWords[0]!;
  }
  task.crc = d.has(Flag.CRC_BYPASS_INVERSION) ? reverse32(value) : ~value;
  task.seeded = true;
  return true;
}

/**
 * The CRC field of the completion record: of all bytes, or of those before a fault, good as the seed of what
 * follows.
 */
export function crcOf(task: Task): number {
  return (task.descriptor.has(Flag.CRC_BYPASS_INVERSION) ? reverse32(task.crc) : ~task.crc) >>> 0;
}
