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

interface Numbered {
  readonly iova: number;
}

/** Reads all that there is: what is kept of it, the times, and how much is lost; the places are in order. */
function taken<T extends Numbered>(look: Look<T>): { lost: number; numbers: number[]; times: number[] } {
  const { events, orders, times, at, end, lost } = look.unread();
  const places = [...orders.slice(at, end)];
  assert.deepEqual(
    places,
    [...new Set(places)].sort((a, b) => a - b),
  );
  const numbers = events.slice(at, end).map((event) => event!.iova);
  const found = { lost, numbers, times: [...times.slice(at, end)] };
  look.done();
  return found;
}

test('a watched log has for each who looks what came since, as far as it is kept', () => {
  const step = fc.oneof(fc.constant('record'), fc.constant('look'), fc.nat(2), fc.constant('end'));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.array(step, { maxLength: 400 }), (room, steps) => {
      const log = new WatchedLog<Numbered>(room);
      const looks: { look: Look<Numbered>; read: number }[] = [];
      for (const each of steps) {
        if (each === 'look') looks.push({ look: log.look(), read: log.total });
        else if (each === 'end') looks.pop()?.look.end();
        else if (each === 'record') {
          if (log.on) log.record({ iova: log.total }, 10 * log.total);
        } else if (looks[each] !== undefined) {
          const { look, read } = looks[each];
          const { lost, numbers, times } = taken(look);
          const all = Array.from({ length: log.total - read }, (_, n) => read + n);
          assert.ok(numbers.length >= Math.min(room, all.length));
          assert.deepEqual(numbers, all.slice(lost));
          assert.deepEqual(
            times,
            numbers.map((number) => 10 * number),
          );
          looks[each].read = log.total;
        }
        assert.equal(log.on, looks.length > 0);
      }
    }),
    { numRuns: 300 },
  );
});

test('who reads a log that keeps its newest has what came since, as far as it is kept', () => {
  const step = fc.constantFrom('record', 'read');
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), (room, steps) => {
      const log = new EventLog<Numbered>(room);
      log.record({ iova: 0 });
      const look = log.look();
      let read = log.total;
      for (const each of [...steps, 'read']) {
        if (each === 'record') {
          log.record({ iova: log.total });
          continue;
        }
        const kept = log.since(read);
        const { lost, numbers, times } = taken(look);
        assert.deepEqual([numbers, times], [kept.map(({ iova }) => iova), kept.map(({ time }) => time)]);
        assert.equal(lost, log.total - read - kept.length);
        read = log.total;
      }
    }),
  );
});
