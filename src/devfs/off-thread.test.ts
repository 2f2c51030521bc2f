import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OffThread } from './off-thread.js';

test('a limited number of calls is under way; the rest waits in order, but descriptors go back first', () => {
  const calls = new OffThread();
  const started: string[] = [];
  const ends: (() => void)[] = [];
  const task = (name: string) => (done: () => void) => {
    started.push(name);
    ends.push(done);
  };
  for (let n = 0; n < 100; n++) calls.run(task(`${n}`));
  const limit = started.length;
  assert.ok(limit > 0 && limit < 100);
  calls.runFirst(task('close'));
  for (const name of ['close', `${limit}`, `${limit + 1}`]) {
    ends.shift()!();
    assert.equal(started.at(-1), name);
  }
  for (let end = ends.shift(); end !== undefined; end = ends.shift()) end();
  assert.equal(started.length, 101);
});
