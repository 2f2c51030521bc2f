import assert from 'node:assert/strict';
import { test } from 'node:test';
import { libc } from './ffi.js';
import { randomBytes } from './random-bytes.js';

const skip = (() => {
  try {
    return libc() === undefined;
  } catch (error) {
    return (error as Error).message;
  }
})();

test('random bytes are as many as are asked for, and others each time', { skip }, () => {
  for (const length of [1, 6, 16, 256]) assert.equal(randomBytes(length).length, length);
  const seen = new Set(Array.from({ length: 100 }, () => randomBytes(16).toString('hex')));
  assert.equal(seen.size, 100);
});
