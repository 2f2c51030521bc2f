/**
 * The CRC of T10 protection information (SBC-3, 4.22.4): polynomial 0x8bb7, the highest bit of a byte first,
 * nothing reflected.
 */
const POLYNOMIAL = 0x8bb7;

/** The effect of each byte. Filled when one is wanted first: that of byte 1 is never 0. */
const table = new Uint16Array(256);

function fillTable(): void {
  for (let byte = 0; byte < 256; byte++) {
    let state = byte << 8;
    for (let bit = 0; bit < 8; bit++) state = (state << 1) ^ (state & 0x8000 ? POLYNOMIAL : 0);
    table[byte] = state;
  }
}

/** Runs bytes[from..to) through the register `state`, of 16 bits. @returns the new state. */
export function crc16T10(state: number, bytes: Uint8Array, from: number, to: number): number {
  if (table[1] === 0) fillTable();
  let s = state;
  for (let i = from; i < to; i++) s = ((s << 8) & 0xffff) ^ table[(s >>> 8) ^ bytes[i]!]!;
  return s;
}
