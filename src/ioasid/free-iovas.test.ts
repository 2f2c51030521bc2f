import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finish, isWork } from '../file/work.js';
import { Iommu } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { Quota, tableQuota } from '../iommu/quota.js';
import { AddressSpace } from './address-space.js';

const PAGE = 4096n;

test('a search for a free IOVA goes over many mappings in slices, and finds the first hole', () => {
  const space = new AddressSpace(
    new Iommu(),
    'the space',
    new Quota(10_000, 'mappings', 'ENOSPC'),
    tableQuota(),
  );
  const memory = new BufferMemory(new Uint8Array(4096));
  // Every other page: no hole of two before the end.
  for (let n = 1n; n <= 2000n; n++) space.map(2n * n * PAGE, PAGE, memory, 0n, 3);
  const search = space.iovas.find(2n * PAGE, 0n, undefined);
  assert.ok(isWork(search));
  assert.equal(finish(search), 4002n * PAGE);
  assert.equal(space.iovas.find(PAGE, 0n, undefined), PAGE, 'what is found soon is there at once');
});
