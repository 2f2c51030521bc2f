/**
 * The driver's side of a ring, written from virtio 1.3 §2.7 and §2.8 with plain loops over flat memory: the
 * reference that the device's side is held against.
 */
import type { QueueSetup } from '../devices/virtio/virtqueue.js';
import type { FlatMemory } from './flat-memory.js';

/** One part of a buffer. */
export interface Part {
  readonly iova: number;
  readonly length: number;
  readonly write: boolean;
}

/** What came back: which buffer, and how many bytes of it were written. */
export interface UsedBuffer {
  readonly id: number;
  readonly length: number;
}

export interface RingDriver {
  /** How the device is to be set up. */
  readonly setup: QueueSetup;
  /** The base of a ring that nobody has used. */
  readonly base: number;
  /**
   * Makes a buffer available. @param table where its indirect table is to be, if it is to have one.
   * @returns its id; -1 when the ring has no room.
   */
  offer(parts: readonly Part[], table?: number): number;
  /** Shows the device all that was offered since. @returns whether the device has asked for a kick. */
  publish(): boolean;
  /** The next used buffer. */
  collect(): UsedBuffer | undefined;
  /** Asks for interrupts: none, all, or (event index) one when `ahead` more buffers are used. */
  ask(events: 'none' | 'all' | number): void;
}

export interface DriverOptions {
  readonly size: number;
  readonly eventIndex?: boolean;
  readonly inOrder?: boolean;
  /** Where the ring's three areas are to be. */
  readonly at?: number;
}

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

export function writeDescriptor(
  { view }: FlatMemory,
  at: number,
  { iova, length }: { iova: number; length: number },
  third: number,
  fourth: number,
): void {
  view.setBigUint64(at, BigInt(iova), true);
  view.setUint32(at + 8, length, true);
  view.setUint16(at + 12, third, true);
  view.setUint16(at + 14, fourth, true);
}

export class SplitDriver implements RingDriver {
  readonly setup: QueueSetup;
  readonly base = 0;
  readonly #memory: FlatMemory;
  readonly #free: number[];
  readonly #taken = new Map<number, number[]>();
  #shadow = 0;
  #shown = 0;
  #seen = 0;

  constructor(memory: FlatMemory, { size, eventIndex = false, inOrder = false, at = 0 }: DriverOptions) {
    this.#memory = memory;
    this.#free = Array.from({ length: size }, (_, i) => i);
    const driver = at + size * 16;
    const device = Math.ceil((driver + 6 + size * 2) / 4) * 4;
    this.setup = { size, descriptors: at, driver, device, eventIndex, inOrder, packed: false, asid: 0 };
  }

