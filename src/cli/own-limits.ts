/**
 * The resource limits (ulimit) that a server cannot do with, asked before anything is made: Node ends itself
 * in the middle, without a sentence of ours, where it gets no more addresses. For open files it is asked
 * earlier still (requirements.ts).
 */
import { readFileSync } from 'node:fs';
import type { PlacedSpec } from '../devices/load.js';
import { type ErrnoName, refuse } from '../linux/errno.js';
import { DISK_THREADS } from '../linux/pool-threads.js';
import { hasCapability, threadsOfUser } from '../linux/proc.js';

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

/**
 * Its threads but those for disks, its guard, what starts the command, and the command: so many more than
 * when this is asked.
 */
const MORE_PROCESSES = 24;
/** Only up to this limit those that there are are counted. */
const FEW_PROCESSES = 1024;
const CAP_SYS_ADMIN = 21;
const CAP_SYS_RESOURCE = 24;

/** How many of `devices` have a file for a disk. */
export function disksOf(devices: readonly (string | PlacedSpec)[]): number {
  return devices.filter((each) => /,file=/.test(typeof each === 'string' ? each : each.spec)).length;
}

/**
 * Of a server with so many disks. @throws Refusal ENOMEM, EFBIG, EAGAIN naming the limit: it would not start
 * in this process.
 */
export function checkOwnLimits(
  disks: number,
  limits: string = readFileSync('/proc/self/limits', 'latin1'),
): void {
  for (const { name, option, least, errno } of needs) {
    const soft = softLimit(limits, name);
    if (soft < least)
      refuse(errno, `the limit of ${name} is ${soft} bytes (${option}), and at least ${least} are needed`);
  }
  const most = softLimit(limits, 'processes');
  const more = MORE_PROCESSES + DISK_THREADS * disks;
  if (most < FEW_PROCESSES && isLimited()) checkProcesses(most, threadsOfUser(process.getuid!()), more);
}

function softLimit(limits: string, name: string): number {
  return Number(new RegExp(`^Max ${name}\\s+(\\d+)`, 'm').exec(limits)?.[1] ?? Infinity);
}

/** @throws Refusal EAGAIN when `there` of `most` leave no `more`. */
function checkProcesses(most: number, there: number, more: number): void {
  if (most - there < more)
    refuse(
      'EAGAIN',
      `the limit of processes and threads is ${most} (ulimit -u), the user has ${there}, ` +
        `and at least ${more} more are needed`,
    );
}

/** Who may have any number has no limit, whatever it says. */
function isLimited(): boolean {
  const { pid } = process;
  const any = hasCapability(pid, CAP_SYS_ADMIN) || hasCapability(pid, CAP_SYS_RESOURCE);
  return process.getuid!() !== 0 && !any;
}
