import assert from 'node:assert/strict';
import { test } from 'node:test';
import { poolOf } from './held-descriptors.js';

test('callers have what the limit leaves beside what the server has open and keeps for itself', () => {
  assert.equal(poolOf(20_000, 40), 19_896);
  assert.equal(poolOf(256, 56), 136);
});

test('where there are few, half of those that are left stay free', () => {
  assert.equal(poolOf(96, 46), 25);
  assert.equal(poolOf(48, 47), 1);
  assert.equal(poolOf(48, 50), 0);
});
