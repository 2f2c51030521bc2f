/**
 * Terms: what a recording says again and again (paths, names, sentences, layouts), in full the first time and
 * by its number after that.
 *
 * Writer and reader count alike: 0 announces a new term, which has the next number, from 1 on. A table that
 * is full is forgotten by both, so it never grows without end, whatever programs say.
 */
import { refuse } from '../../linux/errno.js';
import type { ByteReader, ByteWriter } from './bytes.js';

export const MOST_TERMS = 1 << 12;

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

export class ReadTerms<T> {
  readonly #terms: T[] = [];
  readonly #read: (reader: ByteReader) => T;

  /** @param read reads a term in full. */
  constructor(read: (reader: ByteReader) => T) {
    this.#read = read;
  }

  /** @throws Refusal EINVAL there is no such term. */
  read(reader: ByteReader): T {
    const number = reader.number();
    if (number !== 0) {
      if (number > this.#terms.length) refuse('EINVAL', `a record names term ${number}, which there is not`);
      return this.#terms[number - 1]!;
    }
    const term = this.#read(reader);
    if (this.#terms.length === MOST_TERMS) this.#terms.length = 0;
    this.#terms.push(term);
    return term;
  }
}
