/**
 * The list of buffers of a readv, writev, or one of their kin that a thread is waiting in.
 *
 * FUSE hands over all bytes of such a call as one request. Which buffers they come from, or go to, only the
 * caller's own system call says, and while the thread waits for our answer /proc/TID/syscall has it. A thread
 * that is not asleep there yet is waited for, in small steps between which others are served: not longer than
 * MOST_WAIT_MS, and not when it runs on, as one does that has left the request to io_uring or libaio.
 */
import { closeSync, openSync } from 'node:fs';
import { address, libc } from './ffi.js';
import { procFile } from './own-proc.js';

/** What `readv`, `writev`, `preadv`, `pwritev`, `preadv2` and `pwritev2` are called here (asm/unistd.h). */
const numbers: Partial<Record<string, readonly number[]>> = {
  x64: [19, 20, 295, 296, 327, 328],
  arm64: [65, 66, 69, 70, 286, 287],
};
const MOST_WAIT_MS = 100;
const STEP_MS = 0.02;
/** A thread that has run for so long since it was first looked at does not wait for us. */
const RUNS_ON_NS = 1_000_000;

const text = Buffer.alloc(256);
const textAddress = address(text);
const nobody = new Int32Array(new SharedArrayBuffer(4));

/** An array of `struct iovec` in the memory of the thread. */
export interface BufferList {
  readonly address: number;
  readonly count: number;
}

/**
 * @returns undefined when thread `tid` waits in no such call, or /proc does not tell; 'running': it is not
 * asleep yet.
 */
export function bufferListOf(tid: number): BufferList | undefined | 'running' {
  const said = sayingOf(tid);
  return isRunning(said) ? 'running' : listIn(said);
}

/** The same when it is asleep; undefined when it does not fall asleep. */
export function* bufferListSoon(tid: number): Generator<undefined, BufferList | undefined, unknown> {
  const until = performance.now() + MOST_WAIT_MS;
  const begun = runTime(tid);
  let said = sayingOf(tid);
  while (isRunning(said) && performance.now() < until && runTime(tid) - begun < RUNS_ON_NS) {
    Atomics.wait(nobody, 0, 0, STEP_MS);
    yield;
    said = sayingOf(tid);
  }
  return listIn(said);
}

function isRunning(said: string | undefined): boolean {
  return said?.startsWith('running') === true;
}

/** `said`: number and arguments, as /proc has them; undefined for a thread that is out of reach. */
function listIn(said: string | undefined): BufferList | undefined {
  const known = numbers[process.arch] ?? [];
  const words = said?.split(' ') ?? [];
  if (!known.includes(Number(words[0]))) return undefined;
  return { address: Number(words[2]), count: Number(words[3]) };
}

/**
 * The file of the thread that was asked about last: to open it costs more than the rest, and most callers
 * call again. It says nothing when that thread has gone, whoever has its number then.
 */
let last: { readonly tid: number; readonly fd: number } | undefined;

function sayingOf(tid: number): string | undefined {
  if (last?.tid === tid) {
    const said = textOf(last.fd);
    if (said !== undefined) return said;
  }
  if (last !== undefined) closeSync(last.fd);
  last = undefined;
  try {
    last = { tid, fd: openSync(procFile(tid, 'syscall'), 'r') };
  } catch {
    return undefined;
  }
  return textOf(last.fd);
}

function textOf(fd: number): string | undefined {
  const length = libc().pread(fd, textAddress, text.length, 0);
  return length < 0 ? undefined : text.toString('latin1', 0, length);
}

/** For how long the thread has had a processor, in ns; NaN where the kernel does not count that. */
function runTime(tid: number): number {
  let fd: number | undefined;
  try {
    fd = openSync(procFile(tid, 'schedstat'), 'r');
    return Number(textOf(fd)?.split(' ')[0]);
  } catch {
    return Number.NaN;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
