/**
 * ByteWriter and ByteReader: numbers, texts and bytes one after the other, as recordings have them.
 *
 * A number is in groups of 7 bits, the lowest first, each byte but the last with bit 7 set (LEB128); one
 * that may be negative is doubled, and one below its double when it is (zigzag). Texts are UTF-8, and as
 * bytes preceded by their length. A reader never looks past its end.
 */
import { refuse } from '../../linux/errno.js';
import { copied } from '../copied.js';

const LOW_BITS = 0x7f;
const MORE = 0x80;
const GROUP = 128;
const FOUR_GROUPS = GROUP ** 4;
/** Groups of a number of 64 bits, of which a double has the highest 53. */
const MOST_GROUPS = 10;

export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  readonly #head: number;
  #length: number;

  /** @param head bytes that stay free before what is written. */
  constructor(capacity: number, head = 0) {
    this.#bytes = new Uint8Array(capacity);
    this.#head = head;
    this.#length = head;
  }

  /** Bytes that were written since they were taken. */
  get length(): number {
    return this.#length - this.#head;
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }

  /** @param value a whole number, 0 to 2^64. */
  number(value: number): void {
    this.#room(MOST_GROUPS);
    let rest = value;
    while (rest > 0x7fff_ffff) {
      // Four groups at a time: the remainder of a double takes longer than all else here.
      const above = Math.floor(rest / FOUR_GROUPS);
      let groups = rest - above * FOUR_GROUPS;
      for (let n = 0; n < 4; n++, groups >>>= 7) this.#bytes[this.#length++] = (groups & LOW_BITS) | MORE;
      rest = above;
    }
    while (rest > LOW_BITS) {
      this.#bytes[this.#length++] = (rest & LOW_BITS) | MORE;
      rest >>>= 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  /** @param value a whole number, above -2^52 and below 2^52. */
  signed(value: number): void {
    this.number(value < 0 ? -2 * value - 1 : 2 * value);
  }

  bytes(value: Uint8Array): void {
    this.number(value.length);
    this.#room(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  text(value: string): void {
    this.bytes(Buffer.from(value));
  }

  /** What was written since the last time, after its head; it is gone with the next that is written. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#length = this.#head;
    return taken;
  }

  #room(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + count));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get ended(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** @throws Refusal EINVAL nothing is left; so do the others. */
  byte(): number {
    if (this.ended) refuse('EINVAL', 'a record ends where more of it belongs');
    return this.#bytes[this.#at++]!;
  }

  number(): number {
    let [value, scale] = [0, 1];
    for (let n = 0; n < MOST_GROUPS; n++) {
      const group = this.byte();
      value += (group & LOW_BITS) * scale;
      scale *= GROUP;
      if (group < MORE) return value;
    }
    return refuse('EINVAL', 'a record has a number of more than 64 bits');
  }

  signed(): number {
    const value = this.number();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** They are those that are read from, and not a copy. */
  bytes(): Uint8Array {
    const at = this.#pass(this.number());
    return this.#bytes.subarray(at, this.#at);
  }

  /** A copy of the next `length` bytes. */
  copy(length: number): Uint8Array {
    const at = this.#pass(length);
    return copied(this.#bytes, at, this.#at);
  }

  /** Goes past `length` bytes. @returns where they begin. */
  #pass(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) refuse('EINVAL', `a record has ${length} bytes that are not there`);
    this.#at = at + length;
    return at;
  }

  text(): string {
    return Buffer.from(this.bytes()).toString();
  }
}
