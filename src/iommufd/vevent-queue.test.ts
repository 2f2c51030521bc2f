import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PagingHwpt } from './paging-hwpt.js';
import { VeventQueue } from './vevent-queue.js';
import { Viommu } from './viommu.js';

/** All that a vIOMMU wants of it here. */
const parent = { hold: () => {} } as PagingHwpt;

/** What the queue of a vIOMMU knows of it. */
function queueOf(depth: number): VeventQueue {
  return new VeventQueue(new Viommu({}, parent, {}), 1, depth);
}

/** Reads everything. @returns for each event its number and, unless it is a notice of a loss, its byte. */
function readAll(queue: VeventQueue): [number, number | 'lost'][] {
  const read: [number, number | 'lost'][] = [];
  for (let event = queue.next; event !== undefined; event = queue.next) {
    read.push([event.sequence, event.data?.[0] ?? 'lost']);
    queue.take();
  }
  return read;
}

test('events come in order, and those beyond the depth are told as lost by the number of the last', () => {
  const queue = queueOf(2);
  for (const n of [10, 11, 12, 13]) queue.report(Uint8Array.of(n));
  assert.deepEqual(readAll(queue), [
    [0, 10],
    [1, 11],
    [3, 'lost'],
  ]);
  queue.report(Uint8Array.of(14));
  assert.deepEqual(readAll(queue), [[4, 14]]);
});

test('a notice takes no room and goes when an event follows, whose number shows the gap', () => {
  const queue = queueOf(2);
  for (const n of [10, 11, 12]) queue.report(Uint8Array.of(n));
  queue.take();
  queue.report(Uint8Array.of(13));
  assert.deepEqual(readAll(queue), [
    [1, 11],
    [3, 13],
  ]);
});

test('who reads everything can tell from the numbers how many events he has missed', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(fc.nat(3), { maxLength: 60 }), (depth, steps) => {
      const queue = queueOf(depth);
      let reported = 0;
      const seen: [number, number | 'lost'][] = [];
      const take = () => {
        const event = queue.next;
        if (event === undefined) return;
        seen.push([event.sequence, event.data?.[0] ?? 'lost']);
        queue.take();
      };
      for (const step of steps) {
        if (step === 0) take();
        else queue.report(Uint8Array.of(reported++));
      }
      while (queue.next !== undefined) take();
      assert.deepEqual(
        seen.map(([sequence]) => sequence),
        [...new Set(seen.map(([sequence]) => sequence))].sort((a, b) => a - b),
        'numbers rise',
      );
      for (const [sequence, byte] of seen)
        if (byte !== 'lost') assert.equal(byte, sequence, 'an event has the number that it came with');
      assert.equal(
        seen.at(-1)?.[0],
        reported === 0 ? undefined : reported - 1,
        'the last number is that of the last event',
      );
    }),
  );
});

test('a vIOMMU has one queue for events of a type; what it has none for is refused', () => {
  const viommu = new Viommu({}, parent, {});
  const refused = (code: string) => (error: unknown) => (error as { code?: string }).code === code;
  assert.throws(() => viommu.report(1, Uint8Array.of(1)), refused('EOPNOTSUPP'));
  const queue = new VeventQueue(viommu, 1, 4);
  viommu.report(1, Uint8Array.of(1));
  assert.throws(() => new VeventQueue(viommu, 1, 4), refused('EEXIST'));
  assert.equal(viommu.users, 1);
  queue.destroy();
  assert.equal(viommu.users, 0);
  assert.throws(() => viommu.report(1, Uint8Array.of(1)), refused('EOPNOTSUPP'));
});
