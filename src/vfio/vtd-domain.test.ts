import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Caller } from '../file/open-file.js';
import { finish, finished } from '../file/work.js';
import { REFUSED } from '../iommu/access.js';
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { HWPT_NEST_PARENT } from '../iommufd/hwpt.js';
import { PagingHwpt } from '../iommufd/paging-hwpt.js';
import { IommufdSubsystem } from '../iommufd/subsystem.js';
import { Invalidations, UserData } from '../iommufd/user-data.js';
import { FakeHardware } from '../testkit/fake-hardware.js';
import { VtdDomain } from './vtd-domain.js';

const PAGE = 4096;
const [ENTRY_BYTES, USABLE, LEAF] = [24, 7n, 1];

/** A domain whose tables are pages 0 to 3 of the memory that its second stage has at 0; IOVA 0 is page 4. */
function setUp() {
  const iommu = new Iommu();
  const ioas = new IommufdSubsystem(iommu).open(1).allocIoas();
  const tables = new BigUint64Array(5 * 512);
  const ram = new BufferMemory(new Uint8Array(tables.buffer));
  finished(
    ioas.map({ length: BigInt(5 * PAGE), access: READ | WRITE, iova: 0n }, 0n, { memory: ram, offset: 0 }),
  );
  for (let page = 0; page < 4; page++) tables[page * 512] = BigInt((page + 1) * PAGE) | USABLE;
  const memory = new DataView(new ArrayBuffer(2 ** 16));
  const bytes = new Uint8Array(memory.buffer);
  const caller = {
    readMemory: (address: number, target: Uint8Array) =>
      target.set(bytes.subarray(address, address + target.length)),
  } as unknown as Caller;
  // struct iommu_hwpt_vtd_s1: addresses of 48 bits, tables from 0 on.
  memory.setUint32(16, 48, true);
  const parent = finish(
    PagingHwpt.create(ioas, new FakeHardware(iommu), HWPT_NEST_PARENT, new UserData(caller, 0, 0, 0)),
  );
  const domain = new VtdDomain(iommu, parent, new UserData(caller, 1, 0, ENTRY_BYTES));
  /** Invalidates `count` times a page that is not that of IOVA 0. */
  const invalidate = (count: number) => {
    for (let n = 0; n < count; n++) {
      memory.setBigUint64(n * ENTRY_BYTES, BigInt(PAGE), true);
      memory.setBigUint64(n * ENTRY_BYTES + 8, 1n, true);
      memory.setUint32(n * ENTRY_BYTES + 16, LEAF, true);
    }
    const array = new Invalidations(caller, 0, 0, ENTRY_BYTES, count);
    let slices = 1;
    for (const _ of domain.invalidate(array)) slices++;
    return { handled: array.handled, slices };
  };
  return { domain, tables, invalidate };
}

test('what is not named stays, but with more invalidations than can be looked up all goes', () => {
  const { domain, tables, invalidate } = setUp();
  const known = domain.table.lookup(0, 0, READ);
  assert.notEqual(known, REFUSED);
  tables[3 * 512] = 0n;
  assert.equal(invalidate(1024).handled, 1024);
  assert.equal(domain.table.lookup(0, 0, READ), known);
  assert.equal(invalidate(1025).handled, 1025);
  assert.equal(domain.table.lookup(0, 0, READ), REFUSED);
});

test('many invalidations are done in slices', () => {
  const { invalidate } = setUp();
  assert.equal(invalidate(10).slices, 1);
  assert.ok(invalidate(2000).slices >= 30);
});
