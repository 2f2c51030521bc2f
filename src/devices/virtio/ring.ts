/**
 * What the two formats of a ring have in common: what a queue asks of them, and descriptors.
 *
 * A ring reads what the driver has made available, in the order in which it was, and writes what was used. It
 * trusts nothing: an index or a length is looked at before it leads anywhere, and a ring that makes no sense
 * is broken before a byte of a buffer is touched (RingMemory.broken says why).
 */
import type { Chain } from './chain.js';
import type { RingMemory } from './ring-memory.js';

/** Where the driver has put the parts of a ring (virtio 1.3 §2.6), as IOVAs, and how it is used. */
export interface RingLayout {
  /** Descriptors. Split: a power of two up to 32768; packed: any number from 1 to 32768. */
  readonly size: number;
  /** Descriptor area, driver area (split: available ring), device area (split: used ring). */
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
  /** VIRTIO_F_EVENT_IDX is negotiated. */
  readonly eventIndex: boolean;
}

export interface Ring {
  /**
   * Takes the next buffer. @returns false when there is none, and then the driver is asked to kick for the
   * next one; or when the ring is broken.
   */
  take(chain: Chain): boolean;
  /** Takes the last `take` back: the next one gives the same buffer. */
  untake(chain: Chain): void;
  /** Notes a used buffer, of which `length` bytes were written. The driver sees it at `publish`. */
  use(chain: Chain, length: number): void;
  /** Shows the driver what was used. @returns whether it wants an interrupt for that. */
  publish(): boolean;
  /** Where the ring goes on, as vhost counts it (VHOST_GET_VRING_BASE). Nothing is in flight. */
  readonly base: number;
}

export const DESCRIPTOR_BYTES = 16;
export const DESCRIPTOR_NEXT = 1;
export const DESCRIPTOR_WRITE = 2;
export const DESCRIPTOR_INDIRECT = 4;

/**
 * Descriptors of one chain, at least. Drivers make chains longer than a short ring by indirect tables, which
 * §2.7.5.3.1 forbids and devices have always allowed.
 */
const LONG_CHAIN = 1024;

/** The most descriptors that a chain may have on a ring of `size`. */
export function longestChain(size: number): number {
  return Math.max(size, LONG_CHAIN);
}

/** Descriptors as they were read: 64-bit addresses as numbers, inexact where nothing is mapped. */
export class Descriptors {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(count: number) {
    this.bytes = new Uint8Array(count * DESCRIPTOR_BYTES);
    this.#view = new DataView(this.bytes.buffer);
  }

  iova(index: number): number {
    const at = index * DESCRIPTOR_BYTES;
    return this.#view.getUint32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true);
  }

  length(index: number): number {
    return this.#view.getUint32(index * DESCRIPTOR_BYTES + 8, true);
  }

  /** Bytes 12 and 13: the flags of a split descriptor, the buffer id of a packed one. */
  third(index: number): number {
    return this.#view.getUint16(index * DESCRIPTOR_BYTES + 12, true);
  }

  /** Bytes 14 and 15: the next of a split descriptor, the flags of a packed one. */
  fourth(index: number): number {
    return this.#view.getUint16(index * DESCRIPTOR_BYTES + 14, true);
  }
}

/** Reads indirect tables (§2.7.5.3, §2.8.7), whole: what is checked is what is used. */
export class IndirectTable {
  readonly #memory: RingMemory;
  readonly #longest: number;
  #table = new Descriptors(32);

  constructor(memory: RingMemory, longest: number) {
    this.#memory = memory;
    this.#longest = longest;
  }

  /** @returns the table, or undefined when a chain cannot be like that: the ring is broken. */
  read(iova: number, length: number): Descriptors | undefined {
    const count = length / DESCRIPTOR_BYTES;
    if (length === 0 || !Number.isInteger(count)) return this.#fail(`has ${length} bytes`);
    if (count > this.#longest) return this.#fail(`has ${count} descriptors, more than ${this.#longest}`);
    if (length > this.#table.bytes.length) this.#table = new Descriptors(2 ** Math.ceil(Math.log2(count)));
    return this.#memory.read(iova, this.#table.bytes, length, 'indirect table') ? this.#table : undefined;
  }

  #fail(what: string): undefined {
    this.#memory.fail(`an indirect table ${what}`);
  }
}

/**
 * Does the driver want to hear of what was used between the positions `old` and `now`, when it has asked for
 * the one at `event` (§2.7.7.1)? All are modulo 2^16.
 */
export function wantsEvent(event: number, now: number, old: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - old) & 0xffff);
}
