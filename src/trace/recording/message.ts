/** Messages of whole records, for a stream of bytes: each after its length, 4 bytes, little-endian. */
import { getU32, setU32 } from '../../uapi/struct.js';

const LENGTH_BYTES = 4;

export function messageLength(records: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(LENGTH_BYTES);
  setU32(bytes, 0, records.length);
  return bytes;
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
