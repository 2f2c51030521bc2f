/**
 * Where the BARs of the functions lie, as firmware would have placed them: each aligned to its size, those of
 * 32 bits in a window below 4 GiB, the others above, no two in the same place. No memory is there: programs
 * are told of addresses, and reach a BAR through its device file.
 */
import type { BarDescription } from '../devices/device-model.js';

/** From <linux/ioport.h>. */
const IORESOURCE_MEM = 0x200;
const IORESOURCE_PREFETCH = 0x2000;
const IORESOURCE_SIZEALIGN = 0x40000;
const IORESOURCE_MEM_64 = 0x100000;
const IORESOURCE_UNSET = 0x20000000;
/** The low bits of a BAR that say what it is (PCI 3.0, 6.2.5.1). */
const BAR_64 = 4;
const BAR_PREFETCH = 8;
/** BARs, the ROM, those of virtual functions. */
const RESOURCES = 13;
const LOW_WINDOW = { next: 0x80000000, end: 0xfe000000 };
const HIGH_WINDOW = { next: 2 ** 40, end: 2 ** 52 };
const BAR0 = 0x10;

export class PciAddresses {
  readonly #low = { ...LOW_WINDOW };
  readonly #high = { ...HIGH_WINDOW };

  /** Places the BARs of one more function. */
  place(bars: readonly BarDescription[]): PlacedBars {
    return new PlacedBars(bars.map((bar) => ({ bar, start: this.#start(bar) })));
  }

  /** undefined: there is no room. */
  #start({ size, is64 }: BarDescription): number | undefined {
    const window = is64 ? this.#high : this.#low;
    const start = Math.ceil(window.next / size) * size;
    if (start + size > window.end) return undefined;
    window.next = start + size;
    return start;
  }
}

interface Placed {
  readonly bar: BarDescription;
  readonly start: number | undefined;
}

/** The BARs of one function. */
export class PlacedBars {
  readonly #bars: readonly Placed[];

  constructor(bars: readonly Placed[]) {
    this.#bars = bars;
  }

  /** A line for each resource: first address, last address, flags. */
  get text(): string {
    const lines = Array.from({ length: RESOURCES }, () => line(0, 0, 0));
    for (const { bar, start } of this.#bars) {
      const flags = flagsOf(bar) + (start === undefined ? IORESOURCE_UNSET : 0);
      lines[bar.index] = line(start ?? 0, (start ?? 0) + bar.size - 1, flags);
    }
    return lines.join('');
  }

  /** Writes the addresses into `config`, a configuration space whose BARs say what they are. */
  fill(config: Buffer): void {
    for (const { bar, start = 0 } of this.#bars) {
      const at = BAR0 + 4 * bar.index;
      config.writeUInt32LE(((start % 2 ** 32) + typeOf(bar)) >>> 0, at);
      if (bar.is64) config.writeUInt32LE(Math.floor(start / 2 ** 32), at + 4);
    }
  }
}

function typeOf({ is64, prefetchable }: BarDescription): number {
  return (is64 ? BAR_64 : 0) | (prefetchable ? BAR_PREFETCH : 0);
}

function flagsOf(bar: BarDescription): number {
  const kind = (bar.is64 ? IORESOURCE_MEM_64 : 0) | (bar.prefetchable ? IORESOURCE_PREFETCH : 0);
  return IORESOURCE_MEM | IORESOURCE_SIZEALIGN | kind | typeOf(bar);
}

function line(start: number, end: number, flags: number): string {
  const [first, last, bits] = [start, end, flags].map((each) => `0x${each.toString(16).padStart(16, '0')}`);
  return `${first} ${last} ${bits}\n`;
}
