/**
 * Access: the DmaPort as the engines use it. Each call says how many bytes were transferred, and leaves the
 * first byte that was not in `faultAddress`, so that nothing is allocated on the way.
 *
 * Addresses of a descriptor are 64 bits wide, and passed on as they are: the port refuses those that are
 * none, and it is there that a fault is told.
 */
import { Ranges } from '../../linux/ranges.js';
import type { DmaFault, DmaPort } from '../device-model.js';
import { moveSome } from '../move-all.js';

/** Any block, with what protects it. */
const LEAST = 0x2000;

/** What is moved, as one part. */
const whole = new Ranges();

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

  /**
   * As `read`, of at least LEAST bytes, and of as many more as come to the effort of a step: each page may
   * keep everybody waiting, and be translated by page tables that do.
   */
  readSome(pasid: number, iova: number, target: Uint8Array, length: number): number {
    return this.#some(pasid, iova, target, length, false);
  }

  /** As `write`, in the same way. */
  writeSome(pasid: number, iova: number, source: Uint8Array, length: number): number {
    return this.#some(pasid, iova, source, length, true);
  }

  /** Writes source[at..at+length) to `iova`. @returns the bytes written; all of them unless `faulted`. */
  write(pasid: number, iova: number, source: Uint8Array, at: number, length: number): number {
    return this.#ended(this.#dma.write(pasid, iova, source, at, length), length);
  }

  /**
   * Reads parts of `ranges`, one after the other, into the start of `buffer`, or writes them from there: as
   * many as come to the effort of a step. @returns as `read` does, the bytes of all of them.
   */
  moveSome(pasid: number, ranges: Ranges, buffer: Uint8Array, write: boolean): number {
    const moved = moveSome(this.#dma, pasid, ranges, buffer, 0, write);
    return typeof moved === 'number' ? this.#ended(undefined, moved) : this.#ended(moved, 0);
  }

  /** Copies up to `length` bytes within memory. @returns how many: the others go by way of a buffer. */
  copySome(pasid: number, from: number, to: number, length: number): number {
    return this.#dma.copy?.(pasid, from, to, length) ?? 0;
  }

  #some(pasid: number, iova: number, buffer: Uint8Array, length: number, write: boolean): number {
    if (length <= LEAST)
      return write ? this.write(pasid, iova, buffer, 0, length) : this.read(pasid, iova, buffer, length);
    let done = 0;
    while (done < LEAST) {
      whole.clear();
      whole.add(iova + done, length - done);
      const moved = moveSome(this.#dma, pasid, whole, buffer, done, write);
      if (typeof moved !== 'number') return done + this.#ended(moved, 0);
      done += moved;
    }
    return this.#ended(undefined, done);
  }

  #ended(fault: DmaFault | undefined, length: number): number {
    this.faulted = fault !== undefined;
    if (fault === undefined) return length;
    this.faultAddress = fault.iova;
    return fault.done;
  }
}
