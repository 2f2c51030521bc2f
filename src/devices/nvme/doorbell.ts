/**
 * Doorbell: where the driver says how far it has got with a queue. It is a register, and once buffers for it
 * are configured (NVM Express Base 2.0 §5.8) a word of memory too, beside which the controller keeps the
 * value from which on it wants the register to be written.
 *
 * Drivers differ in what they do with the words of the admin queues: some keep them as those of I/O queues,
 * Linux and SPDK write the registers alone, and SPDK gives the words back while it still does. So the first
 * command that a driver submits when it knows of the buffers says whether it has words for the admin queues.
 */
import type { Memory } from './memory.js';

/** Whether a driver keeps up the words of some queues; undefined: that is not known yet. */
export class Keeping {
  kept: boolean | undefined;
  readonly #head: number;

  /** @param head of the completion queue, before the driver has seen that buffers are configured. */
  constructor(head: number) {
    this.#head = head;
  }

  /** The register of a tail was written. @param stored the word has changed too. @param head is now there. */
  decide(stored: boolean, head: number): void {
    if (stored) this.kept = true;
    else if (head !== this.#head) this.kept = false;
  }
}

export class Doorbell {
  readonly #memory: Memory;
  readonly #shadow: number;
  readonly #eventIndex: number;
  /** What the word was when buffers were configured. */
  readonly #first: number;
  readonly #keeping: Keeping | undefined;

  /**
   * The driver begins with `first`. @param shadow, eventIndex: the IOVAs of the two words. @param keeping
   * absent: it is known that the driver keeps the word up.
   */
  constructor(memory: Memory, shadow: number, eventIndex: number, first: number, keeping?: Keeping) {
    this.#memory = memory;
    this.#shadow = shadow;
    this.#eventIndex = eventIndex;
    this.#first = first;
    this.#keeping = keeping;
    memory.write32(shadow, first);
    memory.write32(eventIndex, first);
  }

  /** The register was written, of a submission queue whose completion queue has that head. */
  heard(head: number): void {
    if (this.#keeping === undefined || this.#keeping.kept !== undefined) return;
    const value = this.#memory.read32(this.#shadow);
    this.#keeping.decide(value !== undefined && value !== this.#first, head);
  }

  /** What the driver has stored last; undefined: the word is not there, or not kept up. */
  value(): number | undefined {
    return this.#keeping === undefined || this.#keeping.kept === true
      ? this.#memory.read32(this.#shadow)
      : undefined;
  }

  /**
   * Asks for a write of the register when the driver goes on from `index`. What it has stored meanwhile is to
   * be looked at afterwards.
   */
  ask(index: number): void {
    if (this.#keeping?.kept !== false) this.#memory.write32(this.#eventIndex, index);
  }
}
