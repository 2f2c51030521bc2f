/**
 * Doorbell: where the driver says how far it has got with a queue. It is a register, and once buffers for it
 * are configured (NVM Express Base 2.0 §5.8) a word of memory too, beside which the controller keeps the
 * value from which on it wants the register to be written.
 */
import type { Memory } from './memory.js';

export class Doorbell {
  readonly #memory: Memory;
  readonly #shadow: number;
  readonly #eventIndex: number;

  /** @param shadow, eventIndex: the IOVAs of the two words. */
  constructor(memory: Memory, shadow: number, eventIndex: number) {
    this.#memory = memory;
    this.#shadow = shadow;
    this.#eventIndex = eventIndex;
  }

  /** What the driver has stored last; undefined: it is not there. */
  value(): number | undefined {
    return this.#memory.read32(this.#shadow);
  }

  /**
   * Asks for a write of the register when the driver goes on from `index`. What it has stored meanwhile is to
   * be looked at afterwards.
   */
  ask(index: number): void {
    this.#memory.write32(this.#eventIndex, index);
  }

  /** The driver begins with `value`. */
  begin(value: number): void {
    this.#memory.write32(this.#shadow, value);
    this.#memory.write32(this.#eventIndex, value);
  }
}
