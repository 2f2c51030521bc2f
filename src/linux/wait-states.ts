/**
 * WaitStates: what becomes of the processes and threads that this process waits for, its children and those
 * it traces: the only place that asks waitid(2).
 *
 * Node's own child_process asks too, for each child that it has started, and takes any state for the end: a
 * process that is to be traced must not be such a child (spawn.ts). In turn nothing is taken away here from a
 * child that is not watched: a look shows whose news there are, and only what is watched is taken.
 */
import { tellStops } from './child-bell.js';
import { addressOf, libc } from './ffi.js';
import { yieldProcessor } from './yield-processor.js';

const P_ALL = 0;
const P_PID = 1;
const WNOHANG = 1;
const WSTOPPED = 2;
const WEXITED = 4;
const WNOWAIT = 0x01000000;
const WALL = 0x40000000;
const ANY_NEWS = WNOHANG | WSTOPPED | WEXITED | WALL;

/** siginfo_t as 32-bit words. */
const CODE = 2;
const PID = 4;
const STATUS = 6;

/** How a process or thread has changed (CLD_*, sigaction(2)). */
export const Change = { EXITED: 1, KILLED: 2, DUMPED: 3, TRAPPED: 4, STOPPED: 5, CONTINUED: 6 } as const;

/**
 * What has become of one: a Change, and its exit status, or signal, or for a traced one the signal with the
 * event above it (ptrace(2)).
 */
export type OnChange = (change: number, status: number) => void;

export class WaitStates {
  readonly #watched = new Map<number, OnChange>();
  readonly #traced = new Map<number, OnChange>();
  readonly #info = new Int32Array(32);
  /** Who had news last. */
  #last = 0;
  readonly #at = addressOf(new Uint8Array(this.#info.buffer));

  /** Is asked about who has news and is not watched: does it watch him now? */
  unknown: ((id: number) => boolean) | undefined;

  /** From now on `onChange` is told of process or thread `id`, by `look`, until its end. */
  watch(id: number, onChange: OnChange): void {
    this.#watched.set(id, onChange);
  }

  /** The same for thread `tid`, which this thread traces; who watches it beside is told of its end too. */
  watchStops(tid: number, onChange: OnChange): void {
    this.#traced.set(tid, onChange);
  }

  /** It is traced no more. */
  unwatchStops(tid: number): void {
    this.#traced.delete(tid);
  }

  /** Tells all news, or `most`. To be called when SIGCHLD has come. @returns whether that was all. */
  look(most = Number.POSITIVE_INFINITY): boolean {
    for (let told = 0; told < most; told++) {
      const id = this.#news(P_ALL, 0, WNOWAIT);
      if (id === 0) return true;
      if (!this.#take(id) && !(this.unknown?.(id) === true && this.#take(id))) return this.#lookAtEach();
      this.#last = id;
    }
    return false;
  }

  /**
   * Tells of the stop of the traced thread that has stopped last, and of those that it comes to at once when
   * it may run in place of this one: at most `most`, and as long as `between`, which is called after each, is
   * true. That spares each its SIGCHLD, and to sleep until it comes. Look afterwards. @returns how many there
   * were.
   */
  follow(most: number, between: () => boolean): number {
    if (!this.#traced.has(this.#last) || !this.#take(this.#last)) return 0;
    let told = 1;
    tellStops(false);
    try {
      while (between() && told < most && this.#comesToStop()) told++;
    } finally {
      tellStops(true);
    }
    return told;
  }

  #comesToStop(): boolean {
    if (!this.#traced.has(this.#last)) return false;
    yieldProcessor();
    return this.#take(this.#last);
  }

  /** As `look`, where the news of somebody else's child stand before those of ours. */
  #lookAtEach(): true {
    // What a traced one has started is known when that one has been asked.
    for (let told = true; told; ) {
      told = false;
      for (const id of [...this.#watched.keys(), ...this.#traced.keys()]) told = this.#take(id) || told;
    }
    return true;
  }

  #take(id: number): boolean {
    const [watches, traces] = [this.#watched.get(id), this.#traced.get(id)];
    if ((watches ?? traces) === undefined || this.#news(P_PID, id, 0) === 0) return false;
    const [change, status] = [this.#info[CODE]!, this.#info[STATUS]!];
    if (change <= Change.DUMPED) {
      this.#watched.delete(id);
      this.#traced.delete(id);
    }
    traces?.(change, status);
    watches?.(change, status);
    return true;
  }

  /** @returns whose news are in #info; 0: there are none. */
  #news(kind: number, id: number, flags: number): number {
    this.#info[PID] = 0;
    return libc().waitid(kind, id, this.#at, ANY_NEWS | flags) === 0 ? this.#info[PID]! : 0;
  }
}
