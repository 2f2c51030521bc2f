import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { madeBytes } from '../../testkit/made-bytes.js';
import { crc32c, crc32cReversed, reverse32 } from './crc32c.js';

/** CRC-32C bit by bit, from the most significant end, as RFC 3720 describes it. */
function bitwise(register: number, bytes: Uint8Array, reflectBytes: boolean): number {
  let state = register >>> 0;
  for (const byte of bytes) {
    for (let bit = 0; bit < 8; bit++) {
      const input = (byte >>> (reflectBytes ? bit : 7 - bit)) & 1;
      const top = (state >>> 31) ^ input;
      state = ((state << 1) ^ (top === 1 ? 0x1edc6f41 : 0)) >>> 0;
    }
  }
  return state;
}

function plain(bytes: Uint8Array): number {
  return ~crc32c(~0, bytes, bytes.length) >>> 0;
}

describe('crc32c', () => {
  it('gives the values of RFC 3720 §B.4', () => {
    const up = madeBytes(32, (i) => i);
    assert.equal(plain(new Uint8Array(32)), 0x8a9136aa);
    assert.equal(plain(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
    assert.equal(plain(up), 0x46dd794e);
    assert.equal(plain(up.toReversed()), 0x113fdb5c);
    assert.equal(plain(new TextEncoder().encode('123456789')), 0xe3069283);
  });

  it('is the bitwise CRC, whatever the length, the register, and the order of bits in a byte', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.integer(), (bytes, register) => {
        assert.equal(
          reverse32(crc32c(reverse32(register), bytes, bytes.length)) >>> 0,
          bitwise(register, bytes, true),
        );
        assert.equal(
          reverse32(crc32cReversed(reverse32(register), bytes, bytes.length)) >>> 0,
          bitwise(register, bytes, false),
        );
      }),
    );
  });

  it('continues where it stopped', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (head, tail) => {
        const whole = Uint8Array.of(...head, ...tail);
        assert.equal(
          crc32c(crc32c(~0, head, head.length), tail, tail.length),
          crc32c(~0, whole, whole.length),
        );
      }),
    );
  });
});
