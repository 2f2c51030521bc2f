/**
 * ScatterList: the data of one command in the driver's memory, as ranges of IOVAs in their order, whichever
 * way the command named them (prp.ts, sgl.ts). Ranges that follow each other are one.
 *
 * It says where data would go, and holds nothing there: each transfer is translated anew. A range without
 * memory (a bit bucket) takes what is written to it, and is nothing to read from.
 */

import { Ranges } from '../../linux/ranges.js';
import { ScatterList as Places } from '../../linux/scatter-list.js';
import type { Memory } from './memory.js';

/** No IOVA: nothing follows it but itself. */
const NOWHERE = Number.NEGATIVE_INFINITY;

/**
 * Transfers that are made at once: of what has to be moved together each may come to the effort of a step,
 * and what keeps everybody waiting for longer is not there.
 */
const MOST_TURNS = 16;

/**
 * While an access lasts: the ranges that it is about, those of them up to a gap, and where `receive` has them
 * in this process.
 */
const parts = new Ranges();
const run = new Ranges();
const places = new Places();

export class ScatterList {
  readonly #ranges = new Ranges();

  /** Bytes of all ranges. */
  get length(): number {
    return this.#ranges.length;
  }

  clear(): void {
    this.#ranges.clear();
  }

  /** Adds `length` bytes at `iova`. */
  add(iova: number, length: number): void {
    this.#ranges.append(iova, length);
  }

  /** Adds `length` bytes that nobody wants. */
  addBucket(length: number): void {
    this.add(NOWHERE, length);
  }

  /**
   * Reads `length` bytes from byte `offset` on into the start of `target`, or `least` and as many more as
   * come to the effort of a step. @returns how many; 0: they are not there, or take too long.
   */
  read(memory: Memory, offset: number, target: Uint8Array, length: number, least = length): number {
    return this.#transfer(memory, offset, target, length, least, false);
  }

  /** Writes the first `length` bytes of `source` from byte `offset` on, as `read`. */
  write(memory: Memory, offset: number, source: Uint8Array, length: number, least = length): number {
    return this.#transfer(memory, offset, source, length, least, true);
  }

  /**
   * Writes bytes [position, position+length) of the open file `fd` from byte `offset` on, if that goes
   * without waiting, by one system call. @returns whether all were written; if not, some may have been.
   */
  receive(memory: Memory, offset: number, fd: number, position: number, length: number): boolean {
    if (offset + length > this.length) return false;
    this.#take(offset, length);
    places.clear();
    const { count, addresses, lengths } = parts;
    for (let part = 0; part < count; part++) {
      const iova = addresses[part]!;
      if (iova === NOWHERE || !memory.place(iova, lengths[part]!, places)) return false;
    }
    return places.read(fd, position);
  }

  /** Bytes from byte `offset` on that lie in `parts` ranges: at most `length`, all of which there are. */
  within(offset: number, length: number, parts: number): number {
    return this.#ranges.within(offset, length, parts);
  }

  /** What lies between two ranges without memory is moved at once. */
  #transfer(
    memory: Memory,
    offset: number,
    buffer: Uint8Array,
    wanted: number,
    least: number,
    write: boolean,
  ): number {
    if (offset + wanted > this.length) return 0;
    this.#take(offset, wanted);
    let done = 0;
    for (let turns = 0, early = false; done < wanted && !(early && done >= least); ) {
      const bucket = this.#run(done);
      if (bucket > 0) {
        if (!write) return 0;
        done += bucket;
        continue;
      }
      if (turns++ === MOST_TURNS) return done < least ? 0 : done;
      const moved = memory.moveSome(run, buffer, done, write);
      if (moved === undefined) return 0;
      done += moved;
      early = moved < run.length;
    }
    return done;
  }

  /** Makes `run` the ranges from byte `done` of `parts` on, up to a bucket. @returns bytes of one there. */
  #run(done: number): number {
    const within = parts.seek(done);
    const { count, addresses, lengths } = parts;
    run.clear();
    if (addresses[parts.part] === NOWHERE) return lengths[parts.part]! - within;
    for (let part = parts.part, before = within; part < count && addresses[part] !== NOWHERE; part++) {
      run.add(addresses[part]! + before, lengths[part]! - before);
      before = 0;
    }
    return 0;
  }

  /** Makes `parts` those of the bytes from `offset` on. */
  #take(offset: number, length: number): void {
    parts.clear();
    parts.appendOf(this.#ranges, offset, length);
  }
}
