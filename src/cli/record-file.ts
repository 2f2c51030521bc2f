/**
 * RecordFile: a recording as it is written, a chunk at a time (trace/recording/chunks.ts).
 *
 * A file that takes no more is no reason to end what is recorded: one sentence says so, and what it has is a
 * recording up to there.
 */
import { closeSync, fstatSync, writeSync } from 'node:fs';
import { inWords, refuse } from '../linux/errno.js';
import { chunk, header } from '../trace/recording/chunks.js';
import { empty, openOwn } from './line-output.js';
import { complain } from './messages.js';

/** Records that are kept until they are a chunk, in bytes, and for how long, in ms: what a crash may cost. */
const CHUNK = 1 << 16;
const OLD_MS = 250;

export interface RecordTarget {
  readonly fd: number;
  readonly file: string;
}

/** Opens `file` for a recording. @throws Refusal EACCES, EINVAL one sentence: it cannot be one. */
export function openRecord(file: string): RecordTarget {
  const fd = openOwn(file);
  if (fstatSync(fd).isFile()) return { fd, file };
  closeSync(fd);
  return refuse('EINVAL', `"${file}" is no file, so a recording cannot be kept in it`);
}

export class RecordFile {
  readonly #target: RecordTarget;
  readonly #say: (sentence: string) => void;
  #records: Uint8Array[] = [];
  #length = 0;
  #failed = false;
  #since = 0;

  constructor(target: RecordTarget, say: (sentence: string) => void = complain) {
    this.#target = target;
    this.#say = say;
    empty(target.fd);
    this.#write(header());
  }

  /** Adds whole records; they are not looked at, and not to be changed any more. */
  add(records: Uint8Array): void {
    if (this.#failed) return;
    if (this.#length === 0) this.#since = performance.now();
    this.#records.push(records);
    this.#length += records.length;
    if (this.#length >= CHUNK) this.flush();
  }

  /** Writes what has been kept for long; to be called now and then. */
  flushOld(): void {
    if (performance.now() - this.#since >= OLD_MS) this.flush();
  }

  flush(): void {
    if (this.#length > 0) this.#write(chunk(Buffer.concat(this.#records)));
    this.#records = [];
    this.#length = 0;
  }

  close(): void {
    this.flush();
    closeSync(this.#target.fd);
  }

  #write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length && !this.#failed; ) {
      try {
        done += writeSync(this.#target.fd, bytes, done);
      } catch (error) {
        this.#failed = true;
        this.#say(`the recording "${this.#target.file}" ends here: ${inWords(error)}`);
      }
    }
  }
}
