/** IOTLB messages: what a vDPA device reaches, by the answers of Linux's vhost-vdpa. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { finish } from '../file/work.js';
import { PasidSpace } from '../ioasid/pasid-space.js';
import { Iommu } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { vpasidOf } from '../iommu/pasid.js';
import { Account } from '../linux/account.js';
import { refused } from '../testkit/refused.js';
import { Iotlb } from './iotlb.js';
import { VdpaPort } from './vdpa-port.js';

const BASE = 0x100000n;

function setUp(asids = 2, mappings?: number) {
  const iommu = new Iommu();
  const pasids = new PasidSpace();
  const port = new VdpaPort(iommu, pasids, '0000:6a:01.0', 'vhost-vdpa-0', asids);
  const iotlb = new Iotlb(iommu, port, 'vhost-vdpa-0', { mappings });
  const bytes = new Uint8Array(0x10000);
  const memory = () => ({ memory: new BufferMemory(bytes), offset: 0 });
  const update = (asid: number, iova: bigint, size: bigint, permission = 3) =>
    finish(iotlb.update({ asid: vpasidOf(asid), iova, size }, permission, memory));
  /** What becomes of an access of the device: undefined, or why not. */
  const read = (asid: number, iova: number) =>
    port.read(vpasidOf(asid), iova, new Uint8Array(4), 0, 4)?.reason;
  const write = (asid: number, iova: number) =>
    port.write(vpasidOf(asid), iova, new Uint8Array(4), 0, 4)?.reason;
  return { iommu, pasids, port, iotlb, bytes, memory, update, read, write };
}

test('a device reaches nothing before its owner maps it, and then that', () => {
  const { update, read, port, bytes, iommu } = setUp();
  assert.match(
    read(0, 0x100000)!,
    /nothing was mapped in ASID 0 of vhost-vdpa-0, and it was authorized for no/,
  );
  assert.equal(iommu.faults.total, 1);
  update(0, BASE, 0x1000n);
  assert.equal(read(0, 0x100000), undefined);
  port.write(vpasidOf(0), 0x100010, Uint8Array.of(7));
  assert.equal(bytes[0x10], 7);
  assert.match(read(0, 0x101000)!, /iova 0x101000 .* is not mapped/);
  assert.match(read(1, 0x100000)!, /ASID 1/, 'another ASID has nothing of it');
});

test('who has opened the device pays for its tables, until it is closed', () => {
  const { iotlb, update, read } = setUp();
  for (const opener of [Account.of('user 1'), Account.of('user 2')]) {
    iotlb.opened(opener);
    update(0, BASE, 0x1000n);
    assert.equal(read(0, 0x100000), undefined);
    assert.deepEqual(opener.holds, { 'pages for tables, dirty logs and IOTLBs': 4 });
    finish(iotlb.close());
    assert.deepEqual(Account.all(), []);
  }
});

test('what overlaps is refused, and changes nothing', () => {
  const { update, iotlb } = setUp();
  update(0, BASE, 0x10000n);
  refused(() => update(0, BASE, 0x10000n), 'EEXIST');
  refused(() => update(0, BASE + 0xf000n, 0x1000n), 'EEXIST');
  assert.equal(iotlb.mappings(vpasidOf(0)), 1);
  update(1, BASE, 0x1000n);
});

test('rights are those of the message; none is a mapping too, and unknown bits are not looked at', () => {
  const { update, read, write } = setUp();
  for (const [n, permission, reads, writes] of [
    [0, 0, false, false],
    [1, 1, true, false],
    [2, 2, false, true],
    [3, 9, true, false],
  ] as const) {
    update(0, BASE + BigInt(n) * 0x1000n, 0x1000n, permission);
    assert.equal(read(0, 0x100000 + n * 0x1000) === undefined, reads);
    assert.equal(write(0, 0x100000 + n * 0x1000) === undefined, writes);
  }
});

test('nothing needs to be aligned; a range beyond 48 bits and one of no bytes are refused', () => {
  const { update, read } = setUp();
  update(0, 0x950123n, 0x1000n);
  assert.equal(read(0, 0x950123), undefined);
  assert.notEqual(read(0, 0x951121), undefined);
  update(0, 0x960000n, 0x123n);
  update(0, 0xffff_ffff_f000n, 0x1000n);
  for (const iova of [0xffff_ffff_f001n, 0x1_0000_0000_0000n, 0xffff_ffff_ffff_f000n, 0xffff_ffff_ffff_f001n])
    refused(() => update(0, iova, 0x1000n), 'EINVAL', /has addresses above 0xffffffffffff/);
  refused(() => update(0, 0x940000n, 0n), 'EINVAL');
  refused(() => update(2, BASE, 0x1000n), 'EINVAL', /has no ASID 2/);
});

