/**
 * A recording as it is read: what has happened, in its order, as far as it can be made out.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { inWords, Refusal, refuse } from '../../linux/errno.js';
import { escaped } from '../lines.js';
import type { Recorded } from '../raw.js';
import { checkHeader, chunksOf, type Source } from './chunks.js';
import { Decoder } from './decoder.js';

/**
 * All that `read` has, oldest first, some at a time; no text in it moves a cursor.
 * @throws Refusal EINVAL, EOPNOTSUPP it is no recording, or of another version, before all; EINVAL it is cut
 * off or damaged, after what is good.
 */
export function* recorded(read: Source): Generator<Recorded[], void> {
  const decoder = new Decoder(escaped);
  for (const some of records(read)) yield decoder.all(some);
}

function* records(read: Source): Generator<Uint8Array, void> {
  checkHeader(read);
  yield* chunksOf(read);
}

const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;

/** Reads the recording in `file`. @throws Refusal as `recorded`, or the file's errno: it cannot be read. */
export function* recordedIn(file: string): Generator<Recorded[], void> {
  yield* inFile(file, recorded);
}

/** As `recordedIn`, as it is encoded. */
export function* recordsIn(file: string): Generator<Uint8Array, void> {
  yield* inFile(file, records);
}

function* inFile<T>(file: string, all: (read: Source) => Generator<T, void>): Generator<T, void> {
  const fd = opened(file);
  try {
    yield* all((at, length) => readAt(fd, at, length));
  } catch (error) {
    throw ofFile(file, error);
  } finally {
    closeSync(fd);
  }
}

/** `error`, with the name of the file when it says what is wrong in it. */
export function ofFile(file: string, error: unknown): unknown {
  return error instanceof Refusal ? new Refusal(error.errno, `"${file}": ${error.reason}`) : error;
}

function opened(file: string): number {
  let fd: number;
  try {
    fd = openSync(file, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  } catch (error) {
    return refuse('EACCES', `"${file}" cannot be read: ${inWords(error)}`);
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  return refuse('EINVAL', `"${file}" is no file`);
}

function readAt(fd: number, at: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = readSync(fd, bytes, done, length - done, at + done);
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}
