/**
 * AccessData: the bytes of one access, on their way between the registers of a thread and a mapped file.
 *
 * Registers are words as of linux/ptrace.ts; a `Part` says which bytes of them (Intel SDM volume 1, 3.4.1.1:
 * what is written to 4 bytes of a register clears its upper half).
 */
import type { Part } from './instruction.js';

/** The width of a vector register. */
export const MOST_OPERAND = 64;

export class AccessData {
  readonly bytes = new Uint8Array(new ArrayBuffer(128), 0, MOST_OPERAND);
  /** By length: an access makes no array. */
  readonly #beginnings = Array.from({ length: MOST_OPERAND + 1 }, (_, length) =>
    this.bytes.subarray(0, length),
  );
  readonly #view = new DataView(this.bytes.buffer);

  /** [at, at+length). */
  part(at: number, length: number): Uint8Array {
    return at === 0 ? this.#beginnings[length]! : this.bytes.subarray(at, at + length);
  }

  /** The first `length` bytes, zero- or sign-extended, become that part of the registers. */
  toRegister(words: Int32Array, { word, byte, size }: Part, length: number, signed: boolean): void {
    const low = this.#extended(length, signed);
    const high = length === 8 ? this.#view.getInt32(4, true) : signed && low < 0 ? -1 : 0;
    if (size === 8) {
      words[word] = low;
      words[word + 1] = high;
    } else if (size === 4) {
      words[word] = low;
      words[word + 1] = 0;
    } else {
      const mask = (size === 2 ? 0xffff : 0xff) << (8 * byte);
      words[word] = (words[word]! & ~mask) | ((low << (8 * byte)) & mask);
    }
  }

  /** That part of the registers, and what is above it, become the first 8 bytes. */
  fromRegister(words: Int32Array, { word, byte }: Part): void {
    this.fromWords(words[word]! >>> (8 * byte), words[word + 1]!);
  }

  fromWords(low: number, high: number): void {
    this.#view.setInt32(0, low, true);
    this.#view.setInt32(4, high, true);
  }

  #extended(length: number, signed: boolean): number {
    if (length >= 4) return this.#view.getInt32(0, true);
    if (length === 2) return signed ? this.#view.getInt16(0, true) : this.#view.getUint16(0, true);
    return signed ? this.#view.getInt8(0) : this.#view.getUint8(0);
  }
}
