/**
 * HelperProcess: a process of ours that makes system calls for this one, so that it waits and not we.
 *
 * What the kernel has to fetch from another process (a page of a file whose FUSE server does not answer, a
 * lock that a thread holds while it waits for one) comes when that process likes, and no signal ends the
 * wait, SIGKILL included. A thread that waits so keeps its process from ending. A helper has nothing that
 * anybody misses: memory that it shares with us, and descriptors that it was given.
 *
 * Invariant: a helper that has not answered in time is dead. SIGKILL is pending for it, so whatever it waits
 * for, it does nothing more when that has come: the kernel looks for the signal before it touches the next
 * page. It ends with this process too, killed by the kernel.
 *
 * It costs two changes of process for each time that it is asked: 20 µs where the call itself takes 3. So
 * what may wait for nobody is done without it (reach.ts).
 */
import { Refusal, refuse } from './errno.js';
import { processEnd } from './fd-identity.js';
import { addressOf, lastErrno, libc, viewMemory } from './ffi.js';
import { SHARED_AT, SHARED_BYTES } from './helper-code.js';
import { startHelper } from './helper-start.js';
import { procFile } from './own-proc.js';
import { waitClock } from './wait-clock.js';

/** System calls that have the same number everywhere. */
const OF_ALL = { pidfd_open: 434, close_range: 436, pidfd_getfd: 438 };

/** System calls by their number here, and what a helper is given to do. */
export const Sys =
  process.arch === 'arm64'
    ? {
        futex: 98,
        ioctl: 29,
        openat: 56,
        close: 57,
        pread: 67,
        pwrite: 68,
        prctl: 167,
        chdir: 49,
        mkdirat: 34,
        unlinkat: 35,
        faccessat: 48,
        process_vm_readv: 270,
        process_vm_writev: 271,
        ...OF_ALL,
      }
    : {
        futex: 202,
        ioctl: 16,
        openat: 257,
        close: 3,
        pread: 17,
        pwrite: 18,
        prctl: 157,
        chdir: 80,
        mkdirat: 258,
        unlinkat: 263,
        faccessat: 269,
        process_vm_readv: 310,
        process_vm_writev: 311,
        ...OF_ALL,
      };

/** More than any start takes. */
const START_MS = 1000;
const O_CLOEXEC = 0o2000000;
const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const P_PID = 1;
const WEXITED_NOHANG = 5;

/** Words of the memory that is shared, as helper-code.ts has them. */
const [ASKED, ANSWERED, COUNT, CALLS, CALL_WORDS, RESULT, LEAST] = [0, 1, 3, 16, 16, 12, 14];
/** Bytes for what the calls read and write. */
export const DATA_BYTES = 0x10000;
const DATA = SHARED_BYTES - DATA_BYTES;
/** Calls that a helper can be given at once. */
export const MOST_CALLS = Math.floor((DATA / 4 - CALLS) / CALL_WORDS);
/** The upper half of a result that is not there yet, and of one that is less than any. */
const NO_RESULT = 0x7fff_ffff;
const LEAST_OF_ALL = -0x8000_0000;

/** How often it is looked whether a helper that has not answered computes, or sleeps. */
const STEP_MS = 1;
/** Steps that one may take that gets no processor. */
const MOST_STEPS = 2000;

/** What the kernel counts processor time in for programs. */
const TICK_MS = 10;

/** struct timespec of STEP_MS. */
const step = new BigInt64Array(16);
step[1] = BigInt(STEP_MS * 1_000_000);
const stepBytes = new Uint8Array(step.buffer);
const stat = Buffer.alloc(512);
const info = new Int32Array(32);
const infoBytes = new Uint8Array(info.buffer);

export class HelperProcess {
  readonly pid: number;
  readonly dataAt = SHARED_AT + DATA;
  readonly #at: number;
  #data: Uint8Array;
  #words: Int32Array;
  readonly #stat: number;
  #pidfd: number | undefined;
  #dead = false;
  #ended = false;

