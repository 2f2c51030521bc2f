/**
 * Access: the DmaPort as the engines use it. Each call says how many bytes were transferred, and leaves the
 * first byte that was not in `faultAddress`, so that nothing is allocated on the way.
 *
 * Addresses of a descriptor are 64 bits wide, and passed on as they are: the port refuses those that are
 * none, and it is there that a fault is told.
 */
import type { Ranges } from '../../linux/ranges.js';
import type { DmaFault, DmaPort } from '../device-model.js';
import { moveAll } from '../move-all.js';

export class Access {
  /** Whether the last call ended in a fault. */
  faulted = false;
  /** The IOVA that the last fault was at. */
  faultAddress = 0;
  readonly #dma: DmaPort;

  constructor(dma: DmaPort) {
    this.#dma = dma;
  }

  /**
   * Reads `length` bytes at `iova` into the start of `target`. @returns the bytes read; all of them unless
   * `faulted`.
   */
  read(pasid: number, iova: number, target: Uint8Array, length: number): number {
    return this.#ended(this.#dma.read(pasid, iova, target, 0, length), length);
  }

  /** Writes source[at..at+length) to `iova`. @returns the bytes written; all of them unless `faulted`. */
  write(pasid: number, iova: number, source: Uint8Array, at: number, length: number): number {
    return this.#ended(this.#dma.write(pasid, iova, source, at, length), length);
  }

  /**
   * Reads all parts of `ranges`, one after the other, into the start of `buffer`, or writes them from there.
   * @returns as `read` does, the bytes of all parts.
   */
  move(pasid: number, ranges: Ranges, buffer: Uint8Array, write: boolean): number {
    return this.#ended(moveAll(this.#dma, pasid, ranges, buffer, 0, write), ranges.length);
  }

  #ended(fault: DmaFault | undefined, length: number): number {
    this.faulted = fault !== undefined;
    if (fault === undefined) return length;
    this.faultAddress = fault.iova;
    return fault.done;
  }
}
