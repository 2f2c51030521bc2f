/**
 * ExportedBar: ranges of a BAR that a program has as a file, a dma-buf, to hand them to whoever does DMA.
 *
 * Invariant: who has taken its memory reaches the device as long as that decodes: what was taken before it
 * stopped to, or was reset, is lost for good, and can be taken anew afterwards. With the device's last close
 * the export is void.
 */
import { DmaBuf } from '../file/dma-buf.js';
import type { MemoryRange } from '../file/open-file.js';
import { hex, refuse } from '../linux/errno.js';
import { BarMemory, type ReachedBars } from './bar-memory.js';

/** Bytes of a BAR. */
export interface BarRange {
  readonly offset: number;
  readonly length: number;
}

export class ExportedBar extends DmaBuf {
  readonly #name: string;
  readonly #bars: ReachedBars;
  readonly #index: number;
  /** More than one cannot be mapped, so the others need not be kept. */
  readonly #first: BarRange | undefined;
  readonly #count: number;
  readonly #closings: number;

  /** `ranges` of BAR `index`, at least one, which lie in it. */
  constructor(name: string, bars: ReachedBars, index: number, ranges: readonly BarRange[]) {
    super();
    this.#name = name;
    this.#bars = bars;
    this.#index = index;
    this.#first = ranges[0];
    this.#count = ranges.length;
    this.#closings = bars.closings;
  }

  /**
   * [start, start+length) of it, for DMA. @throws Refusal ENODEV while the device does not decode, and when
   * it was closed; EOPNOTSUPP for more than one range; EINVAL past the end.
   */
  take(start: number, length: number): MemoryRange {
    if (!this.#bars.decodes || this.#bars.closings !== this.#closings)
      refuse('ENODEV', `${this.#name} does not decode, or was closed`);
    const range = this.#first;
    if (range === undefined || this.#count > 1)
      refuse('EOPNOTSUPP', `a dma-buf of ${this.#count} ranges cannot be mapped as one`);
    if (start + length > range.length)
      refuse('EINVAL', `${hex(start)}+${hex(length)} is not within the ${hex(range.length)} of the dma-buf`);
    const memory = new BarMemory(this.#name, this.#bars, this.#index, 'revocations');
    return { memory, offset: range.offset + start };
  }
}