  /** @throws Refusal as startHelper; EAGAIN it has not begun. */
  constructor() {
    const { pid, at } = startHelper();
    [this.pid, this.#at] = [pid, at];
    const bytes = viewMemory(at, SHARED_BYTES);
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, DATA / 4);
    this.#data = bytes.subarray(DATA);
    // By no function of Node's, which keeps account of what a worker opens and closes.
    this.#stat = libc().open(procFile(this.pid, 'stat'), O_CLOEXEC, 0);
    // What this process was itself given at its start, and does not close at exec.
    this.put(0, Sys.close_range, 3, 2 ** 32 - 1, 0);
    // And the folder that this process is in, whose file system could not be unmounted while it waits.
    this.data.set([47, 0]);
    this.put(1, Sys.chdir, this.dataAt);
    if (this.do(2, START_MS) < 0) refuse('EAGAIN', 'a helper process has not begun');
    this.data.fill(0, 0, 2);
  }

  /** What the calls read and write, DATA_BYTES; at `dataAt` for them. */
  get data(): Uint8Array {
    return this.#data;
  }

  /** The system call that is done as number `index`, by up to five arguments. */
  put(index: number, call: number, a: number, b = 0, c = 0, d = 0, e = 0): void {
    const at = CALLS + index * CALL_WORDS;
    this.#putWord(at, call);
    this.#putWord(at + 2, a);
    this.#putWord(at + 4, b);
    this.#putWord(at + 6, c);
    this.#putWord(at + 8, d);
    this.#putWord(at + 10, e);
    this.#words[at + RESULT + 1] = NO_RESULT;
    this.#words[at + LEAST + 1] = LEAST_OF_ALL;
  }

  /**
   * The only call that is done: process_vm_readv or process_vm_writev, of process `pid`, between `length`
   * bytes at `local`, which are its own, and at `remote`. (The sixth argument of all that it does is 0.)
   */
  putVectors(call: number, pid: number, local: number, remote: number, length: number): void {
    // Two struct iovec, in the place of a second call.
    const at = CALLS + CALL_WORDS;
    const there = SHARED_AT + 4 * at;
    this.#putWord(at, local);
    this.#putWord(at + 2, length);
    this.#putWord(at + 4, remote);
    this.#putWord(at + 6, length);
    this.put(0, call, pid, there, 1, there + 16, 1);
  }

  /** Those after call `index` are done only if that has returned `least`, above 0, or more. */
  require(index: number, least: number): void {
    this.#putWord(CALLS + index * CALL_WORDS + LEAST, least);
  }

  /**
   * Has the first `count` calls done, and waits for them. It may sleep and compute for `patience` ms (the
   * kernel may have to look for memory, or clear much), and take `steps` of STEP_MS in all; then it is
   * killed.
   * @returns the milliseconds that it has slept, and computed beyond the first few; -1: it is dead.
   */
  do(count: number, patience: number, steps = MOST_STEPS): number {
    this.begin(count);
    return this.wait(patience, steps);
  }

