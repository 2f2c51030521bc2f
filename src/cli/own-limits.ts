/**
 * The resource limits (ulimit) that a server cannot do with, asked before anything is made: Node ends itself
 * in the middle, without a sentence of ours, where it gets no more addresses. For open files it is asked
 * earlier still (requirements.ts).
 */
import { readFileSync } from 'node:fs';
import { type ErrnoName, refuse } from '../linux/errno.js';

interface Need {
  /** As proc(5) has it in /proc/PID/limits. */
  readonly name: string;
  readonly option: string;
  readonly least: number;
  readonly errno: ErrnoName;
}

const needs: readonly Need[] = [
  // 8 GiB for mappings and their tables, most of which stay addresses alone, and 1.2 for each thread.
  { name: 'address space', option: 'ulimit -v', least: 14 * 2 ** 30, errno: 'ENOMEM' },
  // Heaps, and what is in use of those 8 GiB.
  { name: 'data size', option: 'ulimit -d', least: 2 ** 30, errno: 'ENOMEM' },
  // Memory that is shared with the processes that it starts is a file.
  { name: 'file size', option: 'ulimit -f', least: 2 ** 20, errno: 'EFBIG' },
];

/** @throws Refusal ENOMEM, EFBIG naming the limit: a server of this process would not start. */
export function checkOwnLimits(limits: string = readFileSync('/proc/self/limits', 'latin1')): void {
  for (const { name, option, least, errno } of needs) {
    const soft = Number(new RegExp(`^Max ${name}\\s+(\\d+)`, 'm').exec(limits)?.[1] ?? Infinity);
    if (soft < least)
      refuse(errno, `the limit of ${name} is ${soft} bytes (${option}), and at least ${least} are needed`);
  }
}
