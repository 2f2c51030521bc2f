import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Caller } from '../../file/open-file.js';
import { refuse } from '../../linux/errno.js';
import { refused } from '../../testkit/refused.js';
import { checkTail } from './command.js';

const ARG = 0x7000;
const SIZE = 24;

test('a byte that is not zero is found wherever it is beyond the known struct', () => {
  const lengths = fc.oneof(fc.integer({ min: 1, max: 6000 }), fc.integer({ min: 1, max: 2 ** 14 }));
  fc.assert(
    fc.property(lengths, fc.nat(), fc.integer({ min: 1, max: 255 }), (tail, place, value) => {
      const there = SIZE + (place % tail);
      const caller = callerWith(ARG + there, value);
      const check = () => checkTail('X', caller.caller, ARG, SIZE, SIZE + tail);
      refused(check, 'E2BIG', new RegExp(`at offset ${there},`));
      // Up to that byte there are zeros only.
      checkTail('X', caller.caller, ARG, SIZE, there);
    }),
    { numRuns: 40 },
  );
});

test('16 KiB of zeros are read, each once, and more are E2BIG, or EFAULT where it ends in no memory', () => {
  const { caller, reads } = callerWith();
  checkTail('X', caller, ARG, SIZE, SIZE);
  assert.deepEqual(reads, []);
  checkTail('X', caller, ARG, SIZE, SIZE + 2 ** 14);
  let at = ARG + SIZE;
  for (const { address, length } of reads) {
    assert.equal(address, at);
    at += length;
  }
  assert.equal(at, ARG + SIZE + 2 ** 14);
  assert.ok(reads.length < 3);
  for (const given of [SIZE + 2 ** 14 + 1, 2 ** 32 - 1])
    refused(() => checkTail('X', caller, ARG, SIZE, given), 'E2BIG', new RegExp(`^X says size ${given}, `));
  const short = { ...caller, readMemory: withoutMemoryFrom(ARG + 2 ** 31) };
  refused(() => checkTail('X', short, ARG, SIZE, 2 ** 31), 'E2BIG', /^X says size 2147483648, /);
  refused(() => checkTail('X', short, ARG, SIZE, 2 ** 31 + 1), 'EFAULT', /^nothing is there$/);
});

/** Memory of zeros that ends at `end`. */
function withoutMemoryFrom(end: number) {
  return (address: number, target: Uint8Array) => {
    if (address + target.length > end) refuse('EFAULT', 'nothing is there');
    target.fill(0);
  };
}

/** A caller whose memory is zeros, but for one byte. */
function callerWith(at = 0, value = 0) {
  const reads: { address: number; length: number }[] = [];
  const readMemory = (address: number, target: Uint8Array) => {
    reads.push({ address, length: target.length });
    target.fill(0);
    if (at >= address && at < address + target.length) target[at - address] = value;
  };
  return { caller: { readMemory } as unknown as Caller, reads };
}
