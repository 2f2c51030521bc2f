import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { rangesIn } from './subordinate-users.js';

const passwd = 'root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001:::\n';

test('a range is that of the user by his name, or by his number', () => {
  const subuid = 'ann:100000:65536\n1001:165536:10\n';
  assert.deepEqual(rangesIn(subuid, passwd), [
    { first: 100000, end: 165536, owner: 1000 },
    { first: 165536, end: 165546, owner: 1001 },
  ]);
});

test('a range of an unknown user, and what is no range, are none', () => {
  assert.deepEqual(rangesIn('eve:100000:65536\n\nann:1\nann:x:1\n# ann:1:1\n', passwd), []);
});

test('in a range is each uid of it that has no line in passwd, and no other', () => {
  const first = fc.integer({ min: 0, max: 1010 });
  fc.assert(
    fc.property(first, fc.integer({ min: 0, max: 1010 }), (first, count) => {
      const ranges = rangesIn(`bob:${first}:${count}\n`, passwd);
      for (let uid = 0; uid < 2030; uid++) {
        const expected = uid >= first && uid < first + count && ![0, 1000, 1001].includes(uid);
        assert.equal(
          ranges.some(({ first, end }) => uid >= first && uid < end),
          expected,
        );
      }
    }),
  );
});
