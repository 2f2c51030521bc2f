import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Caller } from '../file/open-file.js';
import { finish } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import { madeBytes } from '../testkit/made-bytes.js';
import { refusal } from '../testkit/refused.js';
import { Invalidations, UserData } from './user-data.js';

const AT = 0x10_0000;
const TYPE = 7;

/** A caller whose memory begins at AT. What the rest of a Caller does, no test here asks for. */
function callerWith(bytes: Uint8Array): Caller {
  const range = (address: number, length: number): Uint8Array => {
    const offset = address - AT;
    if (offset < 0 || offset + length > bytes.length) refuse('EFAULT', `nothing is mapped at ${address}`);
    return bytes.subarray(offset, offset + length);
  };
  return {
    readMemory: (address: number, target: Uint8Array) => target.set(range(address, target.length)),
    writeMemory: (address: number, source: Uint8Array) => range(address, source.length).set(source),
  } as Caller;
}

const code = (run: () => unknown) => refusal(run)?.code ?? 'ok';

test('a struct has its first version at least and what is known at most; what is missing is zeros', () => {
  const data = (length: number, type = TYPE) =>
    new UserData(callerWith(new Uint8Array(16).fill(9)), type, AT, length);
  assert.deepEqual([...data(4).read(TYPE, 8, 4)], [9, 9, 9, 9, 0, 0, 0, 0]);
  assert.deepEqual([...data(8).read(TYPE, 8, 4)], [9, 9, 9, 9, 9, 9, 9, 9]);
  for (const length of [0, 3, 9, 0xffff_ffff])
    assert.equal(
      code(() => data(length).read(TYPE, 8, 4)),
      'EINVAL',
    );
  assert.equal(
    code(() => data(4, TYPE + 1).read(TYPE, 8, 4)),
    'EINVAL',
  );
  assert.equal(
    code(() => data(17).read(TYPE, 32, 4)),
    'EFAULT',
  );
});

test('what is written back is as much as the caller has room for', () => {
  const bytes = new Uint8Array(16);
  new UserData(callerWith(bytes), TYPE, AT, 6).write(TYPE, new Uint8Array(8).fill(5), 4);
  assert.deepEqual([...bytes.subarray(0, 8)], [5, 5, 5, 5, 5, 5, 0, 0]);
});

test('nothing is read before it is asked for', () => {
  assert.equal(
    code(() => new UserData(callerWith(new Uint8Array(0)), TYPE, AT, 8)),
    'ok',
  );
  assert.equal(
    code(() => new Invalidations(callerWith(new Uint8Array(0)), TYPE, AT, 8, 100)),
    'ok',
  );
});

/** The entries that `each` gives, and how it ends. */
function drawn(
  array: Invalidations,
  size: number,
  least: number,
): { readonly entries: number[][]; readonly end: string } {
  const entries: number[][] = [];
  const end = code(() => {
    for (const entry of array.each(TYPE, size, least)) entries.push([...entry]);
  });
  return { entries, end };
}

test('entries come one by one, exactly those that lie in memory to their end', () => {
  const arrays = fc.record({
    length: fc.integer({ min: 1, max: 40 }),
    count: fc.nat(400),
    there: fc.nat(16_384),
    seed: fc.nat(255),
  });
  fc.assert(
    fc.property(arrays, ({ length, count, there, seed }) => {
      const bytes = madeBytes(there, (n) => (n * 31 + seed) & 0xff);
      const { entries, end } = drawn(new Invalidations(callerWith(bytes), TYPE, AT, length, count), 40, 1);
      const whole = Math.min(count, Math.floor(there / length));
      assert.equal(end, whole === count ? 'ok' : 'EFAULT');
      const expected = Array.from({ length: whole }, (_, n) => [
        ...bytes.subarray(n * length, (n + 1) * length),
        ...new Uint8Array(40 - length),
      ]);
      assert.deepEqual(entries, expected);
    }),
  );
});

test('an entry of each that is too short or too long is EINVAL, whatever is in it', () => {
  const array = (length: number, count = 1) =>
    new Invalidations(callerWith(new Uint8Array(64)), TYPE, AT, length, count);
  assert.deepEqual(drawn(array(12), 8, 8), { entries: [], end: 'EINVAL' });
  assert.deepEqual(drawn(array(4), 8, 8), { entries: [], end: 'EINVAL' });
  assert.deepEqual(drawn(array(0, 0), 8, 8), { entries: [], end: 'ok' });
  assert.equal(
    code(() => [...array(8).each(TYPE + 1, 8, 8)]),
    'EINVAL',
  );
});

test('all entries at once may be longer than what is known by zeros; any other byte is found', () => {
  const bytes = new Uint8Array(4096);
  bytes.fill(3, 0, 4);
  bytes.fill(4, 16, 20);
  const array = (length: number, count: number) =>
    new Invalidations(callerWith(bytes), TYPE, AT, length, count);
  assert.deepEqual([...finish(array(16, 2).all(TYPE, 6))], [3, 3, 3, 3, 0, 0, 4, 4, 4, 4, 0, 0]);
  assert.deepEqual(
    [...finish(array(16, 2).all(TYPE, 20))],
    [3, 3, 3, 3, ...new Uint8Array(16), 4, 4, 4, 4, ...new Uint8Array(16)],
  );
  assert.equal(
    code(() => finish(array(16, 2).all(TYPE, 3))),
    'E2BIG',
  );
  assert.equal(
    code(() => finish(array(8192, 1).all(TYPE, 12))),
    'E2BIG',
  );
  bytes.fill(0, 16, 20);
  assert.equal(
    code(() => finish(array(8192, 1).all(TYPE, 12))),
    'EFAULT',
  );
  assert.equal(
    code(() => finish(array(16, 257).all(TYPE, 12))),
    'EFAULT',
  );
});
