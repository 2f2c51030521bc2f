/** Messages of whole records, for a stream of bytes: each after its length, 4 bytes, little-endian. */
import { refuse } from '../../linux/errno.js';
import { getU32, setU32 } from '../../uapi/struct.js';

export const LENGTH_BYTES = 4;

/** Makes a message of `bytes`, which has room for the length before the records. */
export function putLength(bytes: Uint8Array): void {
  setU32(bytes, 0, bytes.length - LENGTH_BYTES);
}

export class Messages {
  #rest = new Uint8Array(0);
  readonly #longest: number;

  /** @param longest bytes that a message may have. */
  constructor(longest = Number.POSITIVE_INFINITY) {
    this.#longest = longest;
  }

  /** The messages that are complete with `bytes`. @throws Refusal EINVAL one is too long. */
  add(bytes: Uint8Array): Uint8Array[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const messages: Uint8Array[] = [];
    let at = 0;
    while (this.#rest.length - at >= LENGTH_BYTES) {
      const length = getU32(this.#rest, at);
      if (length > this.#longest) refuse('EINVAL', `a message has ${length} bytes`);
      const end = at + LENGTH_BYTES + length;
      if (end > this.#rest.length) break;
      messages.push(this.#rest.subarray(at + LENGTH_BYTES, end));
      at = end;
    }
    this.#rest = this.#rest.subarray(at);
    return messages;
  }
}
