/**
 * Scattered: a transfer that not one mapping has: ranges of IOVAs, one after the other, or one that several
 * mappings make up.
 *
 * An access to memory may cost far more than its bytes (Memory.gather). So what lies in one memory, one piece
 * after the other, is translated first, and accessed together.
 *
 * Each part may have the server wait, and so may each entry of a user's page table that is read on the way.
 * So one that may end early does, behind a part, where it has come to as much as a step of a device may.
 *
 * Invariant: what comes before a fault, or before the end, has been transferred, and nothing that comes
 * behind it.
 */
import { hex } from '../linux/errno.js';
import { Ranges } from '../linux/ranges.js';
import { ScatterList } from '../linux/scatter-list.js';
import { type Access, READ, WRITE } from './access.js';
import type { DmaFault } from './fault-log.js';
import type { Memory } from './memory.js';
import type { Pasid } from './pasid.js';
import { beginWords, endWords } from './word-accesses.js';

/** A requester, as such a transfer needs it. */
export interface Translating {
  /** As Requester.locate, of any numbers: the slot of a mapping, or a negative reason. */
  find(pasid: Pasid, iova: number, access: Access): number;
  /** Right after `find` of `iova`: the memory of its mapping, which is about to be accessed. */
  memoryOf(slot: number, pasid: Pasid, iova: number): Memory;
  /** After `find`, and until the next: the byte of that memory. */
  readonly offset: number;
  /** Bytes of the mapping in `slot` from `iova` on. */
  left(slot: number, iova: number): number;
  /** Why `find` has given that reason. */
  why(reason: number, pasid: Pasid, iova: number, access: Access): string;
  /** A fault at `iova`, when `done` bytes have been transferred: recorded, and returned. */
  fault(pasid: Pasid, iova: number, done: number, access: Access, reason: string): DmaFault;
  /** Right after `find` of `iova`: the address by which a write there is recorded. */
  logged(pasid: Pasid, iova: number): number;
  /** Bytes were written, from such an address on. */
  written(pasid: Pasid, address: number, length: number): void;
  /** As Requester.effort. */
  readonly effort: number;
}

/** What it may come to to find where bytes are that are read there at once: half of a step. */
const PLACE_EFFORT = 512;

/** Where one mapping has what is copied, and where it goes. */
const source = new ScatterList(1);
const target = new ScatterList(1);

export class Scattered {
  readonly #requester: Translating;
  /** What is translated of the transfer, and not accessed yet: in which memory, from which byte on. */
  readonly #places = new Ranges();
  /** The same bytes by the addresses by which writes are recorded. */
  readonly #logged = new Ranges();
  #memory: Memory | undefined;
  #from = 0;
  /** Bytes that the last transfer has come to, where no fault has ended it. */
  done = 0;

  constructor(requester: Translating) {
    this.#requester = requester;
  }

  /**
   * Reads, or writes, all parts of `ranges`, of which the buffer has the bytes from `at` on; or as many as it
   * does with an effort of `most`, one at least. `done` says how far it has come.
   */
  transfer(
    pasid: Pasid,
    ranges: Ranges,
    buffer: Uint8Array,
    at: number,
    access: Access,
    most = Number.POSITIVE_INFINITY,
  ): DmaFault | undefined {
    beginWords();
    try {
      return this.#transfer(pasid, ranges, buffer, at, access, this.#requester.effort + most);
    } finally {
      endWords();
    }
  }

