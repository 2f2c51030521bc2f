/**
 * ScatterList: the data of one command in the driver's memory, as ranges of IOVAs in their order, whichever
 * way the command named them (prp.ts, sgl.ts). Ranges that follow each other are one.
 *
 * It says where data would go, and holds nothing there: each transfer is translated anew. A range without
 * memory (a bit bucket) takes what is written to it, and is nothing to read from.
 */
import { ScatterList as Places } from '../../linux/cached-read.js';
import type { Memory } from './memory.js';

const NOWHERE = -1;

/** Where the ranges are in this process, from one end of `receive` to the other. */
const places = new Places();

export class ScatterList {
  /** Bytes of all ranges. */
  length = 0;
  #iovas = new Float64Array(8);
  #lengths = new Float64Array(8);
  #count = 0;
  /** The range that was used last, and the bytes before it. */
  #part = 0;
  #start = 0;

  clear(): void {
    this.length = this.#count = this.#part = this.#start = 0;
  }

  /** Adds `length` bytes at `iova`. */
  add(iova: number, length: number): void {
    const last = this.#count - 1;
    this.length += length;
    if (last >= 0 && iova >= 0 && this.#iovas[last]! + this.#lengths[last]! === iova) {
      if (this.#iovas[last] !== NOWHERE) {
        this.#lengths[last]! += length;
        return;
      }
    }
    if (this.#count === this.#iovas.length) this.#grow();
    this.#iovas[this.#count] = iova;
    this.#lengths[this.#count++] = length;
  }

  /** Adds `length` bytes that nobody wants. */
  addBucket(length: number): void {
    this.add(NOWHERE, length);
  }

  /**
   * Reads `length` bytes from byte `offset` on into the start of `target`. @returns whether they were there.
   */
  read(memory: Memory, offset: number, target: Uint8Array, length: number): boolean {
    return this.#transfer(memory, offset, target, length, false);
  }

  /** Writes the first `length` bytes of `source` from byte `offset` on. @returns whether all were. */
  write(memory: Memory, offset: number, source: Uint8Array, length: number): boolean {
    return this.#transfer(memory, offset, source, length, true);
  }

  /**
   * Writes bytes [position, position+length) of the open file `fd` from byte `offset` on, if that goes
   * without waiting, by one system call. @returns whether all were written; if not, some may have been.
   */
  receive(memory: Memory, offset: number, fd: number, position: number, length: number): boolean {
    if (offset + length > this.length) return false;
    places.clear();
    for (let done = 0; done < length; ) {
      const within = this.#seek(offset + done);
      const n = Math.min(length - done, this.#lengths[this.#part]! - within);
      const iova = this.#iovas[this.#part]!;
      if (iova === NOWHERE || !memory.place(iova + within, n, places)) return false;
      done += n;
    }
    return places.read(fd, position);
  }

  /** Bytes from byte `offset` on that lie in `parts` ranges: at most `length`, all of which there are. */
  within(offset: number, length: number, parts: number): number {
    this.#seek(offset);
    let end = this.#start;
    for (let part = this.#part; part < this.#part + parts && end < offset + length; part++)
      end += this.#lengths[part]!;
    return Math.min(length, end - offset);
  }

  #transfer(memory: Memory, offset: number, buffer: Uint8Array, wanted: number, write: boolean): boolean {
    if (offset + wanted > this.length) return false;
    for (let done = 0; done < wanted; ) {
      const within = this.#seek(offset + done);
      const n = Math.min(wanted - done, this.#lengths[this.#part]! - within);
      const iova = this.#iovas[this.#part]!;
      if (iova === NOWHERE) {
        if (!write) return false;
      } else if (
        write ? !memory.write(iova + within, buffer, done, n) : !memory.read(iova + within, buffer, done, n)
      )
        return false;
      done += n;
    }
    return true;
  }

  /** Makes `part` the range of byte `offset`, which there is. @returns where in it that is. */
  #seek(offset: number): number {
    if (this.#start > offset) this.#part = this.#start = 0;
    while (offset - this.#start >= this.#lengths[this.#part]!) this.#start += this.#lengths[this.#part++]!;
    return offset - this.#start;
  }

  #grow(): void {
    const iovas = new Float64Array(this.#iovas.length * 2);
    const lengths = new Float64Array(iovas.length);
    iovas.set(this.#iovas);
    lengths.set(this.#lengths);
    this.#iovas = iovas;
    this.#lengths = lengths;
  }
}
