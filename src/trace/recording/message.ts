/** Messages of whole records, for a stream of bytes: each after its length, 4 bytes, little-endian. */
import { getU32, setU32 } from '../../uapi/struct.js';

export const LENGTH_BYTES = 4;

/** Makes a message of `bytes`, which has room for the length before the records. */
export function putLength(bytes: Uint8Array): void {
  setU32(bytes, 0, bytes.length - LENGTH_BYTES);
}

export class Messages {
  #rest = new Uint8Array(0);

  /** The messages that are complete with `bytes`. */
  add(bytes: Uint8Array): Uint8Array[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const messages: Uint8Array[] = [];
    let at = 0;
    while (this.#rest.length - at >= LENGTH_BYTES) {
      const end = at + LENGTH_BYTES + getU32(this.#rest, at);
      if (end > this.#rest.length) break;
      messages.push(this.#rest.subarray(at + LENGTH_BYTES, end));
      at = end;
    }
    this.#rest = this.#rest.subarray(at);
    return messages;
  }
}