  #transfer(
    pasid: Pasid,
    ranges: Ranges,
    buffer: Uint8Array,
    at: number,
    access: Access,
    until: number,
  ): DmaFault | undefined {
    const requester = this.#requester;
    this.#next(undefined, 0);
    let done = 0;
    while (done < ranges.length && (done === 0 || requester.effort < until)) {
      const within = ranges.seek(done);
      const iova = ranges.addresses[ranges.part]! + within;
      const slot = requester.find(pasid, iova, access);
      if (slot < 0)
        return (
          this.#access(pasid, ranges, buffer, at, access) ??
          requester.fault(pasid, iova, done, access, requester.why(slot, pasid, iova, access))
        );
      const memory = requester.memoryOf(slot, pasid, iova);
      if (memory !== this.#memory || this.#isFull) {
        const fault = this.#access(pasid, ranges, buffer, at, access);
        if (fault !== undefined) return fault;
        this.#next(memory, done);
      }
      const most = memory.together?.bytes ?? Number.POSITIVE_INFINITY;
      const length = Math.min(ranges.lengths[ranges.part]! - within, requester.left(slot, iova), most);
      this.#places.append(requester.offset, length);
      this.#logged.append(requester.logged(pasid, iova), length);
      done += length;
    }
    this.done = done;
    return this.#access(pasid, ranges, buffer, at, access);
  }

  /** As Requester.place. */
  place(pasid: Pasid, iova: number, length: number, places: ScatterList): boolean {
    const requester = this.#requester;
    const until = requester.effort + PLACE_EFFORT;
    for (let done = 0; done < length; ) {
      const here = iova + done;
      const slot = requester.find(pasid, here, WRITE);
      if (slot < 0 || requester.effort > until) return false;
      const count = Math.min(length - done, requester.left(slot, here));
      const memory = requester.memoryOf(slot, pasid, here);
      if (memory.place?.(requester.offset, count, places, WRITE) !== true) return false;
      requester.written(pasid, requester.logged(pasid, here), count);
      done += count;
    }
    return true;
  }

  /** As Requester.copy. */
  copy(pasid: Pasid, from: number, to: number, length: number, most: number): number {
    const requester = this.#requester;
    const until = requester.effort + most;
    let done = 0;
    while (done < length && requester.effort < until) {
      const read = this.#placeOf(pasid, from + done, length - done, READ, source);
      const count = this.#placeOf(pasid, to + done, read, WRITE, target);
      if (count === 0) break;
      const copied = target.copyFrom(source, count);
      requester.written(pasid, requester.logged(pasid, to + done), copied);
      done += copied;
      if (copied < count) break;
    }
    return done;
  }

  /** Where one mapping has bytes from `iova` on, at most `length`. @returns how many; 0: it is not said. */
  #placeOf(pasid: Pasid, iova: number, length: number, access: Access, place: ScatterList): number {
    const slot = length > 0 ? this.#requester.find(pasid, iova, access) : -1;
    if (slot < 0) return 0;
    const count = Math.min(length, this.#requester.left(slot, iova));
    const memory = this.#requester.memoryOf(slot, pasid, iova);
    place.clear();
    return memory.place?.(this.#requester.offset, count, place, access) === true ? count : 0;
  }

  /** Is as much translated as its memory is accessed together? */
  get #isFull(): boolean {
    const together = this.#memory?.together;
    if (together === undefined) return false;
    return this.#places.count >= together.parts || this.#places.length >= together.bytes;
  }

  #next(memory: Memory | undefined, from: number): void {
    this.#places.clear();
    this.#logged.clear();
    this.#memory = memory;
    this.#from = from;
  }

  /** Accesses what has been translated. */
  #access(
    pasid: Pasid,
    ranges: Ranges,
    buffer: Uint8Array,
    at: number,
    access: Access,
  ): DmaFault | undefined {
    const places = this.#places;
    const memory = this.#memory;
    const from = this.#from;
    if (memory === undefined) return undefined;
    const write = access === WRITE;
    const moved = move(memory, places, buffer, at + from, write);
    if (write) this.#written(pasid, moved);
    if (moved === places.length) return undefined;
    const offset = places.seek(moved) + places.addresses[places.part]!;
    const iova = ranges.seek(from + moved) + ranges.addresses[ranges.part]!;
    return this.#requester.fault(pasid, iova, from + moved, access, shortOf(memory, offset));
  }

  #written(pasid: Pasid, length: number): void {
    const { count, addresses, lengths } = this.#logged;
    for (let part = 0, left = length; part < count && left > 0; left -= lengths[part++]!)
      this.#requester.written(pasid, addresses[part]!, Math.min(left, lengths[part]!));
  }
}

/** Why an access to `memory` has ended before byte `offset` of it. */
export function shortOf(memory: Memory, offset: number): string {
  return memory.shortfall ?? `${memory.description} cannot be reached at ${hex(offset)}`;
}

/** Copies all parts of `ranges`, or to them. @returns the bytes: fewer where one cannot be reached. */
function move(memory: Memory, ranges: Ranges, buffer: Uint8Array, at: number, write: boolean): number {
  const together = write ? memory.scatter?.(ranges, buffer, at) : memory.gather?.(ranges, buffer, at);
  if (together !== undefined) return together;
  let done = 0;
  for (let part = 0; part < ranges.count; part++) {
    const [address, length] = [ranges.addresses[part]!, ranges.lengths[part]!];
    const moved = write
      ? memory.write(address, buffer, at + done, length)
      : memory.read(address, buffer, at + done, length);
    done += moved;
    if (moved < length) break;
  }
  return done;
}
