import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BrokenInvariant, broken, release } from './invariant.js';

test('every step of a release is done, and what the first has thrown is thrown at the end', () => {
  const done: string[] = [];
  function* steps(): Generator<() => void> {
    yield () => done.push('a');
    yield () => broken('b is gone');
    for (const each of ['c', 'd']) yield () => done.push(`${each} after ${done.length}`);
    yield () => broken('e is gone too');
    yield () => done.push('f');
  }
  assert.throws(() => release(steps()), new BrokenInvariant('b is gone'));
  assert.deepEqual(done, ['a', 'c after 1', 'd after 2', 'f']);
  release([]);
});

test('a step of a release that leaves work to be done is a broken invariant', () => {
  assert.throws(
    () => release([() => [][Symbol.iterator]()]),
    /a step of a release has returned work: .*iterator/,
  );
});
