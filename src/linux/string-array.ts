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
    const pointers = 8 * (strings.length + 1);
    const length = strings.reduce((sum, string) => sum + string.length + 1, pointers);
    this.#bytes = Buffer.alloc(Math.max(length, 128));
    this.address = address(this.#bytes);
    let at = pointers;
    for (const [index, string] of strings.entries()) {
      this.#bytes.writeBigUInt64LE(BigInt(this.address + at), 8 * index);
      at += string.copy(this.#bytes, at) + 1;
    }
  }
}
