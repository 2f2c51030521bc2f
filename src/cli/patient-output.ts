/**
 * PatientOutput: lines for a terminal, a pipe or a socket, which may take them slowly, or not at all for a
 * while. Nobody waits for it: what it does not take yet is kept, and whoever writes goes on.
 *
 * Invariant: one write is under way at a time, so lines come in their order. What is kept is bounded: who
 * writes asks whether it is `full`, and counts what he leaves out then.
 */
import { closeSync, write } from 'node:fs';
import { inWords } from '../linux/errno.js';
import type { Lines, LineTarget } from './line-output.js';
import { complain } from './messages.js';

/** Bytes that are kept. */
const MOST_KEPT = 1 << 26;
/** Until a descriptor that takes nothing now, and says so, is asked again. */
const AGAIN_MS = 10;

export class PatientOutput implements Lines {
  readonly #target: LineTarget;
  readonly #mostKept: number;
  #text = '';
  readonly #waiting: Buffer[] = [];
  #bytes = 0;
  #writing = false;
  #failed = false;
  #drained: (() => void) | undefined;

  /** The target is its own from now on: it closes a file. */
  constructor(target: LineTarget, mostKept = MOST_KEPT) {
    this.#target = target;
    this.#mostKept = mostKept;
  }

  get colours(): boolean {
    return this.#target.colours;
  }

  get full(): boolean {
    return this.#bytes >= this.#mostKept;
  }

  get busy(): boolean {
    return this.#writing;
  }

  write(line: string): void {
    this.#text += `${line}\n`;
  }

  flush(): void {
    if (this.#text !== '' && !this.#failed) {
      const bytes = Buffer.from(this.#text);
      this.#waiting.push(bytes);
      this.#bytes += bytes.length;
    }
    this.#text = '';
    if (!this.#writing) this.#next();
  }

  /** Resolves when all has been taken. */
  async close(): Promise<void> {
    this.flush();
    if (this.#writing)
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    if (this.#target.file !== undefined) closeSync(this.#target.fd);
  }

  #next(): void {
    const [bytes] = this.#waiting;
    this.#writing = bytes !== undefined;
    if (bytes === undefined) {
      this.#drained?.();
      return;
    }
    write(this.#target.fd, bytes, (error, count) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this.#next(), AGAIN_MS);
        return;
      }
      if (error !== null) this.#fail(inWords(error));
      else this.#took(bytes, count);
      this.#next();
    });
  }

  #took(bytes: Buffer, count: number): void {
    this.#bytes -= count;
    if (count < bytes.length) this.#waiting[0] = bytes.subarray(count);
    else this.#waiting.shift();
  }

  /** A reader that has gone is no reason to end what is traced. */
  #fail(why: string): void {
    this.#failed = true;
    this.#waiting.length = 0;
    this.#bytes = 0;
    const { file } = this.#target;
    if (file !== undefined) complain(`nothing more is written to "${file}": ${why}`);
  }
}
