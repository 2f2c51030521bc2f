/**
 * BarPages: the pages of a device's BARs that a program has itself when it maps them: memory, and doorbells
 * while they are looked at (doorbell-pages.ts). All other pages are trapped.
 *
 * Invariant: nobody has any while the device does not answer in its BARs, nor after it was closed: who has
 * mapped them gets SIGBUS.
 */
import type { PciDescription } from '../devices/device-model.js';
import type { MappedPages } from '../file/open-file.js';
import { DeviceMemory } from '../linux/device-memory.js';
import type { SharedPages } from '../linux/shared-pages.js';
import { DoorbellPages } from './doorbell-pages.js';

/** A range of a BAR that has such pages. */
interface Range {
  readonly bar: number;
  readonly offset: number;
  readonly size: number;
  share(): SharedPages;
}

/** Writes a word at `offset` of BAR `bar` to the model. @returns false when it cannot take it now. */
export type RingBar = (bar: number, offset: number, word: Uint8Array) => boolean;

export class BarPages {
  readonly #ranges: Range[] = [];
  readonly #memories: DeviceMemory[] = [];
  readonly #doorbells: { readonly bar: number; readonly pages: DoorbellPages }[] = [];

  constructor({ bars }: PciDescription) {
    for (const { index: bar, memory, doorbells } of bars) {
      const device = memory && DeviceMemory.of(memory.bytes);
      if (memory !== undefined && device !== undefined) {
        this.#memories.push(device);
        const size = memory.bytes.length;
        this.#ranges.push({ bar, offset: memory.offset, size, share: () => device.share() });
      }
      if (doorbells === undefined) continue;
      const pages = new DoorbellPages(doorbells.offset, doorbells.size);
      this.#doorbells.push({ bar, pages });
      this.#ranges.push({ bar, ...doorbells, share: () => pages.share() });
    }
  }

  /**
   * Those in [offset, offset+length) of BAR `bar`, with their offsets in it. @throws Refusal EMFILE, ENFILE
   * no descriptors left.
   */
  within(bar: number, offset: number, length: number): MappedPages[] {
    const found: MappedPages[] = [];
    for (const range of this.#ranges) {
      const start = Math.max(offset, range.offset);
      const end = Math.min(offset + length, range.offset + range.size);
      if (range.bar !== bar || start >= end) continue;
      found.push({ offset: start, length: end - start, pages: range.share(), at: start - range.offset });
    }
    return found;
  }

  /** The device answers in its BARs, or does not. */
  settle(answers: boolean): void {
    for (const memory of this.#memories) {
      if (answers) memory.give();
      else memory.take();
    }
    if (!answers) for (const { pages } of this.#doorbells) pages.deafen();
  }

  /** As DoorbellPages.written. */
  written(bar: number, offset: number, works: () => boolean): void {
    for (const doorbells of this.#doorbells)
      if (doorbells.bar === bar) doorbells.pages.written(offset, works);
  }

  /** Are there doorbells that are looked at? */
  get looking(): boolean {
    return this.#doorbells.some(({ pages }) => pages.looking);
  }

  /** Looks at the doorbells that programs have. */
  hear(ring: RingBar): void {
    for (const { bar, pages } of this.#doorbells) pages.hear((at, word) => ring(bar, at, word));
  }

  /** As DoorbellPages.lookOn, of all. */
  lookOn(works: boolean, ring: RingBar): void {
    for (const { bar, pages } of this.#doorbells) pages.lookOn(works, (at, word) => ring(bar, at, word));
  }

  /** The device is reset. */
  reset(): void {
    for (const { pages } of this.#doorbells) pages.deafen();
  }

  /** The device is closed: who has mapped them will never have them again. */
  close(): void {
    for (const memory of this.#memories) memory.close();
    for (const { pages } of this.#doorbells) pages.close();
  }
}
