/**
 * The CRC of T10 protection information (SBC-3, 4.22.4): polynomial 0x8bb7, the highest bit of a byte first,
 * nothing reflected.
 */
const POLYNOMIAL = 0x8bb7;

const table = makeTable();

function makeTable(): Uint16Array {
  const effects = new Uint16Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let state = byte << 8;
    for (let bit = 0; bit < 8; bit++) state = (state << 1) ^ (state & 0x8000 ? POLYNOMIAL : 0);
    effects[byte] = state;
  }
  return effects;
}

/** Runs bytes[from..to) through the register `state`, of 16 bits. @returns the new state. */
export function crc16T10(state: number, bytes: Uint8Array, from: number, to: number): number {
  let s = state;
  for (let i = from; i < to; i++) s = ((s << 8) & 0xffff) ^ table[(s >>> 8) ^ bytes[i]!]!;
  return s;
}
