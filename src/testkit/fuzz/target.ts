/**
 * What is fuzzed: each target is a function of bytes that throws when something is wrong, in the form that
 * libFuzzer's followers take (`fuzz(data)`).
 */

/** It throws what is no Refusal, and what the server reports as its own fault. */
export type Target = (data: Uint8Array) => void;

/** Reads an input piece by piece; behind its end there are zeros. */
export class Pieces {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get ended(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  /** As many bytes as a byte says, up to the end. */
  some(): Uint8Array {
    const length = this.byte();
    const piece = this.#bytes.slice(this.#at, this.#at + length);
    this.#at += length;
    return piece;
  }
}

/** Has what is printed as an error thrown, while `work` is done. */
export function strict(work: () => void): void {
  const { error: print } = console;
  const told: string[] = [];
  console.error = (text: string) => void told.push(text);
  try {
    work();
  } finally {
    console.error = print;
  }
  const bug = told.find((text) => text.includes('failed inside ioasid'));
  if (bug !== undefined) throw new Error(bug);
}
