/**
 * WaitClock: for how long this thread has waited: neither had its processor nor wanted it, or was kept by the
 * kernel, which made a page for it (to clear one of 1 GiB takes 0.3 s).
 *
 * Where a piece of work has taken long, that may have been work, or others may have had the processor, or the
 * machine that this one is a guest of. What the kernel counts of the thread tells (schedstat of proc(5),
 * getrusage(2)): time with a processor, time in the queue for one, time in the kernel, how many times it has
 * gone to sleep, and how many pages it was given.
 *
 * To ask costs 2 µs, more than most pieces of work. So the kernel is asked once in FRESH_MS, before a piece,
 * and after those that took LONG_MS. Waits that have a limit of their own are excused. Invariant: a wait is
 * never told longer than it was.
 */
import { openSync, readSync } from 'node:fs';
import { addressOf, libc } from './ffi.js';

/** A piece of work that took less has kept nobody for long, whatever it did. */
const LONG_MS = 20;
const FRESH_MS = 5;

const SYS_getrusage = process.arch === 'arm64' ? 165 : 98;
const RUSAGE_THREAD = 1;
/** ru_utime, ru_stime, ru_minflt and ru_nvcsw of struct rusage, in longs, of which there are so many. */
const [USER_TIME, SYSTEM_TIME, FAULTS, VOLUNTARY, LONGS] = [0, 2, 8, 16, 18];

export class WaitClock {
  readonly #text = Buffer.alloc(128);
  readonly #usage = new BigInt64Array(LONGS);
  readonly #usageAt = addressOf(new Uint8Array(this.#usage.buffer));
  #schedstat: number | undefined;
  /** When the piece began, and for how long it has waited as it may. */
  #began = 0;
  #excused = 0;
  /** When the kernel was asked, and what it has said: ms, times. */
  #asked = Number.NEGATIVE_INFINITY;
  #busy = 0;
  #ours = 0;
  #kernel = 0;
  #faults = 0n;
  #sleeps = 0n;

  /** A piece of work begins. */
  begin(): void {
    this.#began = performance.now();
    this.#excused = 0;
    if (this.#began - this.#asked <= FRESH_MS) return;
    this.#asked = this.#began;
    this.#busy = this.#busyTime();
    const usage = this.#used();
    this.#ours = timeIn(usage, USER_TIME);
    this.#kernel = timeIn(usage, SYSTEM_TIME);
    this.#faults = usage[FAULTS]!;
    this.#sleeps = usage[VOLUNTARY]!;
  }

  /** It has waited for `ms`, which is nobody's fault, or counted elsewhere. */
  excuse(ms: number): void {
    this.#excused += ms;
  }

  /** It has ended. @returns how many ms it has waited at least; 0 where the kernel does not count that. */
  end(): number {
    const took = performance.now() - this.#began;
    if (took < LONG_MS) return 0;
    const usage = this.#used();
    const keptByKernel = this.#keptByKernel(usage);
    if (keptByKernel === 0 && usage[VOLUNTARY] === this.#sleeps) return 0;
    const waited = took - this.#excused - (this.#busyTime() - this.#busy - keptByKernel);
    return waited > 0 ? Math.min(waited, took) : 0;
  }

  /**
   * For how long the kernel has made pages. It samples which part of a thread's time is its own, so only that
   * counts which is most of it; and a few pages are nothing, which our own heap gets now and then.
   */
  #keptByKernel(usage: BigInt64Array): number {
    if (usage[FAULTS] === this.#faults) return 0;
    const inKernel = timeIn(usage, SYSTEM_TIME) - this.#kernel;
    const ours = timeIn(usage, USER_TIME) - this.#ours;
    return inKernel < LONG_MS || inKernel < ours ? 0 : inKernel;
  }

  #used(): BigInt64Array {
    libc().syscall(SYS_getrusage, RUSAGE_THREAD, this.#usageAt, 0);
    return this.#usage;
  }

  /** For how long the thread has had a processor, or has waited for one; NaN: that is not counted. */
  #busyTime(): number {
    try {
      this.#schedstat ??= openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
      const length = readSync(this.#schedstat, this.#text, 0, this.#text.length, 0);
      const [had, waited] = this.#text.toString('latin1', 0, length).split(' ');
      return (Number(had) + Number(waited)) / 1e6;
    } catch {
      return Number.NaN;
    }
  }
}

/** A struct timeval in ms. */
function timeIn(usage: BigInt64Array, at: number): number {
  return Number(usage[at]!) * 1000 + Number(usage[at + 1]!) / 1000;
}

/** That of this process's first thread. */
export const waitClock = new WaitClock();
