/**
 * The operations that move: memory move, fill, dualcast, and cache flush, which only has to reach its pages.
 *
 * Each does one slice, and counts as done what is written (specification, 8.3).
 */
import type { Access } from './access.js';
import { BOUNCE_SIZE, first, readSource, repeatPattern, writeRead } from './bounce.js';
import { Status } from './descriptor.js';
import type { Task } from './task.js';

const PAGE_SIZE = 0x1000;

export function move(task: Task, access: Access): void {
  const d = task.descriptor;
  if (d.source < d.destination && d.destination < d.source + d.size) moveBackwards(task, access);
  else moveForwards(task, access);
}

function moveForwards(task: Task, access: Access): void {
  writeRead(task, access, readSource(task, access));
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

export function fill(task: Task, access: Access): void {
  const d = task.descriptor;
  const length = Math.min(task.remaining, BOUNCE_SIZE);
  repeatPattern(first, task, 16, length);
  const written = access.write(task.pasid, d.destination + task.done, first, 0, length);
  if (access.faulted) task.fault(access.faultAddress, true);
  task.done += written;
}

export function dualcast(task: Task, access: Access): void {
  const d = task.descriptor;
  const read = readSource(task, access);
  if (read === 0) return;
  let written = access.write(task.pasid, d.destination + task.done, first, 0, read);
  if (access.faulted) task.fault(access.faultAddress, true);
  if (written > 0) {
    written = access.write(task.pasid, d.address(40) + task.done, first, 0, written);
    if (access.faulted) task.fault(access.faultAddress, true);
  }
  task.done += written;
}

/**
 * There are no caches here, so what remains of a flush are its faults: an access of each page, which leaves
 * memory as it is.
 */
export function flush(task: Task, access: Access): void {
  const end = task.done + Math.min(task.remaining, BOUNCE_SIZE);
  while (task.done < end && task.status === Status.NONE) {
    const at = task.descriptor.destination + task.done;
    access.read(task.pasid, at, first, 1);
    if (access.faulted) task.fault(access.faultAddress, false);
    else task.done += Math.min(end - task.done, PAGE_SIZE - (at % PAGE_SIZE));
  }
}
