/**
 * Chunks: the frames of a recording. After a header that says what it is, and of which version, each chunk
 * has 12 bytes (its stored length, its length, and the CRC-32 of what is stored, little-endian) and then its
 * records, deflated.
 *
 * So what is cut off or damaged is found before any of it is looked at, and all before it is good.
 */
import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib';
import { refuse } from '../../linux/errno.js';
import { getU32, setU32 } from '../../uapi/struct.js';

/** The first 8 bytes of a recording. */
const MAGIC = 'IOASIDRE';
export const VERSION = 5;
export const HEADER_BYTES = 12;
const FRAME_BYTES = 12;
/** Of a chunk, inflated: whoever reads one makes room for no more. */
export const MOST_CHUNK = 1 << 26;

export function header(): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  bytes.set(Buffer.from(MAGIC));
  setU32(bytes, MAGIC.length, VERSION);
  return bytes;
}

/** The chunk of `records`, of which there is at least a byte. */
export function chunk(records: Uint8Array): Uint8Array {
  const stored = deflateRawSync(records, { level: 1 });
  const bytes = new Uint8Array(FRAME_BYTES + stored.length);
  setU32(bytes, 0, stored.length);
  setU32(bytes, 4, records.length);
  setU32(bytes, 8, crc32(stored));
  bytes.set(stored, FRAME_BYTES);
  return bytes;
}

/** Bytes at places of a file, as far as there are any. */
export type Source = (at: number, length: number) => Uint8Array;

/** @throws Refusal EINVAL it is no recording; EOPNOTSUPP one of another version. */
export function checkHeader(read: Source): void {
  const bytes = read(0, HEADER_BYTES);
  if (Buffer.from(bytes.subarray(0, MAGIC.length)).toString('latin1') !== MAGIC)
    refuse('EINVAL', 'it is no recording of ioasid');
  if (bytes.length < HEADER_BYTES) refuse('EINVAL', 'the recording is cut off in its header');
  const version = getU32(bytes, MAGIC.length);
  if (version !== VERSION)
    refuse('EOPNOTSUPP', `it is a recording of version ${version}, and this ioasid reads ${VERSION}`);
}

/** The records of each chunk in turn. @throws Refusal EINVAL the recording is cut off or damaged there. */
export function* chunksOf(read: Source): Generator<Uint8Array, void> {
  for (let at = HEADER_BYTES; ; ) {
    const frame = read(at, FRAME_BYTES);
    if (frame.length === 0) return;
    if (frame.length < FRAME_BYTES) cut(at);
    const [length, inflated] = [getU32(frame, 0), getU32(frame, 4)];
    if (length > MOST_CHUNK || inflated > MOST_CHUNK) damaged(at);
    const stored = read(at + FRAME_BYTES, length);
    if (stored.length < length) cut(at);
    if (crc32(stored) !== getU32(frame, 8)) damaged(at);
    yield recordsIn(stored, inflated, at);
    at += FRAME_BYTES + length;
  }
}

function recordsIn(stored: Uint8Array, length: number, at: number): Uint8Array {
  try {
    const records = inflateRawSync(stored, { maxOutputLength: Math.max(1, length) });
    if (records.length === length) return records;
  } catch {
    // As below.
  }
  return damaged(at);
}

function cut(at: number): never {
  return refuse('EINVAL', `the recording is cut off in the chunk at byte ${at}`);
}

function damaged(at: number): never {
  return refuse('EINVAL', `the recording is damaged in the chunk at byte ${at}`);
}
