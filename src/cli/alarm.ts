/**
 * Wakes the thread when a timer of a device is due: an empty timer of Node's, by which the loop sleeps.
 *
 * Node counts milliseconds, and may come a little early: then it is set once more.
 */
import type { Clock } from '../devices/clock.js';

export class Alarm {
  readonly #clock: Clock;
  readonly #scale: number;
  #timer: NodeJS.Timeout | undefined;
  #due = Number.POSITIVE_INFINITY;

  /** @param scale as of Clock.running */
  constructor(clock: Clock, scale: number) {
    this.#clock = clock;
    this.#scale = scale;
  }

  /** To be called before the thread may sleep. */
  set(): void {
    const { due = Number.POSITIVE_INFINITY } = this.#clock;
    // Earlier is no harm, and it is set anew then.
    if (due >= this.#due) return;
    const { wait } = this.#clock;
    this.end();
    this.#due = due;
    const milliseconds = Math.min(2 ** 31 - 1, Math.ceil((wait! * this.#scale) / 1000));
    this.#timer = setTimeout(() => {
      this.#due = Number.POSITIVE_INFINITY;
    }, milliseconds).unref();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#due = Number.POSITIVE_INFINITY;
  }
}
