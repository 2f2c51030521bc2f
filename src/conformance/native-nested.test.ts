/** Nested PASIDs: page tables in VT-d's first-stage format that a program owns, over a mapped PASID. */
import assert from 'node:assert/strict';
import { Ioasid } from '../client/ioasid.js';
import type { MemoryFile, Transport } from '../client/transport.js';
import { refused } from '../testkit/refused.js';
import { getBig, setBig } from '../uapi/struct.js';
import { CHECKSUM_OF_ONES, Checksum, DATA_IOVA, DONE, FAULT, JOB_IOVA } from './checksum.js';
import { PAGE, rulesOf } from './rule.js';

const NESTED = 1;
/** Where the parent has the job and data of the checksum device, and the four tables of the first stage. */
const JOB = 0x4000_0000;
const DATA = 0x5000_0000;
const TABLES = 0x6000_0000;
const [PRESENT, WRITABLE, USER, ACCESSED, DIRTY, EXTENDED_ACCESSED] = [1n, 2n, 4n, 32n, 64n, 1024n];
const USABLE = PRESENT | WRITABLE | USER;
/** Bit 51, which no address here has. */
const RESERVED = 1n << 51n;

/** A checksum device whose job and data are where only a table in `tables` finds them. */
class Nested {
  readonly ioasid: Ioasid;
  readonly checksum: Checksum;
  readonly tables: MemoryFile;
  readonly parent: number;
  readonly pasid: number;

  constructor(transport: Transport) {
    this.ioasid = Ioasid.open(transport);
    this.checksum = new Checksum(transport);
    this.tables = transport.createMemfd(4 * PAGE);
    this.parent = this.ioasid.alloc();
    this.pasid = this.ioasid.alloc(NESTED, this.parent);
    this.ioasid.mapFile(this.parent, this.checksum.file.fd, 0, PAGE, { iova: JOB });
    this.mapData();
    this.ioasid.mapFile(this.parent, this.tables.fd, 0, 4 * PAGE, { iova: TABLES });
    for (let table = 0; table < 3; table++) this.set(table, 0, tableAt(table + 1));
    // Job and data are in different 2 MiB, and one table of the last level serves both.
    this.set(2, 1, tableAt(3));
    this.setPage(JOB_IOVA, BigInt(JOB) | USABLE);
    this.setPage(DATA_IOVA, BigInt(DATA) | USABLE);
  }

  mapData(): void {
    this.ioasid.mapFile(this.parent, this.checksum.file.fd, PAGE, PAGE, { iova: DATA });
  }

  set(table: number, index: number, entry: bigint): void {
    const bytes = new Uint8Array(8);
    setBig(bytes, 0, entry);
    this.tables.write(table * PAGE + index * 8, bytes);
  }

  /** The entry of the last level for `iova`. */
  setPage(iova: number, entry: bigint): void {
    this.set(3, (iova / PAGE) % 512, entry);
  }

  page(iova: number): bigint {
    return getBig(this.tables.read(3 * PAGE + ((iova / PAGE) % 512) * 8, 8), 0);
  }

  authorize(extendedAccessed = false): void {
    this.ioasid.bindPageTable(this.pasid, { root: TABLES, extendedAccessed });
    this.checksum.device.authorize(this.ioasid, this.pasid);
  }

  run(pasid = this.pasid, iova = DATA_IOVA) {
    return this.checksum.run(pasid, iova);
  }

  close(): void {
    this.ioasid.close();
    this.checksum.close();
    this.checksum.device.transport.close(this.tables.fd);
  }
}

function tableAt(table: number): bigint {
  return BigInt(TABLES + table * PAGE) | USABLE;
}

const rule = rulesOf('ioasid');

rule('GET_INFO offers nested PASIDs, and the format of their page tables', (transport) => {
  const ioasid = Ioasid.open(transport);
  const { kinds, tableFormats } = ioasid.info();
  assert.deepEqual([kinds & 2, tableFormats], [2, 1]);
  ioasid.close();
});

rule(
  'behind a nested PASID a device reaches what both stages map, by the addresses of the first',
  (transport) => {
    const nested = new Nested(transport);
    nested.authorize();
    assert.deepEqual(nested.run(), { status: DONE, checksum: CHECKSUM_OF_ONES, faultIova: 0 });
    assert.deepEqual(nested.run(nested.pasid, DATA), { status: FAULT, checksum: 0, faultIova: DATA });
    assert.equal(nested.run(nested.parent), undefined, 'the parent is another PASID, and not authorized');
    nested.checksum.device.revoke(nested.pasid);
    assert.equal(nested.run(), undefined);
    nested.close();
  },
);

rule('an access marks the entries on its way as accessed, a write that of the page as dirty', (transport) => {
  const nested = new Nested(transport);
  const marked = (extendedAccessed: boolean) => {
    nested.setPage(JOB_IOVA, BigInt(JOB) | USABLE);
    nested.setPage(DATA_IOVA, BigInt(DATA) | USABLE);
    nested.authorize(extendedAccessed);
    assert.equal(nested.run()?.status, DONE);
    nested.checksum.device.revoke(nested.pasid);
    return [nested.page(JOB_IOVA) - BigInt(JOB) - USABLE, nested.page(DATA_IOVA) - BigInt(DATA) - USABLE];
  };
  assert.deepEqual(marked(false), [ACCESSED | DIRTY, ACCESSED]);
  assert.deepEqual(marked(true), [ACCESSED | DIRTY | EXTENDED_ACCESSED, ACCESSED | EXTENDED_ACCESSED]);
  nested.close();
});

