/**
 * Effort: what a step has come to, in accesses to memory. Bytes alone do not say it: a program may name what
 * is to be moved byte by byte, and each access has a price of its own: 20 µs and more, where memory is
 * reached by way of another process (linux/patient-helper.ts), each of which counts as one.
 *
 * So a step ends by accesses too: whoever is about to begin something asks `spent`. What has been begun is
 * ended, and comes to MOST_PARTS accesses at most where its parts can be counted before.
 */
import type { DmaPort } from './device-model.js';

/** What one step may come to: about a millisecond of accesses, of whatever kind. */
export const STEP_EFFORT = 1024;
/** Parts of what is moved at once. */
export const MOST_PARTS = 64;

export class Effort {
  readonly #port: Pick<DmaPort, 'effort'>;
  #from = 0;

  constructor(port: Pick<DmaPort, 'effort'>) {
    this.#port = port;
  }

  /** A step begins. */
  begin(): void {
    this.#from = this.#now;
  }

  /** Has it come to as much as it may? */
  get spent(): boolean {
    return this.#now - this.#from >= STEP_EFFORT;
  }

  get #now(): number {
    return this.#port.effort ?? 0;
  }
}
