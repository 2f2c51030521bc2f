/**
 * A delta record: for each 8 bytes of one buffer that differ in another, their offset in eights (16 bits,
 * little-endian) and the other's 8 bytes. Offsets only grow, so that a record is applied in one pass.
 *
 * Layout and limits: specification (see docs/dsa.md), 8.3 (Create Delta Record).
 */
export const DELTA_SIZE = 10;
/** Bytes that a delta is of. */
export const UNIT = 8;
/** The largest transfer, in bytes: what offsets of 16 bits reach. */
export const DELTA_TRANSFER_LIMIT = 0x10000 * UNIT;

/**
 * Where the first `length` bytes of `a` and `b` differ next, from byte `from` on: the first byte of such a
 * unit, or `length`. All are multiples of UNIT.
 */
export function nextDifference(a: Int32Array, b: Int32Array, from: number, length: number): number {
  let at = from;
  while (at < length && a[at / 4] === b[at / 4] && a[at / 4 + 1] === b[at / 4 + 1]) at += UNIT;
  return at;
}

/** Puts the delta at `offset` bytes, of the unit bytes[from..), into `record` at `at`. */
export function putDelta(
  record: Uint8Array,
  at: number,
  offset: number,
  bytes: Uint8Array,
  from: number,
): void {
  const unit = offset / UNIT;
  record[at] = unit;
  record[at + 1] = unit >>> 8;
  for (let i = 0; i < UNIT; i++) record[at + 2 + i] = bytes[from + i]!;
}

/** The offset of the delta at record[at], in bytes. */
export function deltaOffset(record: Uint8Array, at: number): number {
  return (record[at]! | (record[at + 1]! << 8)) * UNIT;
}
