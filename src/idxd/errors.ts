/**
 * What a device reports of errors that no completion record tells (SWERR; specification, see docs/dsa.md,
 * 9.2.17): the last of them, as Linux keeps it for `errors` in sysfs and for poll(2).
 *
 * The device says by an interrupt that there is one, inside of a call of its model; the registers are looked
 * at after that.
 */
import { Register } from '../devices/dsa/registers.js';
import { Arrivals } from '../file/arrivals.js';
import type { Hardware } from './hardware.js';

/** Valid, overflow. */
const ACKNOWLEDGED = 3;
const WORDS = [0, 8, 16, 24];

export class SoftwareErrors {
  readonly #hardware: Hardware;
  #rung = false;
  readonly #seen = new Arrivals();
  #words: readonly bigint[] = WORDS.map(() => 0n);

  constructor(hardware: Hardware) {
    this.#hardware = hardware;
  }

  /** Errors that were taken. It only grows. */
  get seen(): number {
    return this.#seen.count;
  }

  /** The last one, 64 bits a word; 0: there was none. */
  get words(): readonly bigint[] {
    return this.#words;
  }

  /** The device has interrupted. */
  ring(): void {
    this.#rung = true;
  }

  /** Takes what there is, once the device has interrupted. */
  look(): void {
    if (!this.#rung) return;
    this.#rung = false;
    this.#hardware.set(Register.INTCAUSE, this.#hardware.get(Register.INTCAUSE));
    if ((this.#hardware.get(Register.SWERR) & 1) === 0) return;
    this.#words = WORDS.map((at) => this.#hardware.getWide(Register.SWERR + at));
    this.#hardware.set(Register.SWERR, ACKNOWLEDGED);
    this.#seen.add();
  }
}
