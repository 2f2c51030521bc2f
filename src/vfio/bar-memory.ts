/**
 * BarMemory: a BAR as memory that devices reach by DMA, their own among them (peer-to-peer): what lies behind
 * an IOVA where a program has given the address of its mapping of the BAR.
 *
 * A transfer is cut as the device would be accessed by a program that uses its whole width: registers by
 * aligned words of at most 8 bytes, a portal by 64. A store that the device does not take is lost, as on a
 * bus. Where the device does not answer, the transfer ends: decoding is off, or it has been closed, or its
 * registers are asked for while it is in the middle of a call itself (the DMA is its own, perhaps).
 *
 * Invariant: what was made for one user of the device reaches it no more when that has closed it.
 */
import type { Memory } from '../iommu/memory.js';
import { Errno, hex, Refusal, refuse } from '../linux/errno.js';

/** The BARs, as far as they are asked here. */
interface Answering {
  /** Bytes of BAR `index`. */
  size(index: number): number;
  /** Where the first access ends that a write to [offset, end) of BAR `index` is made of. */
  accessEnd(index: number, offset: number, end: number): number;
  /** Both as Bars has them. @throws Refusal. */
  read(index: number, offset: number, target: Uint8Array, mapped: boolean): number;
  write(index: number, offset: number, source: Uint8Array): number;
}

export class BarMemory implements Memory {
  readonly ofProcess = false;
  readonly description: string;
  readonly #index: number;
  #bars: Answering | undefined;
  #shortfall: string | undefined;

  /** BAR `index` of `bars`, which are the device's that is called `name`. */
  constructor(name: string, bars: Answering, index: number) {
    this.description = `BAR ${index} of ${name}`;
    this.#bars = bars;
    this.#index = index;
  }

  /** Nothing is reached any more. */
  end(): void {
    this.#bars = undefined;
  }

  read(offset: number, target: Uint8Array, at: number, length: number): number {
    return this.#transfer(offset, length, (bars, from, to) => {
      bars.read(this.#index, from, target.subarray(at + from - offset, at + to - offset), true);
    });
  }

  write(offset: number, source: Uint8Array, at: number, length: number): number {
    return this.#transfer(offset, length, (bars, from, to) => {
      const piece = source.subarray(at + from - offset, at + to - offset);
      try {
        bars.write(this.#index, from, piece);
      } catch (error) {
        if (!(error instanceof Refusal) || error.errno === Errno.EIO) throw error;
      }
    });
  }

  get shortfall(): string | undefined {
    return this.#shortfall;
  }

  reaches(offset: number, length: number): boolean {
    return offset >= 0 && offset + length <= (this.#bars?.size(this.#index) ?? 0);
  }

  /** Of the BAR's mappings each is a reference; the BAR is there without them. */
  close(): void {}

  /** @returns the bytes for which `access` has been made, access by access. */
  #transfer(
    offset: number,
    length: number,
    access: (bars: Answering, from: number, to: number) => void,
  ): number {
    let at = offset;
    try {
      const bars = this.#bars ?? refuse('EIO', `${this.description} was closed by who had it`);
      const end = Math.min(offset + length, bars.size(this.#index));
      while (at < end) {
        const next = bars.accessEnd(this.#index, at, end);
        access(bars, at, next);
        at = next;
      }
      this.#shortfall = `byte ${hex(at)} is past the end of ${this.description}`;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#shortfall = error.reason;
    }
    return at - offset;
  }
}
