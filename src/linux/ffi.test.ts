/** Addresses that are given to C. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { address, viewMemory } from './ffi.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

test('an array of any length stays where its address was, whatever is collected', () => {
  const arrays = Array.from({ length: 2000 }, (_, i) => new Uint8Array(1 + (i % 130)).fill(i));
  const addresses = arrays.map((array) => address(array));
  for (let round = 0; round < 4; round++) {
    // What was made in between is garbage, so that what is left has reason to move.
    Array.from({ length: 20_000 }, (_, i) => ({ i }));
    collect();
  }
  for (const [i, array] of arrays.entries()) {
    assert.equal(address(array), addresses[i]);
    assert.deepEqual(viewMemory(addresses[i]!, array.length), array);
  }
});
