import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { refused } from '../testkit/refused.js';
import { assignRids } from './requester-ids.js';

const named = (device: number) => `0000:6a:${device.toString(16).padStart(2, '0')}.0`;
const anywhere = (count: number): object[] => Array.from({ length: count }, () => ({}));
const at = (bdf: string) => ({ bdf, port: true });

test('a function is where it asks to be, the others at the next free place of bus 6a', () => {
  const wanted = [{}, { bdf: named(2) }, {}, { bdf: '0000:01:00.0' }];
  assert.deepEqual(assignRids(wanted), [named(1), named(2), named(3), '0000:01:00.0']);
});

test('behind a port a function is alone on a bus, unless it asks to be where others are', () => {
  const wanted = [{ port: true }, {}, at('0000:6c:00.1'), at('0000:6c:00.0'), { port: true }];
  assert.deepEqual(assignRids(wanted), [
    '0000:6b:00.0',
    named(1),
    '0000:6c:00.1',
    '0000:6c:00.0',
    '0000:6d:00.0',
  ]);
});

test('a bus is behind a port for all of its functions or for none, and has one device there', () => {
  refused(() => assignRids([at('0000:01:00.0'), { bdf: '0000:01:00.1' }]), 'EINVAL', /bus 0000:01 is behind/);
  refused(() => assignRids([{}, at('0000:6a:00.0')]), 'EINVAL', /bus 0000:6a is behind/);
  refused(() => assignRids([at('0000:01:02.0')]), 'EINVAL', /bdf=0000:01:02.0: behind a port/);
  const ports = (count: number) => Array.from({ length: count }, () => ({ port: true }));
  assert.equal(assignRids(ports(149)).at(-1), '0000:ff:00.0');
  refused(() => assignRids(ports(150)), 'ENOSPC', /another bus/);
});

test('no function is where the host has one, and the others are where it has no bus from 6a on', () => {
  const host = ['0000:00:01.0', '0000:6a:00.0', '0001:ff:1f.7', '10000:e1:00.0'];
  assert.deepEqual(assignRids([{}, { port: true }], host.slice(0, 1)), [named(1), '0000:6b:00.0']);
  assert.deepEqual(assignRids([{}, { port: true }, { bdf: '0000:00:02.0' }], host), [
    '0002:6a:01.0',
    '0002:6b:00.0',
    '0000:00:02.0',
  ]);
  refused(() => assignRids([{ bdf: host[0]! }], host), 'EEXIST', /0000:00:01.0: this machine has a function/);
});

test('no two functions have the same requester id, whatever places are asked for', () => {
  const wanted = fc.uniqueArray(fc.nat(31), { maxLength: 20 });
  fc.assert(
    fc.property(wanted, fc.nat(100), (devices, others) => {
      const rids = assignRids([...anywhere(others), ...devices.map((each) => ({ bdf: named(each) }))]);
      assert.equal(new Set(rids).size, others + devices.length);
      assert.deepEqual(rids.slice(others), devices.map(named));
    }),
  );
});

test('a place that two ask for is EEXIST, and a bus that is full ENOSPC', () => {
  refused(
    () => assignRids([{ bdf: named(3) }, {}, { bdf: named(3) }]),
    'EEXIST',
    /two devices ask for bdf=0000:6a:03.0/,
  );
  assert.equal(assignRids(anywhere(255)).at(-1), '0000:6a:1f.7');
  refused(() => assignRids(anywhere(256)), 'ENOSPC', /no room/);
});
