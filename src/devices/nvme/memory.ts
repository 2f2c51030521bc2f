/**
 * Memory: what the controller reaches by DMA, all of it without a PASID. A fault has been logged by the
 * IOMMU, with its reason, when an access here says that it did not happen.
 */
import { NO_PASID } from '../../iommu/pasid.js';
import type { Ranges } from '../../linux/ranges.js';
import type { ScatterList } from '../../linux/scatter-list.js';
import type { DmaPort } from '../device-model.js';
import { Effort } from '../effort.js';
import { moveSome } from '../move-all.js';

export class Memory {
  /** What the present step has come to. */
  readonly effort: Effort;
  readonly #dma: DmaPort;
  readonly #word = new Uint8Array(8);
  readonly #view = new DataView(this.#word.buffer);

  constructor(dma: DmaPort) {
    this.#dma = dma;
    this.effort = new Effort(dma);
  }

  /** Fills target[at..at+length). @returns whether all of it was there. */
  read(iova: number, target: Uint8Array, at = 0, length = target.length - at): boolean {
    return this.#dma.read(NO_PASID, iova, target, at, length) === undefined;
  }

  /** Writes source[at..at+length). @returns whether all of it was written. */
  write(iova: number, source: Uint8Array, at = 0, length = source.length - at): boolean {
    return this.#dma.write(NO_PASID, iova, source, at, length) === undefined;
  }

  /**
   * Fills buffer[at..) from parts of `ranges`, or writes it to them: as many as come to the effort of a step.
   * @returns the bytes; undefined: some are not there.
   */
  moveSome(ranges: Ranges, buffer: Uint8Array, at: number, write: boolean): number | undefined {
    const moved = moveSome(this.#dma, NO_PASID, ranges, buffer, at, write);
    return typeof moved === 'number' ? moved : undefined;
  }

  /** Where `length` bytes from `iova` on are written, as DmaPort.place. */
  place(iova: number, length: number, places: ScatterList): boolean {
    return this.#dma.place?.(NO_PASID, iova, length, places) === true;
  }

  /** The 32 bits at `iova`; undefined when they are not there. */
  read32(iova: number): number | undefined {
    return this.read(iova, this.#word, 0, 4) ? this.#view.getUint32(0, true) : undefined;
  }

  write32(iova: number, value: number): boolean {
    this.#view.setUint32(0, value, true);
    return this.write(iova, this.#word, 0, 4);
  }
}
