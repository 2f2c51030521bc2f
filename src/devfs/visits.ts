/**
 * Visits: threads that are traced (ptrace(2)) for one stop, because something is to be done with them on
 * their way out of a system call that waits for an answer of ours.
 *
 * A thread is asked to stop while it waits, so it does before it executes an instruction of its own; then it
 * is let go, and is as it was. A stop of its whole process goes on as if nobody had come. It may come to be
 * traced for longer meanwhile (tracer.ts), and is handed over then.
 */
import { seize } from '../linux/attach.js';
import { tracerOf } from '../linux/proc.js';
import { Event, goOn, interrupt, letGo } from '../linux/ptrace.js';
import { Change, type WaitStates } from '../linux/wait-states.js';

export class Visits {
  readonly #states: WaitStates;
  readonly #visited = new Map<number, () => void>();

  constructor(states: WaitStates) {
    this.#states = states;
  }

  /** Does `then` when thread `tid` stops, which waits for our answer. @throws Refusal as `seize`. */
  begin(tid: number, then: () => void): void {
    seize(tid);
    this.#visited.set(tid, then);
    this.#states.watchStops(tid, (change, status) => this.#changed(tid, change, status));
    interrupt(tid);
  }

  /**
   * Another watches the stops of thread `tid` from now on. @returns what is to be done when it stops;
   * undefined: it is not traced by us.
   */
  handOver(tid: number): (() => void) | undefined {
    const then = this.#visited.get(tid);
    this.#visited.delete(tid);
    // The first thread of a process may go without a word, when another one executes a program.
    return tracerOf(tid) === process.pid ? then : undefined;
  }

  #changed(tid: number, change: number, status: number): void {
    const [signal, event] = [status & 0xff, status >> 8];
    if (change <= Change.DUMPED) this.#visited.delete(tid);
    else if (event === Event.STOP || event === Event.EXIT) this.#end(tid, event === Event.STOP);
    else goOn(tid, event === 0 ? signal : 0);
  }

  #end(tid: number, stopped: boolean): void {
    if (stopped) this.#visited.get(tid)?.();
    this.#visited.delete(tid);
    // One that is killed before it is let go stops once more, before its end.
    if (letGo(tid)) this.#states.unwatchStops(tid);
  }
}