  offer(parts: readonly Part[], table?: number): number {
    const { size, descriptors, driver } = this.setup;
    const needed = table === undefined ? parts.length : 1;
    if (this.#free.length < needed || parts.length === 0) return -1;
    const indexes = this.#free.splice(0, needed);
    const links = table === undefined ? indexes : parts.map((_, i) => i);
    const base = table ?? descriptors;
    parts.forEach((part, i) => {
      const flags = (part.write ? WRITE : 0) | (i + 1 < parts.length ? NEXT : 0);
      writeDescriptor(this.#memory, base + links[i]! * 16, part, flags, links[i + 1] ?? 0);
    });
    const id = indexes[0]!;
    if (table !== undefined) {
      const whole = { iova: table, length: parts.length * 16 };
      writeDescriptor(this.#memory, descriptors + id * 16, whole, INDIRECT, 0);
    }
    this.#taken.set(id, indexes);
    this.#memory.view.setUint16(driver + 4 + (this.#shadow % size) * 2, id, true);
    this.#shadow = (this.#shadow + 1) & 0xffff;
    return id;
  }

  publish(): boolean {
    const { size, driver, device, eventIndex } = this.setup;
    const { view } = this.#memory;
    const old = this.#shown;
    view.setUint16(driver + 2, this.#shadow, true);
    this.#shown = this.#shadow;
    if (!eventIndex) return (view.getUint16(device, true) & 1) === 0;
    const event = view.getUint16(device + 4 + size * 8, true);
    // Was the position of the event passed on the way from old to new?
    for (let i = old; i !== this.#shown; i = (i + 1) & 0xffff) if (i === event) return true;
    return false;
  }

  collect(): UsedBuffer | undefined {
    const { size, device } = this.setup;
    const { view } = this.#memory;
    if (view.getUint16(device + 2, true) === this.#seen) return undefined;
    const at = device + 4 + (this.#seen % size) * 8;
    this.#seen = (this.#seen + 1) & 0xffff;
    const id = view.getUint32(at, true);
    const indexes = this.#taken.get(id);
    if (indexes === undefined) throw new Error(`buffer ${id} is used, and was not available`);
    this.#taken.delete(id);
    this.#free.push(...indexes);
    return { id, length: view.getUint32(at + 4, true) };
  }

  ask(events: 'none' | 'all' | number): void {
    const { size, driver, eventIndex } = this.setup;
    const { view } = this.#memory;
    const ahead = events === 'none' ? 0x8000 : events === 'all' ? 0 : events;
    if (eventIndex) view.setUint16(driver + 4 + size * 2, (this.#seen + ahead) & 0xffff, true);
    else view.setUint16(driver, events === 'none' ? 1 : 0, true);
  }
}

export class PackedDriver implements RingDriver {
  readonly setup: QueueSetup;
  /** Both directions begin at entry 0 with their wrap counter 1. */
  readonly base = 0x80008000;
  readonly #memory: FlatMemory;
  readonly #slots = new Map<number, number>();
  readonly #ids: number[];
  /** The flags of the first descriptor since `publish`: written last. */
  #gate: { at: number; flags: number } | undefined;
  #shown = { index: 0, wrap: true };
  #next = { index: 0, wrap: true };
  #seen = { index: 0, wrap: true };
  #room: number;

  constructor(memory: FlatMemory, { size, eventIndex = false, inOrder = false, at = 0 }: DriverOptions) {
    this.#memory = memory;
    this.#room = size;
    this.#ids = Array.from({ length: size }, (_, i) => (i * 7 + 3) & 0xffff);
    const driver = at + size * 16;
    this.setup = {
      ...{ size, descriptors: at, driver, device: driver + 4 },
      ...{ eventIndex, inOrder, packed: true, asid: 0 },
    };
  }

  offer(parts: readonly Part[], table?: number): number {
    const needed = table === undefined ? parts.length : 1;
    if (this.#room < needed || parts.length === 0) return -1;
    const id = this.#ids.shift()!;
    this.#room -= needed;
    this.#slots.set(id, needed);
    if (table === undefined)
      parts.forEach((part, i) => {
        this.#put(part, id, (part.write ? WRITE : 0) | (i + 1 < parts.length ? NEXT : 0));
      });
    else {
      parts.forEach((part, i) => {
        writeDescriptor(this.#memory, table + i * 16, part, 0xabcd, part.write ? WRITE : 0);
      });
      this.#put({ iova: table, length: parts.length * 16 }, id, INDIRECT);
    }
    return id;
  }

  publish(): boolean {
    const { size, device, eventIndex } = this.setup;
    const { view } = this.#memory;
    if (this.#gate !== undefined) view.setUint16(this.#gate.at, this.#gate.flags, true);
    this.#gate = undefined;
    const from = this.#shown;
    this.#shown = { ...this.#next };
    const flags = view.getUint16(device + 2, true);
    if (flags !== 2 || !eventIndex) return flags !== 1;
    const event = view.getUint16(device, true);
    const at = { ...from };
    while (at.index !== this.#shown.index || at.wrap !== this.#shown.wrap) {
      if (at.index === (event & 0x7fff) && at.wrap === event >= 0x8000) return true;
      advance(at, 1, size);
    }
    return false;
  }

  collect(): UsedBuffer | undefined {
    const { size, descriptors } = this.setup;
    const { view } = this.#memory;
    const at = descriptors + this.#seen.index * 16;
    const flags = view.getUint16(at + 14, true);
    const wrap = this.#seen.wrap;
    if (((flags & 0x80) !== 0) !== wrap || ((flags & 0x8000) !== 0) !== wrap) return undefined;
    const id = view.getUint16(at + 12, true);
    const slots = this.#slots.get(id);
    if (slots === undefined) throw new Error(`buffer ${id} is used, and was not available`);
    this.#slots.delete(id);
    this.#ids.push(id);
    this.#room += slots;
    advance(this.#seen, slots, size);
    return { id, length: (flags & WRITE) === 0 ? 0 : view.getUint32(at + 8, true) };
  }

  ask(events: 'none' | 'all' | number): void {
    const { size, driver } = this.setup;
    const { view } = this.#memory;
    const at = { ...this.#seen };
    if (typeof events === 'number') advance(at, events, size);
    view.setUint16(driver, at.index | (at.wrap ? 0x8000 : 0), true);
    view.setUint16(driver + 2, events === 'none' ? 1 : events === 'all' ? 0 : 2, true);
  }

  #put(part: { iova: number; length: number }, id: number, flags: number): void {
    const at = this.setup.descriptors + this.#next.index * 16;
    const marked = flags | (this.#next.wrap ? 0x80 : 0x8000);
    const gated = this.#gate === undefined;
    // What was there before is not available: its marks are of the pass before.
    const before = this.#memory.view.getUint16(at + 14, true);
    writeDescriptor(this.#memory, at, part, id, gated ? before : marked);
    if (gated) this.#gate = { at: at + 14, flags: marked };
    advance(this.#next, 1, this.setup.size);
  }
}

function advance(place: { index: number; wrap: boolean }, by: number, size: number): void {
  place.index += by;
  if (place.index < size) return;
  place.index -= size;
  place.wrap = !place.wrap;
}

export const drivers = { split: SplitDriver, packed: PackedDriver };
