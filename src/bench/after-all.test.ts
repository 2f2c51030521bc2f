import assert from 'node:assert/strict';
import { test } from 'node:test';
import { afterAll } from './after-all.js';
import { isMeasurement, type Measurement, verdict } from './measurement.js';

const row = (fields: Partial<Measurement>): Measurement => ({ name: 'a', unit: 'ns', ours: 100, ...fields });

/** What is said of each row: its name and its verdict. */
function said(after: Measurement, alone: Measurement): string[] {
  const others = [row({ name: 'b', ours: 1 }), alone];
  return afterAll([after], others).map((each) =>
    isMeasurement(each) ? `${each.name}: ${verdict(each)}` : each.name,
  );
}

test('a row after all others may take 1.15 times its own figure', () => {
  assert.deepEqual(said(row({ ours: 115 }), row({})), ['a, after all: ok']);
  assert.deepEqual(said(row({ ours: 116 }), row({})), ['a, after all: over']);
});

test('what the reference has also taken longer does not count', () => {
  const alone = row({ ratio: 2, reference: 50, maxRatio: 2 });
  assert.deepEqual(said(row({ ours: 300, ratio: 2.2, reference: 136, maxRatio: 2 }), alone), [
    'a, after all: ok',
  ]);
  assert.deepEqual(said(row({ ours: 100, ratio: 2.4, reference: 42, maxRatio: 2 }), alone), [
    'a, after all: over',
  ]);
});

test('what may take so many nanoseconds may take no more after all others', () => {
  const alone = row({ ours: 290, max: 300 });
  assert.deepEqual(said(row({ ours: 310, max: 300 }), alone), [
    'a, after all: ok',
    'a, after all, at most: over',
  ]);
});

test('what was not measured, or not alone, stays as it is', () => {
  const skipped = { name: 'c', skipped: 'there is no c' };
  assert.deepEqual(afterAll([skipped, row({ name: 'd' })], [row({})]), [
    { ...skipped, name: 'c, after all' },
    row({ name: 'd, after all' }),
  ]);
});
