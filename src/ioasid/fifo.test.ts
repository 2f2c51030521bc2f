import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fifo } from './fifo.js';

test('a queue is what an array is', () => {
  const step = fc.oneof(
    { arbitrary: fc.record({ do: fc.constant('push' as const), n: fc.nat(99) }), weight: 3 },
    {
      arbitrary: fc.record({ do: fc.constantFrom('shift' as const, 'pop' as const), n: fc.constant(0) }),
      weight: 2,
    },
    {
      arbitrary: fc.record({ do: fc.constant('remove' as const), n: fc.integer({ min: 2, max: 5 }) }),
      weight: 1,
    },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const fifo = new Fifo<number>();
      let items: number[] = [];
      for (const { do: what, n } of steps) {
        if (what === 'push') {
          fifo.push(n);
          items.push(n);
        } else if (what === 'remove') {
          const goes = (item: number) => item % n === 0;
          assert.deepEqual(fifo.remove(goes), items.filter(goes));
          items = items.filter((item) => !goes(item));
        } else assert.equal(fifo[what](), items[what]());
        assert.deepEqual([fifo.length, fifo.first, fifo.last], [items.length, items[0], items.at(-1)]);
      }
    }),
  );
});
