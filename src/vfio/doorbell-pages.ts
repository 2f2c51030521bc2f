/**
 * DoorbellPages: the doorbells of a BAR, which programs that have mapped them may store into as into memory
 * while somebody looks.
 *
 * Invariant: the last value that a program has stored into a word is written to the model, if it is another
 * than that which the model was written last. While the pages are given they are looked at again and again
 * (`hear`); who stops looking takes them first, and then looks at what was left (linux/shared-pages.ts). A
 * store after that is an access like any other: trapped, seen, and answered by giving them again.
 *
 * They are given only while the device works, and looked at for 1 ms more: so a device with nothing to do
 * costs nothing, whatever doorbells it has.
 */
import { SharedPages } from '../linux/shared-pages.js';

/** How long they are looked at when there is no more work. */
const LOOK_MS = 1;
const WORD = 4;

/** Writes a word to the model. @returns false when it cannot take it now. */
export type Ring = (offset: number, word: Uint8Array) => boolean;

export class DoorbellPages {
  readonly #offset: number;
  readonly #size: number;
  #pages: SharedPages | undefined;
  #given = false;
  /** What the model was written last, and what the pages were when they were looked at last. */
  readonly #last: Uint8Array;
  readonly #now: Uint8Array;
  readonly #lastWords: Int32Array;
  readonly #nowWords: Int32Array;
  /** When there was work last, in ms. */
  #worked = 0;

  /** Those at [offset, offset+size) of their BAR. */
  constructor(offset: number, size: number) {
    this.#offset = offset;
    this.#size = size;
    this.#last = new Uint8Array(size);
    this.#now = new Uint8Array(size);
    this.#lastWords = new Int32Array(this.#last.buffer);
    this.#nowWords = new Int32Array(this.#now.buffer);
  }

  /** Are they to be looked at? */
  get looking(): boolean {
    return this.#given;
  }

  /** The pages that programs can map. @throws Refusal EMFILE, ENFILE no descriptors left. */
  share(): SharedPages {
    this.#pages ??= new SharedPages(this.#size);
    return this.#pages;
  }

  /** The model has been written `source` at `offset` of the BAR, by an access. Does it work at it? */
  written(offset: number, source: Uint8Array, works: () => boolean): void {
    const at = offset - this.#offset;
    if (at < 0 || at >= this.#size) return;
    this.#last.set(source, at);
    if (this.#given) this.#pages!.store(this.#last, at, source.length);
    else if (this.#pages !== undefined && works()) this.#give(this.#last);
  }

  /** Looks at them. */
  hear(ring: Ring): void {
    if (this.#given) this.#ring(this.#pages!.read(this.#now), ring);
  }

  /** Goes on looking while the device works, and a little longer. */
  lookOn(works: boolean, ring: Ring): void {
    if (!this.#given) return;
    const now = performance.now();
    if (works) this.#worked = now;
    else if (now - this.#worked > LOOK_MS) {
      this.#take();
      // Somebody stores just now, or the model cannot take a word.
      if (this.#ring(this.#size, ring)) this.#give(this.#now);
    }
  }

  /** What is stored from now on is not heard, nor what was since the last look. */
  deafen(): void {
    if (this.#given) this.#take();
  }

  /** The device is reset. */
  reset(): void {
    this.deafen();
    this.#last.fill(0);
  }

  /** Those who have mapped them will never have them again. */
  close(): void {
    this.reset();
    this.#pages?.close();
    this.#pages = undefined;
  }

  #give(content: Uint8Array): void {
    this.#given = this.#pages!.give(content);
    this.#worked = performance.now();
    if (!this.#given) this.#pages!.take(this.#now);
  }

  #take(): void {
    this.#given = false;
    this.#now.set(this.#last);
    this.#pages!.take(this.#now);
  }

  /** Writes the words in the first `length` bytes that have changed. @returns whether there were any. */
  #ring(length: number, ring: Ring): boolean {
    let any = false;
    for (let n = 0; n < length / WORD; n++) {
      const word = this.#nowWords[n]!;
      if (word === this.#lastWords[n]) continue;
      any = true;
      const at = n * WORD;
      if (ring(this.#offset + at, this.#now.subarray(at, at + WORD))) this.#lastWords[n] = word;
    }
    return any;
  }
}
