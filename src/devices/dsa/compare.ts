/**
 * Compare and compare pattern (specification, 8.3): the result is 1 from the first byte that differs.
 *
 * A difference that is found before a fault is the result, and the fault is none.
 */
import type { Access } from './access.js';
import { first, firstWords, readSource, readSources, repeatPattern, second, secondWords } from './bounce.js';
import { Flag, Status } from './descriptor.js';
import type { Task } from './task.js';

export function compare(task: Task, access: Access): void {
  endSliceOfCompare(task, readSources(task, access));
}

export function comparePattern(task: Task, access: Access): void {
  const read = readSource(task, access);
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

export function endCompare(task: Task, result: number): void {
  const d = task.descriptor;
  task.result = result;
  task.faultAddress = 0;
  const falsePredicate = d.has(Flag.CHECK_RESULT) && (d.bytes[40]! & 1) !== result;
  task.status = falsePredicate ? Status.SUCCESS_FALSE_PREDICATE : Status.SUCCESS;
}
