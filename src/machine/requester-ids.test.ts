import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { refused } from '../testkit/refused.js';
import { assignRids } from './requester-ids.js';

const named = (device: number) => `0000:6a:${device.toString(16).padStart(2, '0')}.0`;

test('a function is where it asks to be, the others at the next free place of bus 6a', () => {
  assert.deepEqual(assignRids([undefined, named(2), undefined, '0000:01:00.0']), [
    named(1),
    named(2),
    named(3),
    '0000:01:00.0',
  ]);
});

test('no two functions have the same requester id, whatever places are asked for', () => {
  const wanted = fc.uniqueArray(fc.nat(31), { maxLength: 20 });
  fc.assert(
    fc.property(wanted, fc.nat(100), (devices, others) => {
      const rids = assignRids([...new Array<undefined>(others).fill(undefined), ...devices.map(named)]);
      assert.equal(new Set(rids).size, others + devices.length);
      assert.deepEqual(rids.slice(others), devices.map(named));
    }),
  );
});

test('a place that two ask for is EEXIST, and a bus that is full ENOSPC', () => {
  refused(
    () => assignRids([named(3), undefined, named(3)]),
    'EEXIST',
    /two devices ask for bdf=0000:6a:03.0/,
  );
  assert.equal(assignRids(new Array<undefined>(255).fill(undefined)).at(-1), '0000:6a:1f.7');
  refused(() => assignRids(new Array<undefined>(256).fill(undefined)), 'ENOSPC', /no room/);
});
