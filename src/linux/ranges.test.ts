import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Ranges } from './ranges.js';

const parts = fc.array(fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 9 })), { maxLength: 30 });

/** The address of each byte. */
function bytesOf({ count, addresses, lengths }: Ranges): number[] {
  return Array.from({ length: count }, (_, part) =>
    Array.from({ length: lengths[part]! }, (_, byte) => addresses[part]! + byte),
  ).flat();
}

test('a list, used again and again, is the bytes that were added to it, in their order', () => {
  const ranges = new Ranges();
  const appended = new Ranges();
  fc.assert(
    fc.property(parts, (list) => {
      ranges.clear();
      appended.clear();
      for (const [address, length] of list) {
        ranges.add(address, length);
        appended.append(address, length);
      }
      const bytes = list.flatMap(([address, length]) => Array.from({ length }, (_, byte) => address + byte));
      assert.deepEqual(bytesOf(ranges), bytes);
      assert.deepEqual(bytesOf(appended), bytes);
      assert.equal(ranges.length, bytes.length);
      assert.equal(ranges.count, list.length);
      const joins = list.filter(([at], i) => i > 0 && list[i - 1]![0] + list[i - 1]![1] === at).length;
      assert.equal(appended.count, list.length - joins);
    }),
  );
});

test('any bytes of a list are found, wherever was looked before, and make a list of their own', () => {
  const ranges = new Ranges();
  const some = new Ranges();
  const looks = fc.array(fc.tuple(fc.nat(300), fc.nat(300), fc.integer({ min: 1, max: 5 })), {
    maxLength: 20,
  });
  fc.assert(
    fc.property(parts, looks, (list, all) => {
      ranges.clear();
      for (const [address, length] of list) ranges.add(address, length);
      const bytes = bytesOf(ranges);
      for (const [from, most, count] of bytes.length === 0 ? [] : all) {
        const offset = from % bytes.length;
        const length = Math.min(most, bytes.length - offset);
        const within = ranges.seek(offset);
        assert.equal(ranges.addresses[ranges.part]! + within, bytes[offset]);
        const end = list.slice(0, ranges.part + count).reduce((sum, part) => sum + part[1], 0);
        assert.equal(ranges.within(offset, length, count), Math.min(length, end - offset));
        some.clear();
        some.appendOf(ranges, offset, length);
        assert.deepEqual(bytesOf(some), bytes.slice(offset, offset + length));
      }
    }),
  );
});
