import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FaultLog } from './fault-log.js';

test('the log keeps as many faults as it has room for, the newest, and counts all', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(40), fc.nat(50), (room, count, from) => {
      const log = new FaultLog(room);
      for (let n = 0; n < count; n++)
        log.record({ rid: '0000:01:00.0', pasid: 1, iova: n, write: false, reason: '' });
      assert.equal(log.total, count);
      const kept = Array.from({ length: count }, (_, n) => n).slice(-room);
      assert.deepEqual(
        log.since(from).map(({ iova, sequence }) => [iova, sequence]),
        kept.filter((n) => n >= from).map((n) => [n, n]),
      );
    }),
  );
});
