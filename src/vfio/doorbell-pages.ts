/**
 * DoorbellPages: the doorbells of a BAR, which programs that have mapped them may store into as into memory
 * while somebody looks.
 *
 * Invariant: of what programs have stored into a word, the last value is written to the model. In the pages
 * all words are NOTHING, which is no value of a doorbell; who looks exchanges what is there for that, in one
 * atomic operation. So a value that the word had before is heard, too (a queue that begins anew). Who stops
 * looking takes the pages first, and then looks at what was left (linux/shared-pages.ts). A store after that
 * is an access like any other: trapped, seen, and answered by giving them again.
 *
 * They are given only while the device works, and looked at for 1 ms more: so a device with nothing to do
 * costs nothing, whatever doorbells it has.
 */
import { SharedPages } from '../linux/shared-pages.js';

/** How long they are looked at when there is no more work. */
const LOOK_MS = 1;
const WORD = 4;
/** A word into which nobody has stored since. */
const NOTHING = -1;

/** Writes a word to the model. @returns false when it cannot take it now. */
export type Ring = (offset: number, word: Uint8Array) => boolean;

export class DoorbellPages {
  readonly #offset: number;
  readonly #size: number;
  #pages: SharedPages | undefined;
  #given = false;
  /** What is written, word by word. */
  readonly #now: Uint8Array;
  readonly #words: Int32Array;
  /** When there was work last, in ms. */
  #worked = 0;

  /** Those at [offset, offset+size) of their BAR. */
  constructor(offset: number, size: number) {
    this.#offset = offset;
    this.#size = size;
    this.#now = new Uint8Array(size).fill(0xff);
    this.#words = new Int32Array(this.#now.buffer);
  }

  /** Are they to be looked at? */
  get looking(): boolean {
    return this.#given;
  }

  /** The pages that programs can map. @throws Refusal EMFILE, ENFILE no descriptors left; ENOMEM. */
  share(): SharedPages {
    this.#pages ??= new SharedPages(this.#size);
    this.#pages.mapped();
    return this.#pages;
  }

  /** The model has been written at `offset` of the BAR, by an access. Does it work at it? */
  written(offset: number, works: () => boolean): void {
    const at = offset - this.#offset;
    if (at < 0 || at >= this.#size || this.#given || this.#pages === undefined) return;
    if (works()) this.#give();
  }

  /** Looks at them. */
  hear(ring: Ring): void {
    if (!this.#given) return;
    const shared = this.#pages!.mapped();
    for (let n = 0; n < shared.length; n++) {
      if (shared[n] === NOTHING) continue;
      this.#words[n] = Atomics.exchange(shared, n, NOTHING);
      // One that is not taken now is put back, unless there is a later one.
      if (!this.#ring(n, ring)) Atomics.compareExchange(shared, n, NOTHING, this.#words[n]!);
      this.#words[n] = NOTHING;
    }
  }

  /** Goes on looking while the device works, and a little longer. */
  lookOn(works: boolean, ring: Ring): void {
    if (!this.#given) return;
    const now = performance.now();
    if (works) this.#worked = now;
    else if (now - this.#worked > LOOK_MS) {
      this.#take();
      // Somebody stores just now, or the model cannot take a word.
      if (this.#ringAll(ring)) this.#give();
    }
  }

  /** What is stored from now on is not heard, nor what was since the last look. */
  deafen(): void {
    if (!this.#given) return;
    this.#take();
    this.#words.fill(NOTHING);
  }

  /** Those who have mapped them will never have them again. */
  close(): void {
    this.deafen();
    this.#pages?.close();
    this.#pages = undefined;
  }

  #give(): void {
    this.#given = this.#pages!.give(this.#now);
    this.#worked = performance.now();
    if (!this.#given) this.#pages!.take(this.#now);
    this.#words.fill(NOTHING);
  }

  #take(): void {
    this.#given = false;
    this.#pages!.take(this.#now);
  }

  /** Writes what has been taken; what the model cannot take stays. @returns whether there was anything. */
  #ringAll(ring: Ring): boolean {
    let any = false;
    for (let n = 0; n < this.#words.length; n++) {
      if (this.#words[n] === NOTHING) continue;
      any = true;
      if (this.#ring(n, ring)) this.#words[n] = NOTHING;
    }
    return any;
  }

  #ring(n: number, ring: Ring): boolean {
    const at = n * WORD;
    return ring(this.#offset + at, this.#now.subarray(at, at + WORD));
  }
}
