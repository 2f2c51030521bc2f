/**
 * Terms: what a recording says again and again (paths, names, sentences, layouts), in full the first time and
 * by its number after that.
 *
 * Writer and reader count alike: 0 announces a new term, which has the next number, from 1 on. A table that
 * is full is forgotten by both, so it never grows without end, whatever programs say.
 */
import { crc32 } from 'node:zlib';
import { refuse } from '../../linux/errno.js';
import type { ByteReader, ByteWriter } from './bytes.js';

export const MOST_TERMS = 1 << 12;
/** Bytes of contents that a table has, but for a single one that is larger. */
export const MOST_SIZE = 1 << 25;

export class WrittenTerms<T> {
  readonly #numbers = new Map<T, number>();
  readonly #write: (writer: ByteWriter, term: T) => void;

  /** @param write writes a term in full. */
  constructor(write: (writer: ByteWriter, term: T) => void) {
    this.#write = write;
  }

  write(writer: ByteWriter, term: T): void {
    const known = this.#numbers.get(term);
    writer.number(known ?? 0);
    if (known !== undefined) return;
    this.#write(writer, term);
    if (this.#numbers.size === MOST_TERMS) this.#numbers.clear();
    this.#numbers.set(term, this.#numbers.size + 1);
  }
}

/**
 * Contents, as terms that are their bytes. They are found again by their checksum, and compared, which costs
 * less than a digest that nobody can make twice.
 */
export class WrittenContents {
  readonly #known = new Map<number, { readonly bytes: Uint8Array; readonly number: number }>();
  #count = 0;
  #size = 0;

  /** @param bytes are not changed any more. */
  write(writer: ByteWriter, bytes: Uint8Array): void {
    const sum = crc32(bytes);
    const known = this.#known.get(sum);
    const same = known !== undefined && Buffer.compare(known.bytes, bytes) === 0;
    writer.number(same ? known.number : 0);
    if (same) return;
    writer.bytes(bytes);
    if (this.#count === MOST_TERMS || this.#size + bytes.length > MOST_SIZE) {
      this.#known.clear();
      [this.#count, this.#size] = [0, 0];
    }
    this.#known.set(sum, { bytes, number: ++this.#count });
    this.#size += bytes.length;
  }
}

export class ReadTerms<T> {
  readonly #terms: T[] = [];
  readonly #read: (reader: ByteReader) => T;
  #size = 0;

  /** @param read reads a term in full. */
  constructor(read: (reader: ByteReader) => T) {
    this.#read = read;
  }

  /** @param size of a content. @throws Refusal EINVAL there is no such term. */
  read(reader: ByteReader, size = 0): T {
    const number = reader.number();
    if (number !== 0) {
      if (number > this.#terms.length) refuse('EINVAL', `a record names term ${number}, which there is not`);
      return this.#terms[number - 1]!;
    }
    const term = this.#read(reader);
    if (this.#terms.length === MOST_TERMS || this.#size + size > MOST_SIZE) {
      this.#terms.length = 0;
      this.#size = 0;
    }
    this.#terms.push(term);
    this.#size += size;
    return term;
  }
}
