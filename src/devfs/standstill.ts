/**
 * What a thread of this process that stands still is on, in words for people: what the kernel says of it in
 * /proc (proc_pid_syscall(5), proc_pid_wchan(5)). The descriptors and addresses are its own.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { procFile } from '../linux/own-proc.js';
import { Opcode } from './fuse-wire.js';

/** What the kernel says of a thread. */
export interface ThreadState {
  /** /proc/PID/syscall: `running`, `-1 SP PC`, or a number and its arguments. */
  readonly syscall: string;
  /** The function of the kernel that it waits in; `0`: none, or not told. */
  readonly wchan: string;
}

/** How a system call is told: by what its first argument is. */
type Kind = 'file' | 'position' | 'process' | 'other';
type Calls = Readonly<Record<number, readonly [name: string, kind: Kind]>>;

/** Those that may wait for others, by process.arch. */
const calls: Readonly<Record<string, Calls>> = {
  x64: {
    0: ['read', 'file'],
    1: ['write', 'file'],
    3: ['close', 'file'],
    9: ['mmap', 'other'],
    16: ['ioctl', 'file'],
    17: ['pread', 'position'],
    18: ['pwrite', 'position'],
    257: ['openat', 'other'],
    310: ['process_vm_readv', 'process'],
    311: ['process_vm_writev', 'process'],
    332: ['statx', 'other'],
    438: ['pidfd_getfd', 'other'],
  },
  arm64: {
    29: ['ioctl', 'file'],
    56: ['openat', 'other'],
    57: ['close', 'file'],
    63: ['read', 'file'],
    64: ['write', 'file'],
    67: ['pread', 'position'],
    68: ['pwrite', 'position'],
    222: ['mmap', 'other'],
    270: ['process_vm_readv', 'process'],
    271: ['process_vm_writev', 'process'],
    291: ['statx', 'other'],
    438: ['pidfd_getfd', 'other'],
  },
};

/** USER_HZ of x86 and arm64. */
const TICKS = 100;

/** The function in which the kernel waits for the server of a FUSE filesystem. */
const WAITS_FOR_FUSE = 'request_wait_answer';

/** What the main thread of this process is on. */
export function standstill(): string {
  const of = (file: string) => readFileSync(`/proc/self/task/${process.pid}/${file}`, 'latin1').trim();
  try {
    return describeStandstill({ syscall: of('syscall'), wchan: of('wchan') }, pathOf);
  } catch {
    return 'the kernel does not tell in what';
  }
}

/** Does the main thread of this process wait for memory of another process, or a FUSE filesystem? */
export function waitsForOthers(): boolean {
  return / the memory of process | waits for a FUSE filesystem/.test(standstill());
}

/** How the main thread of this process gets on. */
export interface Progress {
  /** Milliseconds that it has computed, in steps of 10. */
  readonly computed: number;
  /** It waits for something else than a processor, by itself: nobody has stopped it. */
  readonly waits: boolean;
}

export function progress(): Progress {
  const stat = readFileSync(`/proc/self/task/${process.pid}/stat`, 'latin1');
  // proc_pid_stat(5): the name, field 2, may have anything in it; the state is field 3, utime and stime are
  // 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    computed: ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS,
    waits: /^[SDI]/.test(fields[0]!),
  };
}

/** In words. `path` is what a descriptor of the thread is. */
export function describeStandstill({ syscall, wchan }: ThreadState, path: (fd: number) => string): string {
  if (syscall === 'running') return 'it computes';
  const [number = -1, ...given] = syscall.split(' ').map(Number);
  const what = number === -1 ? 'it touches memory that is mapped into it' : describeCall(number, given, path);
  if (wchan !== WAITS_FOR_FUSE) return wchan === '0' ? what : `${what}, and waits in the kernel's ${wchan}`;
  return (
    `${what}, and waits for a FUSE filesystem: writing 1 to /sys/fs/fuse/connections/N/abort, N being the ` +
    'one whose `waiting` is not 0, sets it free'
  );
}

function describeCall(number: number, given: readonly number[], path: (fd: number) => string): string {
  const [name, kind] = calls[process.arch]?.[number] ?? [`system call ${number}`, 'other'];
  const [first = 0, , length = 0, position = 0] = given;
  if (kind === 'other') return `it is in ${name}`;
  if (kind === 'process') return `it is in ${name} of process ${first}`;
  if (kind === 'file') return `it is in ${name} of ${path(first)}`;
  const memory = /^\/proc\/(\d+)\/mem$/.exec(path(first));
  const what = memory === null ? path(first) : `the memory of process ${memory[1]}`;
  return `it is in ${name} of ${length} bytes at 0x${position.toString(16)} of ${what}`;
}

function pathOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return `descriptor ${fd}`;
  }
}

/**
 * For what that is: a request of kind `opcode` (0: none) of thread `tid`, and memory for `model`, code of a
 * device model in words.
 */
export function callInWords(opcode: number, tid: number, model: string | undefined): string {
  const name = Object.entries(Opcode).find(([, code]) => code === opcode)?.[0];
  const request = name === undefined ? '' : ` in ${name} of ${nameThread(tid)}`;
  return model === undefined ? request : `${request}, in a DMA in ${model}`.replace(/^, /, ' ');
}

function nameThread(tid: number): string {
  try {
    return `thread ${tid} (${readFileSync(procFile(tid, 'comm'), 'latin1').trim()})`;
  } catch {
    return `thread ${tid}`;
  }
}
