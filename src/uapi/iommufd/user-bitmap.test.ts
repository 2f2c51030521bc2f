import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Caller } from '../../file/open-file.js';
import { refuse } from '../../linux/errno.js';
import { UserBitmap } from './user-bitmap.js';

const ADDRESS = 0x1000;

/** A caller whose memory ends with `bytes`. */
function callerWith(bytes: Uint8Array): Caller {
  const part = (address: number, length: number) => {
    if (address + length > bytes.length) refuse('EFAULT', `there is no memory at ${address}`);
    return bytes.subarray(address, address + length);
  };
  return {
    readMemory: (address: number, target: Uint8Array) => target.set(part(address, target.length)),
    writeMemory: (address: number, source: Uint8Array) => part(address, source.length).set(source),
  } as unknown as Caller;
}

test('exactly the bits that are asked for are set, in whatever order and length, and all others stay', () => {
  const bits = 3 * 32768;
  const range = fc.tuple(fc.nat({ max: bits - 1 }), fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 40_000 })));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 20 }), (ranges) => {
      const memory = new Uint8Array(ADDRESS + bits / 8).fill(0x10);
      const expected = memory.slice();
      const bitmap = new UserBitmap(callerWith(memory), ADDRESS);
      for (const [first, more] of ranges) {
        const last = Math.min(first + more, bits - 1);
        bitmap.set(first, last);
        for (let bit = first; bit <= last; bit++) expected[ADDRESS + (bit >>> 3)]! |= 1 << (bit & 7);
      }
      bitmap.store();
      assert.equal(Buffer.compare(memory, expected), 0);
    }),
    { numRuns: 50 },
  );
});

test('exactly the bits of the words are set, wherever a word begins', () => {
  const bits = 2 * 32768;
  const word = fc.tuple(fc.nat({ max: bits - 32 }), fc.integer());
  fc.assert(
    fc.property(fc.array(word, { maxLength: 20 }), (words) => {
      const memory = new Uint8Array(ADDRESS + bits / 8).fill(0x10);
      const expected = memory.slice();
      const bitmap = new UserBitmap(callerWith(memory), ADDRESS);
      for (const [first, word] of words) {
        bitmap.or(first, word);
        for (let n = 0; n < 32; n++)
          if (word & (1 << n)) expected[ADDRESS + ((first + n) >>> 3)]! |= 1 << ((first + n) & 7);
      }
      bitmap.store();
      assert.equal(Buffer.compare(memory, expected), 0);
    }),
  );
});

test('bits that have no place are lost, and those before them are not', () => {
  const memory = new Uint8Array(ADDRESS + 4096);
  const bitmap = new UserBitmap(callerWith(memory), ADDRESS);
  bitmap.set(5, 5);
  bitmap.set(32768 + 5, 32768 + 5);
  bitmap.set(9, 9);
  bitmap.store();
  assert.deepEqual([...memory.subarray(ADDRESS, ADDRESS + 3)], [0x20, 2, 0]);
});
