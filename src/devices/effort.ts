/**
 * Effort: what a step has come to, in accesses to memory. Bytes alone do not say it: a program may name what
 * is to be moved byte by byte, and each access has a price of its own: up to 20 µs, where memory is reached
 * by way of another process (linux/remote-reach.ts).
 *
 * So a step ends by accesses too: whoever is about to begin something asks `spent`. What has been begun is
 * ended, and comes to MOST_PARTS accesses at most where its parts can be counted before.
 */
import type { DmaPort } from './device-model.js';

/** Accesses of one step: about two milliseconds, where they are of the slow kind. */
const STEP_ACCESSES = 128;
/** Parts of what is moved at once. */
export const MOST_PARTS = 128;

export class Effort {
  readonly #port: Pick<DmaPort, 'accesses'>;
  #from = 0;

  constructor(port: Pick<DmaPort, 'accesses'>) {
    this.#port = port;
  }

  /** A step begins. */
  begin(): void {
    this.#from = this.#now;
  }

  /** Has it come to as much as it may? */
  get spent(): boolean {
    return this.#now - this.#from >= STEP_ACCESSES;
  }

  get #now(): number {
    return this.#port.accesses ?? 0;
  }
}
