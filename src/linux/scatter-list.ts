/**
 * ScatterList: places in the memory of this process, one after the other, for bytes to be moved there at
 * once: from a file, by one system call that never waits for its medium, or from such a place.
 *
 * Nothing that it names may be unmapped between `add` and the move.
 */
import { addressOf, libc } from './ffi.js';
import type { FileWaits } from './file-waits.js';
import { guardedCopy, streamingCopy } from './guarded-copy.js';

/** System call numbers of preadv2 (asm/unistd.h). */
const numbers: Partial<Record<string, number>> = { x64: 327, arm64: 286 };
const RWF_NOWAIT = 8;
/** The most places of one call (UIO_MAXIOV). */
const MOST_PLACES = 1024;
/** From so many bytes on a copy goes past the caches. */
const STREAMED = 0x10000;
/** Words of a struct iovec: address and length, 64 bits each. */
const WORDS = 4;

export class ScatterList {
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  #count = 0;
  /** Bytes of all places, and the address behind the last one. */
  #length = 0;
  #end = -1;
  /** Whose pages may keep us: those of the last place that is in a file. */
  #waits: FileWaits | undefined;

  /** @param most places, at most 1024. */
  constructor(most = MOST_PLACES) {
    this.#words = new Uint32Array(most * WORDS);
    this.#bytes = new Uint8Array(this.#words.buffer);
  }

  clear(): void {
    this.#count = this.#length = 0;
    this.#end = -1;
    this.#waits = undefined;
  }

  /**
   * Appends `length` bytes, above 0, at `address` of this process, of a file of `waits`. @returns false when
   * there is no room for another place, or all would be 4 GiB.
   */
  add(address: number, length: number, waits?: FileWaits): boolean {
    this.#waits = waits ?? this.#waits;
    if (this.#length + length >= 2 ** 32) return false;
    if (address === this.#end) this.#words[this.#count * WORDS - 2]! += length;
    else {
      const at = this.#count * WORDS;
      if (at + WORDS > this.#words.length) return false;
      this.#words[at] = address % 2 ** 32;
      this.#words[at + 1] = address / 2 ** 32;
      this.#words[at + 2] = length;
      this.#count++;
    }
    this.#end = address + length;
    this.#length += length;
    return true;
  }

  /**
   * Fills all places from byte `offset` of the open file `fd` on. @returns false when not all bytes could be
   * had without waiting, or a page of a place is not there (nobody is killed): some may have been written.
   */
  read(fd: number, offset: number): boolean {
    const number = numbers[process.arch];
    if (number === undefined) return false;
    const at = addressOf(this.#bytes);
    if (this.#waits?.touch() === false) return false;
    return libc().preadv2(number, fd, at, this.#count, offset, 0, RWF_NOWAIT) === this.#length;
  }

  /**
   * Copies `length` bytes from the only place of `source` to the only one of this. @returns the bytes copied:
   * fewer where a page of either is not there, none where one may keep us.
   */
  copyFrom(source: ScatterList, length: number): number {
    const waits = this.#waits ?? source.#waits;
    const copy = length < STREAMED ? guardedCopy() : streamingCopy();
    if (copy === undefined || (source.#waits ?? waits) !== waits || waits?.touch() === false) return 0;
    return copy(this.#end - this.#length, source.#end - source.#length, length);
  }
}
