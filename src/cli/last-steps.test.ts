import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastSteps } from './last-steps.js';

test('a last step that throws is said, the others are done, and the end went wrong', () => {
  const done: string[] = [];
  const broken = () => {
    throw new Error('the link is gone');
  };
  const steps = [() => done.push('one'), broken, () => done.push('three')];
  const said: string[] = [];
  assert.equal(
    lastSteps(steps, (sentence) => said.push(sentence)),
    false,
  );
  assert.deepEqual([done, said], [['one', 'three'], ['the end went wrong: the link is gone']]);
  assert.equal(lastSteps([() => done.push('four')]), true);
});
