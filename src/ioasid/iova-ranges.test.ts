import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DisjointRanges, type IovaRange, overlaps } from './iova-ranges.js';

test('a range is added to disjoint ones unless it overlaps one of them, and they stay in order', () => {
  const range = fc.tuple(fc.bigInt(0n, 200n), fc.bigInt(0n, 12n));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 80 }), (given) => {
      const ranges = new DisjointRanges();
      const expected: IovaRange[] = [];
      for (const [start, more] of given) {
        const each = { start, last: start + more };
        const fits = !expected.some((other) => overlaps(other, each));
        assert.equal(ranges.add(each), fits);
        if (fits) expected.push(each);
        assert.deepEqual(
          ranges.all,
          expected.toSorted((a, b) => Number(a.start - b.start)),
        );
        assert.equal(ranges.count, expected.length);
      }
    }),
  );
});
