/**
 * WildDriver: the driver of a virtio device, by the dice. Its rings are right, split ones of few descriptors
 * (virtio 1.3 §2.7): rings are the device's affair, and not the model's. Its buffers are anything: any parts
 * of any lengths, with any bytes, and any access of them may fault.
 *
 * Memory is its rings, then a range where buffers are put one behind the other, round and round.
 */
import type { DmaFault } from '../../devices/device-model.js';
import type { VirtioPort } from '../../devices/virtio/ring-memory.js';
import type { QueueAddresses } from '../../devices/virtio/virtio-device.js';
import type { Dice } from './dice.js';

/** Descriptors of a ring, at most, and bytes of its three areas. */
const SIZE = 16;
const RING_BYTES = 512;
const BUFFER_BYTES = 1 << 20;
/** One access in so many faults. */
const FAULTS = 8;
const NEXT = 1;
const WRITE = 2;
/** Bytes that requests of some device have: headers, sectors, packets, pages. */
const LENGTHS = [1, 2, 4, 8, 12, 16, 64, 512, 512, 1514, 4096, 5000];

/** A buffer that the device has. */
interface Offered {
  /** Its descriptors. */
  readonly slots: readonly number[];
  /** Bytes that may be written, and the range that they are in. */
  readonly writable: number;
  readonly from: number;
  readonly end: number;
  /** Bytes that the device has written. */
  written: number;
}

/** A buffer that came back. */
export interface UsedBuffer {
  /** Bytes that the device says it has written, those that it has, and those that there were to write. */
  readonly length: number;
  readonly written: number;
  readonly writable: number;
}

interface Ring {
  readonly at: number;
  readonly free: number[];
  readonly offered: Map<number, Offered>;
  shown: number;
  seen: number;
}

export class WildDriver implements VirtioPort {
  readonly counts = { dmas: 0, faults: 0 };
  readonly #dice: Dice;
  readonly #size: number;
  readonly #buffers: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #rings: Ring[];
  #next: number;

  constructor(dice: Dice, queues: number, queueSize: number) {
    this.#dice = dice;
    this.#size = Math.min(SIZE, queueSize);
    this.#buffers = this.#next = queues * RING_BYTES;
    this.#bytes = new Uint8Array(this.#buffers + BUFFER_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
    this.#rings = Array.from({ length: queues }, (_, n) => this.#ring(n));
  }

  read(_asid: number, iova: number, target: Uint8Array, at: number, length: number): DmaFault | undefined {
    const done = this.#reached(iova, length);
    target.set(this.#bytes.subarray(iova, iova + done), at);
    return this.#fault(iova, done, length, false);
  }

  write(_asid: number, iova: number, source: Uint8Array, at: number, length: number): DmaFault | undefined {
    const done = this.#reached(iova, length);
    this.#bytes.set(source.subarray(at, at + done), iova);
    for (const { offered } of iova < this.#buffers ? [] : this.#rings)
      for (const buffer of offered.values())
        if (iova >= buffer.from && iova < buffer.end) buffer.written += done;
    return this.#fault(iova, done, length, true);
  }

  /** A new ring for queue `index`, all of whose buffers are forgotten. @returns where it is. */
  begin(index: number): QueueAddresses {
    this.#rings[index] = this.#ring(index);
    const { at } = this.#rings[index]!;
    this.#bytes.fill(0, at, at + RING_BYTES);
    const [driver, device] = [at + 16 * this.#size, at + 16 * this.#size + 8 + 2 * this.#size];
    return { size: this.#size, descriptors: at, driver, device, asid: 0 };
  }

  /** Makes a buffer available in queue `index`. @returns what it is like; undefined: there is no room. */
  offer(index: number): string | undefined {
    const ring = this.#rings[index]!;
    const dice = this.#dice;
    const [reads, writes] = [dice.below(3), dice.below(4)];
    if (reads + writes === 0 || reads + writes > ring.free.length) return undefined;
    const lengths = Array.from({ length: reads + writes }, () => dice.pick(LENGTHS));
    const sum = (parts: readonly number[]) => parts.reduce((total, length) => total + length, 0);
    const [readable, writable] = [sum(lengths.slice(0, reads)), sum(lengths.slice(reads))];
    if (this.#next + readable + writable > this.#bytes.length) this.#next = this.#buffers;
    const from = this.#next;
    this.#next += readable + writable;
    this.#fill(this.#bytes.subarray(from, from + readable));
    const slots = ring.free.splice(0, reads + writes);
    this.#describe(ring, slots, lengths, reads, from);
    const offered = { slots, writable, from: from + readable, end: this.#next, written: 0 };
    ring.offered.set(slots[0]!, offered);
    this.#show(ring, slots[0]!);
    return `a buffer of ${readable} bytes to read and ${writable} to write in queue ${index}`;
  }

  /** The next buffer of queue `index` that came back; undefined: none has. */
  collect(index: number): UsedBuffer | undefined {
    const ring = this.#rings[index]!;
    const device = ring.at + 18 * this.#size + 8;
    if (this.#view.getUint16(device + 2, true) === ring.seen) return undefined;
    const at = device + 4 + 8 * (ring.seen % this.#size);
    ring.seen = (ring.seen + 1) & 0xffff;
    const id = this.#view.getUint32(at, true);
    const { slots, written, writable } = ring.offered.get(id)!;
    ring.offered.delete(id);
    ring.free.push(...slots);
    return { length: this.#view.getUint32(at + 4, true), written, writable };
  }

  #ring(index: number): Ring {
    const free = Array.from({ length: this.#size }, (_, n) => n);
    return { at: index * RING_BYTES, free, offered: new Map(), shown: 0, seen: 0 };
  }

  #describe(ring: Ring, slots: readonly number[], lengths: readonly number[], reads: number, from: number) {
    let iova = from;
    for (const [n, length] of lengths.entries()) {
      const at = ring.at + 16 * slots[n]!;
      const last = n + 1 === lengths.length;
      this.#view.setBigUint64(at, BigInt(iova), true);
      this.#view.setUint32(at + 8, length, true);
      this.#view.setUint16(at + 12, (n < reads ? 0 : WRITE) | (last ? 0 : NEXT), true);
      this.#view.setUint16(at + 14, last ? 0 : slots[n + 1]!, true);
      iova += length;
    }
  }

  #show(ring: Ring, id: number): void {
    const driver = ring.at + 16 * this.#size;
    this.#view.setUint16(driver + 4 + 2 * (ring.shown % this.#size), id, true);
    ring.shown = (ring.shown + 1) & 0xffff;
    this.#view.setUint16(driver + 2, ring.shown, true);
  }

  /** How many bytes of an access happen. */
  #reached(iova: number, length: number): number {
    if (iova < this.#buffers) return length;
    this.counts.dmas++;
    return this.#dice.once(FAULTS) ? this.#dice.below(length) : length;
  }

  #fault(iova: number, done: number, length: number, write: boolean): DmaFault | undefined {
    if (done === length) return undefined;
    this.counts.faults++;
    return { iova: iova + done, done, pasid: 0, write, reason: 'the page is not there' };
  }

  /** Zeros, ones, small words as those of headers, such words before anything, or anything. */
  #fill(bytes: Uint8Array): void {
    const dice = this.#dice;
    const kind = dice.below(5);
    if (kind < 2) bytes.fill(kind === 0 ? 0 : 0xff);
    else
      for (let at = 0; at < bytes.length; at++) {
        const isWord = kind === 2 || (kind === 3 && at < 16);
        bytes[at] = !isWord ? dice.below(256) : at % 4 === 0 ? dice.below(16) : 0;
      }
  }
}
