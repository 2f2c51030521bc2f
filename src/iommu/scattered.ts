/**
 * Scattered: a transfer that not one mapping has: ranges of IOVAs, one after the other, or one that several
 * mappings make up.
 *
 * An access to memory may cost far more than its bytes (Memory.gather). So what lies in one memory, one piece
 * after the other, is translated first, and accessed together.
 *
 * Invariant: what comes before a fault has been transferred, and nothing that comes behind it.
 */
import { hex } from '../linux/errno.js';
import { Ranges } from '../linux/ranges.js';
import { type Access, WRITE } from './access.js';
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
}

export class Scattered {
  readonly #requester: Translating;
  /** What is translated of the transfer, and not accessed yet: in which memory, from which byte on. */
  readonly #places = new Ranges();
  /** The same bytes by the addresses by which writes are recorded. */
  readonly #logged = new Ranges();
  #memory: Memory | undefined;
  #from = 0;

  constructor(requester: Translating) {
    this.#requester = requester;
  }

  /** Reads, or writes, all parts of `ranges`, of which the buffer has the bytes from `at` on. */
  transfer(
    pasid: Pasid,
    ranges: Ranges,
    buffer: Uint8Array,
    at: number,
    access: Access,
  ): DmaFault | undefined {
    beginWords();
    try {
      return this.#transfer(pasid, ranges, buffer, at, access);
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
  ): DmaFault | undefined {
    const requester = this.#requester;
    this.#next(undefined, 0);
    for (let done = 0; done < ranges.length; ) {
      const within = ranges.seek(done);
      const iova = ranges.addresses[ranges.part]! + within;
      const slot = requester.find(pasid, iova, access);
      if (slot < 0)
        return (
          this.#access(pasid, ranges, buffer, at, access) ??
          requester.fault(pasid, iova, done, access, requester.why(slot, pasid, iova, access))
        );
      const memory = requester.memoryOf(slot, pasid, iova);
      if (memory !== this.#memory) {
        const fault = this.#access(pasid, ranges, buffer, at, access);
        if (fault !== undefined) return fault;
        this.#next(memory, done);
      }
      const length = Math.min(ranges.lengths[ranges.part]! - within, requester.left(slot, iova));
      this.#places.append(requester.offset, length);
      this.#logged.append(requester.logged(pasid, iova), length);
      done += length;
    }
    return this.#access(pasid, ranges, buffer, at, access);
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
