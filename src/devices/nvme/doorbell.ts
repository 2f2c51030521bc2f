/**
 * Doorbell: where the driver says how far it has got with a queue. It is a register, and once buffers for it
 * are configured (NVM Express Base 2.0 §5.8) a word of memory too, beside which the controller keeps the
 * value from which on it wants the register to be written.
 *
 * Drivers differ in what they do with the words of the admin queues: Linux writes the registers alone, others
 * keep the words as those of I/O queues. So such a word counts from when it has first been changed.
 */
import type { Memory } from './memory.js';

export class Doorbell {
  readonly #memory: Memory;
  readonly #shadow: number;
  readonly #eventIndex: number;
  /** What the word was when buffers were configured, and whether the driver keeps it up. */
  readonly #first: number;
  #isKept: boolean;

  /**
   * The driver begins with `first`. @param shadow, eventIndex: the IOVAs of the two words. @param isKept it
   * is known that the driver keeps the word up.
   */
  constructor(memory: Memory, shadow: number, eventIndex: number, first: number, isKept: boolean) {
    this.#memory = memory;
    this.#shadow = shadow;
    this.#eventIndex = eventIndex;
    this.#first = first;
    this.#isKept = isKept;
    memory.write32(shadow, first);
    memory.write32(eventIndex, first);
  }

  /** What the driver has stored last; undefined: the word is not there, or not kept up. */
  value(): number | undefined {
    const value = this.#memory.read32(this.#shadow);
    if (value !== undefined && value !== this.#first) this.#isKept = true;
    return this.#isKept ? value : undefined;
  }

  /**
   * Asks for a write of the register when the driver goes on from `index`. What it has stored meanwhile is to
   * be looked at afterwards.
   */
  ask(index: number): void {
    this.#memory.write32(this.#eventIndex, index);
  }
}
