/**
 * Pace: how often this thread, which serves programs, does something for those who look at it. Looking takes
 * a twentieth of its time at most, however many look and however often they ask.
 */
const SHARE = 20;

export class Pace {
  #next = 0;

  /** Milliseconds until the next look; 0: now. */
  get wait(): number {
    return Math.max(0, this.#next - performance.now());
  }

  /** Does `look`, and rests as many times as long as that takes. */
  look<T>(look: () => T): T {
    const began = performance.now();
    try {
      return look();
    } finally {
      const ended = performance.now();
      this.#next = ended + SHARE * (ended - began);
    }
  }
}
