import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { madeBytes } from '../../testkit/made-bytes.js';
import { crc16T10 } from './crc16-t10.js';

/** Bit by bit, as SBC-3 has it. */
function reference(bytes: Uint8Array): number {
  let register = 0;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      const out = (register >>> 15) ^ ((byte >>> bit) & 1);
      register = (register << 1) & 0xffff;
      if (out === 1) register ^= 0x8bb7;
    }
  }
  return register;
}

describe('crc16T10', () => {
  it('gives the values that SBC-3 lists, and the check value of CRC-16/T10-DIF', () => {
    const vectors: [number, Uint8Array][] = [
      [0xd0db, new TextEncoder().encode('123456789')],
      [0x0000, new Uint8Array(32)],
      [0xa293, new Uint8Array(32).fill(0xff)],
      [0x0224, madeBytes(32, (i) => i)],
      [0x21b8, new Uint8Array(32).fill(0xff, 0, 2)],
    ];
    for (const [crc, bytes] of vectors) assert.equal(crc16T10(0, bytes, 0, bytes.length), crc);
  });

  it('equals a register that is shifted bit by bit, in one piece or two', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, at) => {
        const middle = Math.min(at, bytes.length);
        const state = crc16T10(0, bytes, 0, middle);
        assert.equal(crc16T10(state, bytes, middle, bytes.length), reference(bytes));
      }),
    );
  });
});
