/**
 * CRC-32C (Castagnoli, RFC 3720 §B.4), eight bytes a turn ("slicing by 8").
 *
 * The state is the shift register in reflected form, without inversion: a plain CRC-32C is `~crc32c(~0,
 * bytes)`. The tables are one Int32Array: row k holds the effect of a byte that k more bytes follow. All
 * arithmetic stays in 32-bit integers.
 */
const POLYNOMIAL = 0x82f63b78;
const ROWS = 8;

/**
 * Filled when they are wanted first, which takes 3 % of a start: what they have for byte 1 is never 0. They
 * are constants, so that the engine has them at hand.
 */
const tables = new Int32Array(ROWS * 256);
const reversedByte = new Uint8Array(256);

function fillTables(): void {
  for (let byte = 0; byte < 256; byte++) {
    let state = byte;
    for (let bit = 0; bit < 8; bit++) state = (state >>> 1) ^ (state & 1 ? POLYNOMIAL : 0);
    tables[byte] = state;
    reversedByte[byte] = reverse32(byte) >>> 24;
  }
  for (let i = 256; i < tables.length; i++) {
    const shorter = tables[i - 256]!;
    tables[i] = (shorter >>> 8) ^ tables[shorter & 0xff]!;
  }
}

/** `value` with its 32 bits in reverse order. */
export function reverse32(value: number): number {
  let v = value;
  v = ((v & 0x55555555) << 1) | ((v >>> 1) & 0x55555555);
  v = ((v & 0x33333333) << 2) | ((v >>> 2) & 0x33333333);
  v = ((v & 0x0f0f0f0f) << 4) | ((v >>> 4) & 0x0f0f0f0f);
  v = ((v & 0x00ff00ff) << 8) | ((v >>> 8) & 0x00ff00ff);
  return (v << 16) | (v >>> 16);
}

/**
 * Runs `length` bytes from the start of `bytes` through the register `state`. @returns the new state, a
 * signed 32-bit integer.
 */
export function crc32c(state: number, bytes: Uint8Array, length: number): number {
  if (tables[1] === 0) fillTables();
  let s = state | 0;
  let i = 0;
  for (const last = length - 7; i < last; i += 8) {
    s ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    s =
      tables[1792 + (s & 0xff)]! ^
      tables[1536 + ((s >>> 8) & 0xff)]! ^
      tables[1280 + ((s >>> 16) & 0xff)]! ^
      tables[1024 + (s >>> 24)]! ^
      tables[768 + bytes[i + 4]!]! ^
      tables[512 + bytes[i + 5]!]! ^
      tables[256 + bytes[i + 6]!]! ^
      tables[bytes[i + 7]!]!;
  }
  for (; i < length; i++) s = (s >>> 8) ^ tables[(s ^ bytes[i]!) & 0xff]!;
  return s;
}

/** As `crc32c`, with the bits of each byte taken in the opposite order. */
export function crc32cReversed(state: number, bytes: Uint8Array, length: number): number {
  if (tables[1] === 0) fillTables();
  let s = state | 0;
  for (let i = 0; i < length; i++) s = (s >>> 8) ^ tables[(s ^ reversedByte[bytes[i]!]!) & 0xff]!;
  return s;
}
