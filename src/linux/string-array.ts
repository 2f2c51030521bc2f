/**
 * StringArray: a NULL-terminated array of C strings, as programs are given arguments and environment. Strings
 * are bytes, not text.
 */
import { address } from './ffi.js';

/** The object must stay reachable as long as the address is used. */
export class StringArray {
  readonly address: number;
  readonly #bytes: Buffer;

  constructor(strings: readonly Buffer[]) {
    this.#bytes = Buffer.alloc(Math.max(arrayBytes(strings), 128));
    this.address = address(this.#bytes);
    putStrings(strings, this.#bytes, this.address);
  }
}

/** How many bytes the array takes: pointers, and what they point to. */
export function arrayBytes(strings: readonly Buffer[]): number {
  return strings.reduce((sum, { length }) => sum + length + 1, 8 * (strings.length + 1));
}

/** Puts the array into zeros, `bytes`, whose address is `from` where it is used. */
export function putStrings(strings: readonly Buffer[], bytes: Buffer, from: number): void {
  let at = 8 * (strings.length + 1);
  for (const [index, string] of strings.entries()) {
    bytes.writeBigUInt64LE(BigInt(from + at), 8 * index);
    at += string.copy(bytes, at) + 1;
  }
}
