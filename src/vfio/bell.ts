/**
 * Bell: an eventfd of the program, each write to which does something in the device, in place of a call.
 *
 * As in Linux (virqfd), a write is taken out of the eventfd's counter when it is acted on; what the counter
 * held when the eventfd was assigned is acted on once, and stays in it.
 */
import type { Doorbell } from '../file/open-file.js';

export class Bell {
  readonly #doorbell: Doorbell;
  #heard: number;
  #before: boolean;

  /** `doorbell` is taken over. */
  constructor(doorbell: Doorbell) {
    this.#doorbell = doorbell;
    this.#heard = doorbell.rings;
    this.#before = doorbell.rings > 0;
  }

  /** Was it rung since this was asked last, or before it was assigned? */
  hear(): boolean {
    if (this.#before) {
      this.#before = false;
      return true;
    }
    if (this.#doorbell.rings === this.#heard) return false;
    this.#heard = this.#doorbell.rings;
    this.#doorbell.empty();
    return true;
  }

  /** Looks for rings of all bells now. */
  listen(): void {
    this.#doorbell.listen();
  }

  close(): void {
    this.#doorbell.close();
  }
}
