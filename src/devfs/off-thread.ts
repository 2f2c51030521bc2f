/**
 * OffThread: system calls on our own files, made on other threads because this thread has to answer them.
 *
 * At most LIMIT are under way; the rest waits in order. (the FFI throws at the 257th, and each call may hold
 * a descriptor.)
 */

const LIMIT = 16;

/** Starts a call and has `done` called when it has ended. */
type Task = (done: () => void) => void;

export class OffThread {
  #running = 0;
  readonly #waiting: Task[] = [];

  /** Runs `task` as soon as there is room; now, if there is. */
  run(task: Task): void {
    this.#waiting.push(task);
    this.#start();
  }

  /** As `run`, but before all that wait: for what gives a descriptor back. */
  runFirst(task: Task): void {
    this.#waiting.unshift(task);
    this.#start();
  }

  #start(): void {
    while (this.#running < LIMIT && this.#waiting.length > 0) {
      this.#running++;
      this.#waiting.shift()!(() => {
        this.#running--;
        this.#start();
      });
    }
  }
}
