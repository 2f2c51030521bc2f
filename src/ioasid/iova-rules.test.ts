import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BrokenInvariant } from '../linux/invariant.js';
import { IovaRules } from './iova-rules.js';

const HIGH = { start: 0x10000n, last: 2n ** 64n - 1n };

test('rules that many address spaces have are changed by none of them', () => {
  const rules = IovaRules.shared(4096n, [HIGH]);
  const owner = {};
  const changes = [
    () => rules.align(1n),
    () => rules.allow([{ start: 0n, last: 4095n }]),
    () => rules.reserve({ start: 0n, last: 4095n }, owner),
    () => rules.release(owner),
  ];
  for (const change of changes) assert.throws(change, BrokenInvariant);
  assert.equal(rules.alignment, 4096n);
  assert.deepEqual(rules.allowed, []);
  assert.deepEqual(rules.ranges(), [{ start: 0n, last: 0xffffn }]);
});

test('what an owner has reserved is kept free until he gives it back, whoever else reserves it', () => {
  const rules = new IovaRules();
  const [one, other] = [{}, {}];
  rules.reserve(HIGH, one);
  rules.reserve({ start: 0n, last: 0xfffn }, one);
  rules.reserve(HIGH, other);
  assert.equal(rules.reservedBy(one), 2);
  rules.release(one);
  assert.equal(rules.reservedBy(one), 0);
  assert.deepEqual(rules.ranges(), [{ start: 0n, last: 0xffffn }]);
  rules.release(other);
  assert.deepEqual(rules.ranges(), [{ start: 0n, last: 2n ** 64n - 1n }]);
});
