/**
 * The operations: each advances a Task by one slice of at most `BOUNCE_SIZE` bytes, through the bounce
 * buffers and nothing else.
 *
 * A slice reads first and writes afterwards what it read, never more. Where reading stops short the bytes
 * before are still written, so that `done` is exact: the fault that is reported is the one nearest to the
 * bytes that were done. The buffers are shared by all engines, because no slice is ever interrupted.
 */
import type { Access } from './access.js';
import { crc32c, crc32cReversed, reverse32 } from './crc32c.js';
import { Flag, Opcode, Status } from './descriptor.js';
import type { Task } from './task.js';

/**
 * Bytes of a slice: large enough that a slice's fixed costs vanish, small enough for the caches and for
 * `step`.
 */
const BOUNCE_SIZE = 0x10000;
const PAGE_SIZE = 0x1000;
const PATTERN_SIZE = 8;

const first = new Uint8Array(BOUNCE_SIZE);
const second = new Uint8Array(BOUNCE_SIZE);
const firstWords = new Int32Array(first.buffer);
const secondWords = new Int32Array(second.buffer);

/**
 * Does the next slice of `task`, whose status is NONE and whose descriptor has passed its checks. @returns
 * the bytes moved or looked at.
 */
export function advance(task: Task, access: Access): number {
  const before = task.done;
  switch (task.descriptor.opcode) {
    case Opcode.MEMMOVE:
      move(task, access);
      break;
    case Opcode.FILL:
      fill(task, access);
      break;
    case Opcode.COMPARE:
      compare(task, access);
      break;
    case Opcode.COMPARE_PATTERN:
      comparePattern(task, access);
      break;
    case Opcode.DUALCAST:
      dualcast(task, access);
      break;
    case Opcode.CRC_GENERATION:
    case Opcode.COPY_CRC:
      crc(task, access);
      break;
    default:
      // Noop, and a drain: by the time that an engine has it, what it waits for is over.
      task.status = Status.SUCCESS;
      return 0;
  }
  if (task.status === Status.NONE && task.remaining === 0) finish(task);
  return task.done - before;
}

function finish(task: Task): void {
  task.status = Status.SUCCESS;
  if (task.descriptor.opcode === Opcode.COMPARE || task.descriptor.opcode === Opcode.COMPARE_PATTERN)
    endCompare(task, 0);
}

function move(task: Task, access: Access): void {
  const d = task.descriptor;
  if (d.source < d.destination && d.destination < d.source + d.size) moveBackwards(task, access);
  else moveForwards(task, access);
}

function moveForwards(task: Task, access: Access): void {
  const d = task.descriptor;
  const read = access.read(task.pasid, d.source + task.done, first, Math.min(task.remaining, BOUNCE_SIZE));
  if (access.faulted) task.fault(access.faultAddress, false);
  writeRead(task, access, read);
}

/** Writes the `length` bytes that were just read, and counts them. */
function writeRead(task: Task, access: Access, length: number): void {
  if (length === 0) return;
  const written = access.write(task.pasid, task.descriptor.destination + task.done, first, 0, length);
  if (access.faulted) task.fault(access.faultAddress, true);
  task.done += written;
}

/**
 * From the last byte to the first, for a destination that begins inside the source. Pieces end at page
 * boundaries of both sides, so a fault cannot leave a hole below bytes that are not done yet.
 */
function moveBackwards(task: Task, access: Access): void {
  const d = task.descriptor;
  for (let moved = 0; moved < BOUNCE_SIZE && task.remaining > 0 && task.status === Status.NONE; ) {
    const sourceEnd = d.source + task.remaining;
    const destinationEnd = d.destination + task.remaining;
    const length = Math.min(task.remaining, bytesOfLastPage(sourceEnd), bytesOfLastPage(destinationEnd));
    if (copyPiece(task, access, sourceEnd - length, destinationEnd - length, length)) task.done += length;
    moved += length;
  }
  if (task.status !== Status.NONE) task.result = 1;
}