test('an INVALIDATE takes out whole mappings that it touches, and is no error where there are none', () => {
  const { update, iotlb, read } = setUp();
  refused(
    () => finish(iotlb.invalidate({ asid: vpasidOf(0), iova: BASE, size: 0x1000n })),
    'EINVAL',
    /nothing was ever said of ASID 0/,
  );
  update(0, BASE, 0x10000n);
  finish(iotlb.invalidate({ asid: vpasidOf(0), iova: 0xf0000000n, size: 0x1000n }));
  assert.equal(read(0, 0x100000), undefined);
  finish(iotlb.invalidate({ asid: vpasidOf(0), iova: BASE + 0x4000n, size: 0x1000n }));
  assert.notEqual(read(0, 0x100000), undefined);
  update(0, BASE, 0x1000n);
  finish(iotlb.invalidate({ asid: vpasidOf(0), iova: BASE, size: 0n }));
  assert.equal(read(0, 0x100000), undefined);
  finish(iotlb.invalidate({ asid: vpasidOf(0), iova: 0n, size: 2n ** 64n - 1n }));
  assert.equal(iotlb.mappings(vpasidOf(0)), 0);
  update(0, BASE, 0x1000n);
  finish(iotlb.invalidate({ asid: vpasidOf(0), iova: 0xfffn, size: 2n ** 64n - 1n }));
  assert.equal(iotlb.mappings(vpasidOf(0)), 1, 'a range that wraps took out what lies behind its begin');
  finish(iotlb.invalidate({ asid: vpasidOf(0), iova: 0n, size: 0n }));
  assert.equal(iotlb.mappings(vpasidOf(0)), 0, '0 bytes at 0 are all 64 bits');
});

test('a batch may be the first that is said of an ASID', () => {
  const { update, iotlb, port } = setUp();
  refused(() => iotlb.beginBatch(vpasidOf(2)), 'EINVAL', /has no ASID 2/);
  iotlb.beginBatch(vpasidOf(1));
  finish(iotlb.invalidate({ asid: vpasidOf(1), iova: 0n, size: 0x1000n }));
  iotlb.endBatch(vpasidOf(1));
  assert.equal(port.authorizations.size, 0);
  iotlb.checkEmpty(vpasidOf(1));
  update(1, BASE, 0x1000n);
  assert.equal(iotlb.mappings(vpasidOf(1)), 1);
});

test('a reset forgets a piece after the other', () => {
  const { update, iotlb, read } = setUp();
  for (let page = 0n; page < 200n; page++) update(0, BASE + page * 0x1000n, 0x1000n);
  const work = iotlb.forget();
  let pieces = 0;
  while (!work.next().done) pieces++;
  assert.ok(pieces >= 4, `${pieces} pieces`);
  assert.equal(iotlb.mappings(vpasidOf(0)), 200);
  assert.match(read(0, 0x100000)!, /without the right to read/);
});

test('in a batch only its ASID is spoken of', () => {
  const { update, iotlb } = setUp();
  refused(() => iotlb.endBatch(vpasidOf(0)), 'EINVAL');
  update(0, BASE, 0x1000n);
  update(1, BASE, 0x1000n);
  iotlb.endBatch(vpasidOf(0));
  iotlb.beginBatch(vpasidOf(0));
  iotlb.beginBatch(vpasidOf(0));
  refused(
    () => update(1, 0xc00000n, 0x1000n),
    'EINVAL',
    /a batch of ASID 0 is open, and this is about ASID 1/,
  );
  refused(() => iotlb.endBatch(vpasidOf(1)), 'EINVAL');
  update(0, 0xc00000n, 0x1000n);
  iotlb.endBatch(vpasidOf(0));
  update(1, 0xc00000n, 0x1000n);
});

test('what a reset has forgotten is not reached, and its IOVAs are taken until an INVALIDATE', () => {
  const { update, iotlb, read, port } = setUp();
  update(0, BASE, 0x1000n);
  finish(iotlb.forget());
  assert.match(read(0, 0x100000)!, /without the right to read/);
  refused(() => update(0, BASE, 0x1000n), 'EEXIST');
  update(0, BASE + 0x1000n, 0x1000n);
  assert.equal(read(0, 0x101000), undefined);
  finish(iotlb.invalidate({ asid: vpasidOf(0), iova: BASE, size: 0x1000n }));
  update(0, BASE, 0x1000n);
  assert.equal(read(0, 0x100000), undefined);
  assert.equal(port.authorizations.size, 1);
});

