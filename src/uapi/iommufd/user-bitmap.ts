/**
 * UserBitmap: a bitmap in the caller's memory, in which bits are set; the others stay.
 *
 * A page of it is collected here and stored when another is begun, so that it costs the same memory however
 * many bits are set. As in Linux, bits that have no place are lost without an error.
 */
import type { Caller } from '../../file/open-file.js';
import { Refusal } from '../../linux/errno.js';

const PIECE_BYTES = 4096;
const PIECE_BITS = 8 * PIECE_BYTES;

export class UserBitmap {
  readonly #caller: Caller;
  readonly #address: number;
  /** The bits to be set in piece `#piece`; they lie in bytes `#first` to `#last`. */
  readonly #bytes = new Uint8Array(PIECE_BYTES);
  /** What the caller has there. */
  readonly #theirs = new Uint8Array(PIECE_BYTES);
  #piece = 0;
  #first = PIECE_BYTES;
  #last = -1;

  constructor(caller: Caller, address: number) {
    this.#caller = caller;
    this.#address = address;
  }

  /** Sets bits `first` to `last`, at the latest with `store`. Rising bits cost least. */
  set(first: number, last: number): void {
    for (let bit = first; bit <= last; ) {
      const piece = Math.floor(bit / PIECE_BITS);
      if (piece !== this.#piece) this.store();
      this.#piece = piece;
      const base = piece * PIECE_BITS;
      const end = Math.min(last, base + PIECE_BITS - 1);
      this.#collect(bit - base, end - base);
      bit = end + 1;
    }
  }

  /** Sets those of the 32 bits from `first` on that are set in `bits`. As `set`. */
  or(first: number, bits: number): void {
    for (let [bit, rest] = [first, bits]; rest !== 0; ) {
      const byte = Math.floor(bit / 8);
      const piece = Math.floor(byte / PIECE_BYTES);
      if (piece !== this.#piece) this.store();
      this.#piece = piece;
      const at = byte % PIECE_BYTES;
      this.#bytes[at]! |= rest << (bit % 8);
      this.#first = Math.min(this.#first, at);
      this.#last = Math.max(this.#last, at);
      rest >>>= 8 - (bit % 8);
      bit += 8 - (bit % 8);
    }
  }

  /** Stores what has been collected. */
  store(): void {
    if (this.#last < 0) return;
    const bits = this.#bytes.subarray(this.#first, this.#last + 1);
    const address = this.#address + this.#piece * PIECE_BYTES + this.#first;
    const theirs = this.#theirs.subarray(0, bits.length);
    try {
      this.#caller.readMemory(address, theirs);
      for (let n = 0; n < bits.length; n++) theirs[n]! |= bits[n]!;
      this.#caller.writeMemory(address, theirs);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
    bits.fill(0);
    this.#first = PIECE_BYTES;
    this.#last = -1;
  }

  #collect(firstBit: number, lastBit: number): void {
    const [first, last] = [firstBit >>> 3, lastBit >>> 3];
    const [head, tail] = [(0xff << (firstBit & 7)) & 0xff, 0xff >>> (7 - (lastBit & 7))];
    this.#bytes[first]! |= first === last ? head & tail : head;
    if (first < last) {
      this.#bytes.fill(0xff, first + 1, last);
      this.#bytes[last]! |= tail;
    }
    this.#first = Math.min(this.#first, first);
    this.#last = Math.max(this.#last, last);
  }
}
