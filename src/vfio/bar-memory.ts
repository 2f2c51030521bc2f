/**
 * BarMemory: a BAR as memory that devices reach by DMA, their own among them (peer-to-peer): what lies behind
 * an IOVA where a program has given the address of its mapping of the BAR.
 *
 * A transfer is cut as the device would be accessed by a program that uses its whole width: registers by
 * aligned words of at most 8 bytes, a portal by 64. A store that the device does not take is lost, as on a
 * bus. Where the device does not answer, the transfer ends: decoding is off, or it has been closed, or its
 * registers are asked for while it is in the middle of a call itself (the DMA is its own, perhaps). It ends
 * where it has made as many accesses as it may, too (iommu/word-accesses.ts).
 *
 * Invariant: what was made for one user of the device reaches it no more when that has closed it. Nobody is
 * told: the device counts what ends its memories.
 */
import type { Memory } from '../iommu/memory.js';
import { beginWords, endWords, MOST_WORDS, takeWord } from '../iommu/word-accesses.js';
import { Errno, hex, Refusal, refuse } from '../linux/errno.js';

/** The BARs, as far as they are asked here. */
export interface ReachedBars {
  /** How often they were closed. It only grows. */
  readonly closings: number;
  /** How often they were closed, were reset, fell asleep or stopped to be decoded. It only grows. */
  readonly revocations: number;
  /** Does the device decode addresses in them? */
  readonly decodes: boolean;
  /** Bytes of BAR `index`. */
  size(index: number): number;
  /** Where the first access ends that a write to [offset, end) of BAR `index` is made of. */
  accessEnd(index: number, offset: number, end: number): number;
  /** Both as Bars has them. @throws Refusal. */
  read(index: number, offset: number, target: Uint8Array, mapped: boolean): number;
  write(index: number, offset: number, source: Uint8Array, mapped: boolean): number;
}

export class BarMemory implements Memory {
  readonly ofProcess = false;
  readonly description: string;
  readonly #index: number;
  readonly #bars: ReachedBars;
  readonly #endedBy: 'closings' | 'revocations';
  readonly #life: number;
  #shortfall: string | undefined;

  /** BAR `index` of `bars`, which are the device's that is called `name`, until the next of `endedBy`. */
  constructor(name: string, bars: ReachedBars, index: number, endedBy: 'closings' | 'revocations') {
    this.description = `BAR ${index} of ${name}`;
    this.#bars = bars;
    this.#index = index;
    this.#endedBy = endedBy;
    this.#life = bars[endedBy];
  }

  read(offset: number, target: Uint8Array, at: number, length: number): number {
    return this.#transfer(offset, length, (from, to) => {
      this.#bars.read(this.#index, from, target.subarray(at + from - offset, at + to - offset), true);
    });
  }

  write(offset: number, source: Uint8Array, at: number, length: number): number {
    return this.#transfer(offset, length, (from, to) => {
      const piece = source.subarray(at + from - offset, at + to - offset);
      try {
        this.#bars.write(this.#index, from, piece, true);
      } catch (error) {
        if (!(error instanceof Refusal) || error.errno === Errno.EIO) throw error;
      }
    });
  }

  get shortfall(): string | undefined {
    return this.#shortfall;
  }

  /** A dma-buf that was taken back can be in a page table all the same, as in Linux, and is a fault. */
  reaches(offset: number, length: number): boolean {
    const there = this.#endedBy === 'revocations' || !this.#ended;
    return there && offset >= 0 && offset + length <= this.#bars.size(this.#index);
  }

  get #ended(): boolean {
    return this.#bars[this.#endedBy] !== this.#life;
  }

  /** Of the BAR's mappings each is a reference; the BAR is there without them. */
  close(): void {}

  /** @returns the bytes for which `access` has been made, access by access. */
  #transfer(offset: number, length: number, access: (from: number, to: number) => void): number {
    let at = offset;
    beginWords();
    try {
      if (this.#ended)
        refuse('EIO', `${this.description} was taken back when the device was closed or reset`);
      const end = Math.min(offset + length, this.#bars.size(this.#index));
      while (at < end) {
        const next = this.#bars.accessEnd(this.#index, at, end);
        if (!takeWord()) refuse('EIO', this.#tooMany(at));
        access(at, next);
        at = next;
      }
      this.#shortfall = `byte ${hex(at)} is past the end of ${this.description}`;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#shortfall = error.reason;
    } finally {
      endWords();
    }
    return at - offset;
  }

  #tooMany(at: number): string {
    const most = `a request makes ${MOST_WORDS} accesses to registers at most`;
    return `${most}, and byte ${hex(at)} of ${this.description} would be one more`;
  }
}