test('mappings count in a quota, and a refused first one leaves no address space', () => {
  const { update, iotlb, memory, port } = setUp(2, 2);
  update(0, BASE, 0x1000n);
  update(1, BASE, 0x1000n);
  refused(() => update(0, BASE + 0x1000n, 0x1000n), 'ENOSPC');
  finish(iotlb.close());
  const failing = () => {
    memory();
    throw new Error('no memory');
  };
  assert.throws(
    () => finish(iotlb.update({ asid: vpasidOf(0), iova: BASE, size: 0x1000n }, 3, failing)),
    /no memory/,
  );
  assert.equal(port.authorizations.size, 0);
});

test('a reset at the quota forgets all, and gives nothing back', () => {
  const { update, iotlb, read } = setUp(2, 4);
  for (const page of [0n, 2n, 4n, 6n]) update(0, BASE + page * 0x1000n, 0x1000n);
  for (let resets = 0; resets < 3; resets++) finish(iotlb.forget());
  assert.equal(read(0, 0x100000), 'iova 0x100000 of PASID 1 is mapped without the right to read');
  assert.equal(iotlb.mappings(vpasidOf(0)), 4);
  refused(() => update(1, BASE, 0x1000n), 'ENOSPC', /its quota of 4 mappings/);
  finish(iotlb.invalidate({ asid: vpasidOf(0), iova: 0n, size: 2n ** 47n }));
  for (const page of [0n, 2n, 4n, 6n]) update(1, BASE + page * 0x1000n, 0x1000n);
  refused(() => update(0, BASE, 0x1000n), 'ENOSPC');
});

test('an ASID can be a PASID only while it has no mappings', () => {
  const { update, iotlb, port, pasids } = setUp();
  update(0, BASE, 0x1000n);
  refused(() => iotlb.checkEmpty(vpasidOf(0)), 'EBUSY', /ASID 0 of vhost-vdpa-0 has 1 mappings of its own/);
  finish(iotlb.invalidate({ asid: vpasidOf(0), iova: BASE, size: 0x1000n }));
  iotlb.checkEmpty(vpasidOf(0));
  iotlb.checkEmpty(vpasidOf(1));
  assert.equal(port.authorizations.size, 0);
  assert.equal(pasids.used, 0);
});

test('a closed device has nothing left', () => {
  const { update, iotlb, iommu, pasids, read } = setUp();
  for (let n = 0n; n < 10n; n++) update(Number(n % 2n), BASE * n, 0x1000n);
  finish(iotlb.close());
  assert.deepEqual([iommu.memories.size, iommu.tables.slotCount, pasids.used], [0, 0, 0]);
  assert.notEqual(read(0, 0x100000), undefined);
});

test('whatever is said in whatever order, the device reaches exactly what a list of mappings says', () => {
  const page = fc.integer({ min: 0, max: 15 });
  const message = fc.record({
    update: fc.boolean(),
    asid: fc.nat(1),
    page,
    pages: fc.integer({ min: 1, max: 4 }),
  });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 60 }), (messages) => {
      const { update, iotlb, read } = setUp();
      const list: { asid: number; from: number; to: number }[] = [];
      const known = new Set<number>();
      for (const { update: isUpdate, asid, page: from, pages } of messages) {
        const to = from + pages;
        const touched = list.filter((each) => each.asid === asid && each.from < to && each.to > from);
        const range = { asid: vpasidOf(asid), iova: BigInt(from) * 0x1000n, size: BigInt(pages) * 0x1000n };
        if (isUpdate && touched.length > 0) refused(() => update(asid, range.iova, range.size), 'EEXIST');
        else if (isUpdate) {
          update(asid, range.iova, range.size);
          list.push({ asid, from, to });
          known.add(asid);
        } else if (!known.has(asid)) refused(() => finish(iotlb.invalidate(range)), 'EINVAL');
        else {
          finish(iotlb.invalidate(range));
          for (const each of touched) list.splice(list.indexOf(each), 1);
        }
      }
      for (const asid of [0, 1])
        for (let at = 0; at < 20; at++) {
          const mapped = list.some((each) => each.asid === asid && each.from <= at && at < each.to);
          assert.equal(read(asid, at * 0x1000) === undefined, mapped);
        }
    }),
  );
});
