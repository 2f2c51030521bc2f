/** RecordedDoorbell: an eventfd by which a program rings; that it was found rung is noted (Input). */
import type { Doorbell } from '../file/open-file.js';
import type { WatchedLog } from '../iommu/event-log.js';
import { Ask, type Input } from './input.js';

export class RecordedDoorbell implements Doorbell {
  readonly #bell: Doorbell;
  readonly #number: number;
  readonly #inputs: WatchedLog<Input>;
  #told = 0;

  /** @param number of all that are recorded, from 1. */
  constructor(bell: Doorbell, number: number, inputs: WatchedLog<Input>) {
    this.#bell = bell;
    this.#number = number;
    this.#inputs = inputs;
  }

  get rings(): number {
    const { rings } = this.#bell;
    if (rings === this.#told || !this.#inputs.on) return rings;
    this.#told = rings;
    this.#inputs.record({ kind: 'asked', what: Ask.RINGS, of: [this.#number], answer: [rings] });
    return rings;
  }

  listen(): void {
    this.#bell.listen();
  }

  empty(): void {
    this.#bell.empty();
  }

  close(): void {
    this.#bell.close();
  }
}
