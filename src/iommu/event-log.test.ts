import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EventLog, type Look, WatchedLog } from './event-log.js';

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

test('a watched log has for each who looks what came since, as far as it is kept', () => {
  const step = fc.oneof(fc.constant('record'), fc.constant('look'), fc.nat(2), fc.constant('end'));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), (room, steps) => {
      const log = new WatchedLog<{ readonly iova: number }>(room);
      const looks: { look: Look<{ readonly iova: number }>; read: number }[] = [];
      for (const each of steps) {
        if (each === 'look') looks.push({ look: log.look(), read: log.total });
        else if (each === 'end') looks.pop()?.look.end();
        else if (each === 'record') {
          if (log.on) log.record({ iova: log.total });
        } else if (looks[each] !== undefined) {
          const { look, read } = looks[each];
          const { events, lost } = look.read();
          const all = Array.from({ length: log.total - read }, (_, n) => read + n);
          assert.ok(events.length >= Math.min(room, all.length));
          assert.equal(lost, all.length - events.length);
          assert.deepEqual(
            events.map(({ event }) => event.iova),
            all.slice(lost),
          );
          looks[each].read = log.total;
        }
        assert.equal(log.on, looks.length > 0);
      }
    }),
  );
});