function copyPiece(task: Task, access: Access, source: number, destination: number, length: number): boolean {
  access.read(task.pasid, source, first, length);
  if (access.faulted) task.fault(access.faultAddress, false);
  else {
    access.write(task.pasid, destination, first, 0, length);
    if (access.faulted) task.fault(access.faultAddress, true);
  }
  return !access.faulted;
}

function bytesOfLastPage(end: number): number {
  return ((end - 1) & (PAGE_SIZE - 1)) + 1;
}

function fill(task: Task, access: Access): void {
  const d = task.descriptor;
  const length = Math.min(task.remaining, BOUNCE_SIZE);
  repeatPattern(first, task, 16, length);
  const written = access.write(task.pasid, d.destination + task.done, first, 0, length);
  if (access.faulted) task.fault(access.faultAddress, true);
  task.done += written;
}

/**
 * Fills `target` with the 8 bytes at `offset` of the descriptor, over and over, for at least `length` bytes:
 * what comes after the bytes that are done, which after a page fault are any number.
 */
function repeatPattern(target: Uint8Array, { descriptor, done }: Task, offset: number, length: number): void {
  for (let i = 0; i < PATTERN_SIZE; i++) target[i] = descriptor.bytes[offset + ((done + i) % PATTERN_SIZE)]!;
  for (let filled = PATTERN_SIZE; filled < length; filled *= 2)
    target.copyWithin(filled, 0, Math.min(filled, target.length - filled));
}

function compare(task: Task, access: Access): void {
  const d = task.descriptor;
  const length = Math.min(task.remaining, BOUNCE_SIZE);
  let read = access.read(task.pasid, d.source + task.done, first, length);
  if (access.faulted) task.fault(access.faultAddress, false);
  if (read > 0) {
    read = access.read(task.pasid, d.destination + task.done, second, read);
    if (access.faulted) task.fault(access.faultAddress, false);
  }
  endSliceOfCompare(task, read);
}

function comparePattern(task: Task, access: Access): void {
  const d = task.descriptor;
  const read = access.read(task.pasid, d.source + task.done, first, Math.min(task.remaining, BOUNCE_SIZE));
  if (access.faulted) task.fault(access.faultAddress, false);
  repeatPattern(second, task, 24, read);
  endSliceOfCompare(task, read);
}

/** Compares `length` bytes of the buffers. A difference before a fault is what counts. */
function endSliceOfCompare(task: Task, length: number): void {
  for (let i = equalWords(length); i < length; i++) {
    if (first[i] === second[i]) continue;
    task.done += i;
    endCompare(task, 1);
    return;
  }
  task.done += length;
}

/** How many of the first `length` bytes are equal, counting whole words only. */
function equalWords(length: number): number {
  const words = length >>> 2;
  let i = 0;
  while (i < words && firstWords[i] === secondWords[i]) i++;
  return i * 4;
}

function endCompare(task: Task, result: number): void {
  const d = task.descriptor;
  task.result = result;
  task.faultAddress = 0;
  const falsePredicate = d.has(Flag.CHECK_RESULT) && (d.bytes[40]! & 1) !== result;
  task.status = falsePredicate ? Status.SUCCESS_FALSE_PREDICATE : Status.SUCCESS;
}

function dualcast(task: Task, access: Access): void {
  const d = task.descriptor;
  const read = access.read(task.pasid, d.source + task.done, first, Math.min(task.remaining, BOUNCE_SIZE));
  if (access.faulted) task.fault(access.faultAddress, false);
  if (read === 0) return;
  let written = access.write(task.pasid, d.destination + task.done, first, 0, read);
  if (access.faulted) task.fault(access.faultAddress, true);
  if (written > 0) {
    written = access.write(task.pasid, d.address(40) + task.done, first, 0, written);
    if (access.faulted) task.fault(access.faultAddress, true);
  }
  task.done += written;
}

function crc(task: Task, access: Access): void {
  if (!task.seeded && !seed(task, access)) return;
  const d = task.descriptor;
  const read = access.read(task.pasid, d.source + task.done, first, Math.min(task.remaining, BOUNCE_SIZE));
  if (access.faulted) task.fault(access.faultAddress, false);
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
