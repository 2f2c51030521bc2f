import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EventLog } from './event-log.js';

test('a log keeps as many events as it has room for, the newest, and counts all', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(40), fc.nat(50), (room, count, from) => {
      const log = new EventLog<{ readonly iova: number }>(room);
      for (let n = 0; n < count; n++) log.record({ iova: n });
      assert.equal(log.total, count);
      const kept = Array.from({ length: count }, (_, n) => n).slice(-room);
      assert.deepEqual(
        log.since(from).map(({ iova, sequence }) => [iova, sequence]),
        kept.filter((n) => n >= from).map((n) => [n, n]),
      );
    }),
  );
});
