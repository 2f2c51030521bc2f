/**
 * The accesses that a program may make of a function's BARs, by the dice: each width at each of its offsets,
 * with values that mean something to some device. What does not arrive at a model (MSI-X, memory) is none.
 *
 * It learns where something happens: of an address space of a megabyte a device has a few registers, and a
 * job begins when several have been set. So most accesses are made where one has done something before.
 */
import { describeAccess } from '../../devices/call-words.js';
import type { BarDescription, PciDescription } from '../../devices/device-model.js';
import type { Dice } from './dice.js';

/** Offsets that are all accessed, at the beginning of each BAR. */
const ALL = 512;
const WIDTHS = [1, 2, 4, 8];
/** The largest offset that the dice give. */
const FARTHEST = 2 ** 32;
/** Places and triggers that are kept. */
const LEARNT = 256;

export interface Access {
  readonly bar: number;
  readonly offset: number;
  /** Bytes. */
  readonly width: number;
  /** Little-endian; undefined: it is a read. */
  readonly value: Uint8Array | undefined;
}

/** The access in words. */
export function sentenceOf({ bar, offset, width, value }: Access): string {
  const written = value && Buffer.from(value).reverse().toString('hex');
  return describeAccess({ bar, offset, width, written });
}

export class Accesses {
  readonly #pci: PciDescription;
  readonly #dice: Dice;
  /** Where an access has done something, and accesses that made the device busy. */
  readonly #places: Access[] = [];
  readonly #triggers: Access[] = [];
  /** By BAR: ranges whose accesses do not arrive. */
  readonly #hidden = new Map<number, { readonly offset: number; readonly size: number }[]>();

  constructor(pci: PciDescription, dice: Dice) {
    this.#pci = pci;
    this.#dice = dice;
    for (const { index, memory } of pci.bars)
      this.#hidden.set(index, memory ? [{ offset: memory.offset, size: memory.bytes.length }] : []);
    const { msix } = pci;
    if (msix === undefined) return;
    const pending = 8 * Math.ceil(msix.vectors / 64);
    this.#hidden
      .get(msix.bar)!
      .push({ offset: msix.tableOffset, size: 16 * msix.vectors }, { offset: msix.pbaOffset, size: pending });
  }

  /** Reads of every width at the first offsets of every BAR, then writes, in an order of the dice. */
  everywhere(): Access[] {
    const places = this.#pci.bars.flatMap((bar) =>
      WIDTHS.flatMap((width) =>
        Array.from({ length: Math.floor(Math.min(ALL, bar.size) / width) }, (_, n) => n * width)
          .filter((offset) => this.#arrives(bar, offset, width))
          .map((offset) => ({ bar: bar.index, offset, width })),
      ),
    );
    for (let n = places.length - 1; n > 0; n--) {
      const other = this.#dice.below(n + 1);
      [places[n], places[other]] = [places[other]!, places[n]!];
    }
    const reads = places.map((place) => ({ ...place, value: undefined }));
    return [...reads, ...places.map((place) => ({ ...place, value: this.#value(place.width) }))];
  }

  /** The words of 4 bytes at the first offsets. */
  words(): Access[] {
    return this.everywhere()
      .filter(({ width, value }) => width === 4 && value === undefined)
      .sort((a, b) => a.bar - b.bar || a.offset - b.offset);
  }

  /** `access` has done something; `begins`: the device has work since. */
  learn(access: Access, begins: boolean): void {
    for (const known of begins ? [this.#places, this.#triggers] : [this.#places])
      if (known.length < LEARNT) known.push(access);
      else known[this.#dice.below(LEARNT)] = access;
  }

  /** One by the dice; undefined: there is no place for one. */
  any(): Access | undefined {
    const dice = this.#dice;
    if (this.#triggers.length > 0 && dice.once(8)) return dice.pick(this.#triggers);
    if (this.#places.length === 0 || dice.once(4)) return this.#anywhere();
    const { bar, offset, width } = dice.pick(this.#places);
    return { bar, offset, width, value: width < 64 && dice.once(4) ? undefined : this.#value(width) };
  }

  #anywhere(): Access | undefined {
    if (this.#pci.bars.length === 0) return undefined;
    const bar = this.#dice.pick(this.#pci.bars);
    const { portals, doorbells, index } = bar;
    if (doorbells !== undefined && this.#dice.once(2)) {
      const offset = doorbells.offset + 4 * this.#dice.below(this.#dice.pick([4, doorbells.size / 4]));
      return { bar: index, offset, width: 4, value: this.#value(4) };
    }
    if (portals !== undefined && this.#dice.once(2)) {
      const offset = portals.offset + 64 * this.#dice.below(portals.size / 64);
      return { bar: index, offset, width: 64, value: this.#value(64) };
    }
    const width = this.#dice.pick(WIDTHS);
    const end = this.#dice.pick([64, ALL, FARTHEST]);
    const offset = width * this.#dice.below(Math.min(end, bar.size) / width);
    if (!this.#arrives(bar, offset, width)) return undefined;
    return { bar: index, offset, width, value: this.#dice.once(3) ? undefined : this.#value(width) };
  }

  #arrives({ index }: BarDescription, offset: number, width: number): boolean {
    const hidden = this.#hidden.get(index)!;
    return !hidden.some((range) => offset < range.offset + range.size && range.offset < offset + width);
  }

  /** Numbers as drivers write them, one or several: none, one, few, a bit, an address, ones; or anything. */
  #value(width: number): Uint8Array {
    const bytes = new Uint8Array(width);
    const dice = this.#dice;
    for (let at = 0; at < width; ) {
      const part = dice.once(4) ? Math.min(width - at, dice.pick(WIDTHS)) : Math.min(width - at, 8);
      this.#number(bytes.subarray(at, at + part));
      at += part;
    }
    return bytes;
  }

  #number(bytes: Uint8Array): void {
    const dice = this.#dice;
    const kind = dice.below(8);
    if (kind === 1) bytes[0] = 1;
    else if (kind === 2) bytes[0] = dice.below(16);
    else if (kind === 3) bytes[dice.below(bytes.length)] = 1 << dice.below(8);
    else if (kind === 4) {
      for (let n = 1; n < Math.min(bytes.length, 4); n++) bytes[n] = dice.below(256);
      if (bytes.length > 1) bytes[1]! &= 0xf0;
    } else if (kind === 5) bytes.fill(0xff);
    else if (kind > 5) for (let n = 0; n < bytes.length; n++) bytes[n] = dice.below(256);
  }
}