rule('a change of a nested table holds when it was invalidated: by range, by PASID, in all', (transport) => {
  const nested = new Nested(transport);
  const { ioasid, pasid } = nested;
  nested.authorize();
  for (const invalidate of [
    () => ioasid.invalidate(pasid, DATA_IOVA, PAGE, { leaf: true }),
    () => ioasid.invalidatePasid(pasid),
    () => ioasid.invalidateAll(),
  ]) {
    assert.equal(nested.run()?.status, DONE);
    nested.setPage(DATA_IOVA, 0n);
    invalidate();
    assert.equal(nested.run()?.status, FAULT);
    nested.setPage(DATA_IOVA, BigInt(DATA) | USABLE);
  }
  assert.equal(nested.run()?.status, DONE, 'that nothing was there is not remembered');
  nested.close();
});

rule(
  'whatever a nested table says: loops, reserved bits, addresses past the parent are faults',
  (transport) => {
    const nested = new Nested(transport);
    nested.authorize();
    for (const entry of [
      BigInt(DATA + PAGE) | USABLE,
      (1n << 47n) | USABLE,
      BigInt(DATA) | USABLE | RESERVED,
      BigInt(DATA) | PRESENT | WRITABLE,
      BigInt(DATA) | WRITABLE | USER,
      (1n << 63n) - 1n,
    ]) {
      nested.setPage(DATA_IOVA, entry);
      nested.ioasid.invalidatePasid(nested.pasid);
      assert.deepEqual(nested.run(), { status: FAULT, checksum: 0, faultIova: DATA_IOVA }, `entry ${entry}`);
    }
    nested.set(0, 0, tableAt(0));
    nested.ioasid.invalidatePasid(nested.pasid);
    assert.equal(nested.run(), undefined, 'the topmost table as its own next one');
    nested.close();
  },
);

rule('what is unmapped from the parent is out of reach of the very next DMA, a table too', (transport) => {
  const nested = new Nested(transport);
  nested.authorize();
  assert.equal(nested.run()?.status, DONE);
  nested.ioasid.unmap(nested.parent, DATA, PAGE);
  assert.deepEqual(nested.run(), { status: FAULT, checksum: 0, faultIova: DATA_IOVA });
  nested.mapData();
  assert.equal(nested.run()?.status, DONE);
  nested.ioasid.unmap(nested.parent, TABLES, 4 * PAGE);
  assert.equal(nested.run(), undefined);
  nested.close();
});

rule(
  'a parent has no end before what is nested over it, and no table changes behind a device',
  (transport) => {
    const nested = new Nested(transport);
    const { ioasid, checksum, parent, pasid } = nested;
    refused(() => checksum.device.authorize(ioasid, pasid), 'EINVAL', /no page table is bound/);
    nested.authorize();
    refused(() => ioasid.free(parent), 'EBUSY', /parent of 1 nested PASID/);
    refused(() => ioasid.free(pasid), 'EBUSY', /authorized for 1 device/);
    refused(() => ioasid.bindPageTable(pasid, { root: TABLES }), 'EBUSY', /authorized for 1 device/);
    checksum.device.revoke(pasid);
    ioasid.free(pasid);
    ioasid.free(parent);
    nested.close();
  },
);

rule('a nested PASID has a mapped parent of the same context', (transport) => {
  const nested = new Nested(transport);
  const { ioasid, parent, pasid } = nested;
  const other = Ioasid.open(transport);
  refused(() => other.alloc(NESTED, parent), 'ENOENT', /not in this context/);
  refused(() => ioasid.alloc(NESTED, pasid), 'EINVAL', /of kind nested/);
  refused(() => ioasid.alloc(NESTED, 0), 'ENOENT', /PASID 0/);
  refused(() => ioasid.alloc(0, parent), 'EINVAL', /only a nested PASID/);
  refused(() => other.bindPageTable(pasid, { root: TABLES }), 'ENOENT');
  refused(() => other.invalidatePasid(pasid), 'ENOENT');
  other.close();
  nested.close();
});

rule(
  'a table of another format, width or place is EINVAL, and so is an invalidation of no range',
  (transport) => {
    const nested = new Nested(transport);
    const { ioasid, parent, pasid } = nested;
    for (const [table, reason] of [
      [{ root: TABLES, format: 1 }, /format 1/],
      [{ root: TABLES, addressWidth: 57 }, /57 bits/],
      [{ root: TABLES + 8 }, /root/],
      [{ root: 1n << 48n }, /root/],
    ] as const)
      refused(() => ioasid.bindPageTable(pasid, table), 'EINVAL', reason);
    refused(() => ioasid.bindPageTable(parent, { root: TABLES }), 'EINVAL', /of kind mapped/);
    refused(() => ioasid.invalidate(pasid, 8, PAGE), 'EINVAL', /aligned/);
    refused(() => ioasid.invalidate(pasid, 0, 0), 'EINVAL', /zero/);
    refused(() => ioasid.invalidate(pasid, 1n << 48n, PAGE), 'EINVAL', /48 bits/);
    refused(() => ioasid.invalidate(pasid, 2n ** 64n - 4096n, 2 * PAGE), 'EOVERFLOW', /wraps/);
    refused(() => ioasid.invalidate(parent, 0, PAGE), 'EINVAL', /of kind mapped/);
    nested.close();
  },
);
