import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refused } from '../testkit/refused.js';
import { dropDescriptors, holdDescriptors, limitOf } from './held-descriptors.js';

test('a server keeps 1,024 descriptors for itself, or half of those that it has', () => {
  assert.equal(limitOf(20_000), 18_976);
  assert.equal(limitOf(2048), 1024);
  assert.equal(limitOf(1024), 512);
});

test('who would hold more than callers may is refused, and nothing is counted', () => {
  holdDescriptors(10);
  refused(
    () => holdDescriptors(2 ** 31),
    'EMFILE',
    /^the server holds 10 descriptors for its callers already, of at most \d+$/,
  );
  refused(() => holdDescriptors(2 ** 31), 'EMFILE', /^the server holds 10 descriptors/);
  dropDescriptors(10);
  refused(() => holdDescriptors(2 ** 31), 'EMFILE', /^the server holds 0 descriptors/);
});