  /** Has the first `count` calls done. Before another is put, `wait` for them. */
  begin(count: number): void {
    if (this.#dead) return;
    const words = this.#words;
    words[COUNT] = count;
    Atomics.store(words, ASKED, words[ANSWERED]! + 1);
    libc().syscall6(Sys.futex, this.#at, FUTEX_WAKE, 1, 0, 0, 0);
  }

  /** Waits for what was begun; as `do`. */
  wait(patience: number, most = MOST_STEPS): number {
    if (this.#dead) return -1;
    const begun = performance.now();
    const slept = this.#wait(patience, most);
    waitClock.excuse(performance.now() - begun);
    return slept;
  }

  #wait(patience: number, most: number): number {
    const words = this.#words;
    const asked = words[ASKED]!;
    let [slept, computedBefore, kept] = [0, Number.NaN, 0];
    for (let steps = 0; ; steps++) {
      const answered = Atomics.load(words, ANSWERED);
      if (answered === asked) return kept;
      const begun = performance.now();
      libc().syscall6(Sys.futex, this.#at + 4 * ANSWERED, FUTEX_WAIT, answered, addressOf(stepBytes), 0, 0);
      if (Atomics.load(words, ANSWERED) === asked) return kept;
      // One that has answered sleeps too, so that is asked last.
      const sleeps = this.#sleeps();
      if (Atomics.load(words, ANSWERED) === asked) return kept;
      // Not more than a step: what we have slept beyond is no fault of its.
      if (sleeps) slept += Math.min(STEP_MS, performance.now() - begun);
      if (steps === 0) computedBefore = computedMs();
      kept = slept + Math.max(0, computedMs() - computedBefore);
      if (kept > patience || steps === most) {
        this.kill();
        return -1;
      }
    }
  }

  /** A copy of its descriptor `fd`, in this process. @throws Refusal */
  take(fd: number): number {
    this.#pidfd ??= processEnd(this.pid);
    const copy = libc().syscall(Sys.pidfd_getfd, this.#pidfd ?? -1, fd, 0);
    if (copy === -1) throw new Refusal(lastErrno(), `descriptor ${fd} of a helper process cannot be copied`);
    return copy;
  }

  /** How many of the first `count` calls have returned: also where it is dead, or has stopped early. */
  returned(count: number): number {
    let index = 0;
    while (index < count && this.#words[CALLS + index * CALL_WORDS + RESULT + 1] !== NO_RESULT) index++;
    return index;
  }

  /** What call `index` has returned: -errno for an error. */
  result(index: number): number {
    const at = CALLS + index * CALL_WORDS + RESULT;
    return this.#words[at + 1]! * 2 ** 32 + (this.#words[at]! >>> 0);
  }

  /**
   * It does nothing more. It has ended when the kernel lets it. What was shared with it is its own: here is a
   * copy, of what has returned, and what is still written for it is nobody's.
   */
  kill(): void {
    if (this.#dead) return;
    this.#dead = true;
    libc().close(this.#stat);
    if (this.#pidfd !== undefined) libc().close(this.#pidfd);
    try {
      process.kill(this.pid, 'SIGKILL');
    } catch {
      // Somebody else has.
    }
    // What has returned by now: results first, whose data was there before.
    this.#words = this.#words.slice();
    this.#data = this.#data.slice();
    libc().munmap(this.#at, SHARED_BYTES);
  }

  /** It has ended; only true after it was killed. */
  get ended(): boolean {
    if (this.#dead && !this.#ended) this.#ended = hasEnded(this.pid);
    return this.#ended;
  }

  get dead(): boolean {
    return this.#dead;
  }

  /** It waits for something else than a processor, or has ended. */
  #sleeps(): boolean {
    const length = libc().pread(this.#stat, addressOf(stat), stat.length, 0);
    stat.fill(0, Math.max(0, length));
    // proc_pid_stat(5): the name may have anything in it; the state is the field behind.
    return length <= 0 || stat[stat.lastIndexOf(')') + 2] !== 'R'.charCodeAt(0);
  }

  #putWord(at: number, value: number): void {
    this.#words[at] = value | 0;
    this.#words[at + 1] = Math.floor(value / 2 ** 32);
  }
}

/** For how long the helper had a processor when it was asked last whether it sleeps, in steps of TICK_MS. */
function computedMs(): number {
  const [user, kernel] = stat
    .toString('latin1', stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  return ((Number(user) || 0) + (Number(kernel) || 0)) * TICK_MS;
}

/** Has the helper process `pid` ended, which was killed? Not to be asked again then. */
export function hasEnded(pid: number): boolean {
  info[4] = 0;
  return libc().waitid(P_PID, pid, addressOf(infoBytes), WEXITED_NOHANG) !== 0 || info[4] !== 0;
}
