/**
 * Pace: how often this thread, which serves programs, does something for those who look at it. Looking takes
 * a twentieth of its time at most, however many look and however often they ask. But nobody waits for longer
 * than a second: a look that takes so long has waited for the processor itself.
 */
const SHARE = 20;
const LONGEST_MS = 1000;

export class Pace {
  #next = 0;
  #cost = 0;

  /** Milliseconds until the next look; 0: now. */
  get wait(): number {
    return Math.max(0, this.#next - performance.now());
  }

  /** Milliseconds that the look under way has taken so far. */
  get cost(): number {
    return this.#cost;
  }

  /** Does a part of a look. */
  look<T>(look: () => T): T {
    const began = performance.now();
    try {
      return look();
    } finally {
      this.#cost += performance.now() - began;
    }
  }

  /** The look is done: rests as many times as long as it took. */
  rest(): void {
    this.#next = performance.now() + Math.min(LONGEST_MS, SHARE * this.#cost);
    this.#cost = 0;
  }
}
