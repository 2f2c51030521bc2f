import assert from 'node:assert/strict';
import { test } from 'node:test';
import { besideAlone } from './after-all.js';
import { passesAlone } from './alone.js';
import { core, rowNamed } from './core.js';
import { verdict } from './measurement.js';
import { compare } from './reference.js';
import type { Row } from './row.js';

const row = (fields: Partial<Row> = {}): Row => ({
  name: 'a',
  rounds: 3,
  begin: () => assert.fail('nothing is measured here'),
  ...fields,
});

/** What is said of passes of ours beside those of a process of their own: names and verdicts. */
async function said(measured: Row, ours: readonly number[], alone: readonly number[]): Promise<string[]> {
  const [us, them] = [ours.values(), alone.values()];
  const next = (passes: IterableIterator<number>) => () => passes.next().value as number;
  const result = await compare(next(us), next(them), ours.length, 0);
  return besideAlone(measured, result).map((each) => `${each.name}: ${verdict(each)}`);
}

test('a row after all others may take 1.15 times what it takes alone', async () => {
  assert.deepEqual(await said(row(), [115, 115, 115], [100, 100, 100]), ['a, after all: ok']);
  assert.deepEqual(await said(row(), [116, 116, 116], [100, 100, 100]), ['a, after all: over']);
});

test('what has made two passes in turn take longer does not count', async () => {
  assert.deepEqual(await said(row(), [110, 220, 990], [100, 200, 900]), ['a, after all: ok']);
  assert.deepEqual(await said(row(), [120, 360, 480], [100, 300, 400]), ['a, after all: over']);
});

test('what may take so many nanoseconds may take no more after all others', async () => {
  const limited = row({ max: 300 });
  assert.deepEqual(await said(limited, [310, 310, 310], [290, 290, 290]), [
    'a, after all: ok',
    'a, after all, at most: over',
  ]);
});

test('each row has a name of its own, by which it is found', () => {
  for (const quick of [false, true]) {
    const names = [...core.values()].flatMap((rows) => rows(quick)).map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const name of names) assert.equal(rowNamed(name).name, name);
  }
  assert.throws(() => rowNamed('a'), /no row is named a/);
});

test('a row in a process of its own makes a pass whenever it is asked, and ends', async () => {
  const passes = passesAlone(rowNamed('translate, 1 region'));
  for (let n = 0; n < 2; n++) assert.ok((await passes.pass()) > 0);
  await passes.close();
});
