/**
 * The operations that move: memory move, fill, dualcast, and cache flush, which only has to reach its pages.
 *
 * Each does one slice, and counts as done what is written (specification, 8.3).
 */
import { Ranges } from '../../linux/ranges.js';
import type { Access } from './access.js';
import { BOUNCE_SIZE, first, readSource, repeatPattern, writeRead } from './bounce.js';
import { Status } from './descriptor.js';
import type { Task } from './task.js';

const PAGE_SIZE = 0x1000;

/** The pieces of a slice that is moved backwards, in the order in which they are. */
const pieces = new Ranges();
const destinations = new Ranges();

export function move(task: Task, access: Access): void {
  const d = task.descriptor;
  if (d.source < d.destination && d.destination < d.source + d.size) moveBackwards(task, access);
  else moveForwards(task, access);
}

function moveForwards(task: Task, access: Access): void {
  const { source, destination } = task.descriptor;
  // A slice ends at the same byte however far a copy comes: so what is read ahead of a fault is the same.
  const length = BOUNCE_SIZE - (task.done % BOUNCE_SIZE);
  const most = Math.min(task.remaining, length);
  const copied = access.copySome(task.pasid, source + task.done, destination + task.done, most);
  task.done += copied;
  if (copied > 0) return;
  writeRead(task, access, readSource(task, access, length));
}

/**
 * From the last byte to the first, for a destination that begins inside the source. Pieces end at page
 * boundaries of both sides, so a fault cannot leave a hole below bytes that are not done yet. What is written
 * lies above all that is read after it, so the pieces of a slice are read together, and then written.
 */
function moveBackwards(task: Task, access: Access): void {
  const { source, destination } = task.descriptor;
  pieces.clear();
  for (let left = task.remaining; left > 0; ) {
    const length = Math.min(left, bytesOfLastPage(source + left), bytesOfLastPage(destination + left));
    if (pieces.length + length > BOUNCE_SIZE) break;
    left -= length;
    pieces.add(source + left, length);
  }
  const read = access.moveSome(task.pasid, pieces, first, false);
  if (access.faulted) task.fault(access.faultAddress, false);
  destinations.clear();
  for (let part = 0; part < pieces.count; part++) {
    if (destinations.length + pieces.lengths[part]! > read) break;
    destinations.add(pieces.addresses[part]! - source + destination, pieces.lengths[part]!);
  }
  let written = access.moveSome(task.pasid, destinations, first, true);
  if (access.faulted) {
    task.fault(access.faultAddress, true);
    if (written > 0) written -= destinations.seek(written);
  }
  task.done += written;
  if (task.status !== Status.NONE) task.result = 1;
}

function bytesOfLastPage(end: number): number {
  return ((end - 1) & (PAGE_SIZE - 1)) + 1;
}

export function fill(task: Task, access: Access): void {
  const d = task.descriptor;
  const length = Math.min(task.remaining, BOUNCE_SIZE);
  repeatPattern(first, task, 16, length);
  const written = access.writeSome(task.pasid, d.destination + task.done, first, length);
  if (access.faulted) task.fault(access.faultAddress, true);
  task.done += written;
}

export function dualcast(task: Task, access: Access): void {
  const d = task.descriptor;
  const read = readSource(task, access);
  if (read === 0) return;
  let written = access.writeSome(task.pasid, d.destination + task.done, first, read);
  if (access.faulted) task.fault(access.faultAddress, true);
  if (written > 0) {
    written = access.writeSome(task.pasid, d.address(40) + task.done, first, written);
    if (access.faulted) task.fault(access.faultAddress, true);
  }
  task.done += written;
}

/**
 * There are no caches here, so what remains of a flush are its faults: an access of each page, which leaves
 * memory as it is.
 */
export function flush(task: Task, access: Access): void {
  const { destination } = task.descriptor;
  const end = task.done + Math.min(task.remaining, BOUNCE_SIZE);
  pieces.clear();
  for (let at = task.done; at < end; at = nextPage(destination, at, end)) pieces.add(destination + at, 1);
  const reached = access.moveSome(task.pasid, pieces, first, false);
  if (access.faulted) task.fault(access.faultAddress, false);
  for (let n = 0; n < reached; n++) task.done = nextPage(destination, task.done, end);
}

/** From byte `at` of what begins at `start`: the first byte of its next page, or its `end`. */
function nextPage(start: number, at: number, end: number): number {
  return Math.min(end, at + PAGE_SIZE - ((start + at) % PAGE_SIZE));
}
