import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Pasid, pasidOf, type Vpasid, vpasidOf } from './pasid.js';

test('the compiler takes neither a PASID nor a vpasid for the other, nor a number for one of them', () => {
  // Without an error in the next line each of these comments is one, and nothing is built.
  // @ts-expect-error
  const taken: Pasid = vpasidOf(7);
  // @ts-expect-error
  const given: Vpasid = pasidOf(7);
  // @ts-expect-error
  const plain: Pasid = 7;
  assert.deepEqual([taken, given, plain], [7, 7, 7], 'at run time they are numbers');
});
