import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BrokenInvariant } from '../linux/invariant.js';
import { ScatterList } from '../linux/scatter-list.js';
import { dirtyPages } from '../testkit/dirty-pages.js';
import { DirtyLog } from './dirty-log.js';
import { Iommu, READ, WRITE } from './iommu.js';
import { BufferMemory } from './memory.js';
import { PAGE_SIZE } from './page-table.js';
import { pasidOf } from './pasid.js';

const RID = '0000:6a:01.0';

function setup() {
  const iommu = new Iommu();
  const requester = iommu.requester(RID);
  const table = iommu.pageTable();
  const ram = new BufferMemory(new Uint8Array(16 * PAGE_SIZE), 'ram');
  const map = (iova: number, length: number, offset: number, access = READ | WRITE, memory = ram) =>
    table.map(BigInt(iova), BigInt(length), iommu.memories.acquire(memory), BigInt(offset), access);
  return { iommu, requester, table, ram, map };
}

test('without a PASID table entry every DMA faults: RID, PASID, IOVA, access and reason are logged', () => {
  const { iommu, requester } = setup();
  const fault = requester.write(pasidOf(7), 0x4000, new Uint8Array(8), 0, 8);
  assert.deepEqual(fault, {
    iova: 0x4000,
    done: 0,
    pasid: 7,
    write: true,
    reason: `requester ${RID} is not authorized for PASID 7`,
  });
  const [record] = iommu.faults.since(0);
  assert.equal(record?.rid, RID);
  assert.equal(record?.pasid, 7);
  assert.equal(record?.iova, 0x4000);
  assert.equal(record?.write, true);
  assert.match(record!.reason, /not authorized for PASID 7/);
});

test('an entry for one PASID gives nothing to another, nor one of another requester to this one', () => {
  const { iommu, requester, table, map } = setup();
  map(0, PAGE_SIZE, 0);
  requester.grant(pasidOf(7), table);
  const other = iommu.requester('0000:6a:02.0');
  const buffer = new Uint8Array(4);
  assert.equal(requester.read(pasidOf(7), 0, buffer, 0, 4), undefined);
  assert.notEqual(requester.read(pasidOf(8), 0, buffer, 0, 4), undefined);
  assert.notEqual(other.read(pasidOf(7), 0, buffer, 0, 4), undefined);
});

test('a transfer crosses mappings, and stops at the first byte that it may not reach', () => {
  const { requester, table, ram, map } = setup();
  map(0x1000, PAGE_SIZE, 8 * PAGE_SIZE);
  map(0x2000, PAGE_SIZE, 3 * PAGE_SIZE, READ);
  requester.grant(pasidOf(1), table);
  ram.bytes.fill(0x5a, 3 * PAGE_SIZE, 4 * PAGE_SIZE);
  const buffer = new Uint8Array(3 * PAGE_SIZE);
  const read = requester.read(pasidOf(1), 0x1800, buffer, 0, buffer.length);
  assert.equal(read?.done, 0x1800);
  assert.equal(read?.iova, 0x3000);
  assert.equal(buffer[0x800], 0x5a);
  const write = requester.write(pasidOf(1), 0x1800, buffer.fill(1), 0, buffer.length);
  assert.equal(write?.done, 0x800);
  assert.equal(write?.iova, 0x2000);
  assert.match(write!.reason, /without the right to write/);
  assert.equal(ram.bytes[9 * PAGE_SIZE - 1], 1);
  assert.equal(ram.bytes[3 * PAGE_SIZE], 0x5a);
});

test('an IOVA leads to the byte that a calculation with bigints says, at the first DMA and later', () => {
  const place = fc.constantFrom(
    0,
    2 ** 21,
    2 ** 30 - PAGE_SIZE,
    2 ** 32 - PAGE_SIZE,
    2 ** 39 - 2 ** 21,
    2 ** 47,
    2 ** 48 - 2 ** 31,
  );
  const memoryPlace = fc.oneof(
    place,
    fc.constantFrom(2 ** 44 - PAGE_SIZE, 2 ** 46 + 2 ** 33, 2 ** 48 - 2 ** 20, 2 ** 51),
  );
  const mapping = fc.record({
    start: place,
    offset: memoryPlace,
    startPage: fc.nat(600),
    offsetPage: fc.nat(600),
    inPage: fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.nat(PAGE_SIZE - 1) },
    ),
    length: fc
      .oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(512, 1025, 262_144 + 512))
      .map((pages) => pages * PAGE_SIZE),
  });
  const probes = fc.array(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(mapping, probes), { maxLength: 6 }), (mappings) => {
      const { requester, table, map } = setup();
      requester.grant(pasidOf(1), table);
      for (const [{ start, offset, startPage, offsetPage, inPage, length }, fractions] of mappings) {
        const iova = start + startPage * PAGE_SIZE;
        const byte = offset + offsetPage * PAGE_SIZE + inPage;
        const next = table.firstFrom(BigInt(iova));
        if (next !== -1 && table.start(next) < BigInt(iova + length)) continue;
        const slot = map(iova, length, byte);
        for (const probe of [...fractions, ...fractions].map(
          (fraction) => iova + Math.floor(fraction * length),
        )) {
          assert.equal(requester.locate(pasidOf(1), Math.floor(probe / 2 ** 32), probe | 0, READ), slot);
          const found = (BigInt(requester.byteHi >>> 0) << 32n) | BigInt(requester.byteLo >>> 0);
          assert.equal(found, BigInt(byte) + BigInt(probe - iova));
        }
        if (fractions.length === 1) table.unmap(slot);
      }
    }),
    { numRuns: 500 },
  );
});

test('the effort of all requesters grows with each access to memory, and not with faults', () => {
  const { iommu, requester, table, map } = setup();
  requester.grant(pasidOf(1), table);
  map(0, PAGE_SIZE, 0);
  map(PAGE_SIZE, PAGE_SIZE, 4 * PAGE_SIZE);
  const other = iommu.requester('0000:6a:02.0');
  const before = other.effort;
  requester.read(pasidOf(1), 0, new Uint8Array(8), 0, 8);
  assert.equal(other.effort, before + 1);
  requester.write(pasidOf(1), PAGE_SIZE - 4, new Uint8Array(8), 0, 8);
  assert.equal(other.effort, before + 3);
  requester.write(pasidOf(2), 0, new Uint8Array(8), 0, 8);
  assert.equal(other.effort, before + 3);
});

test('PASIDs that ask in turn get their own bytes, wherever among the tables their roots lie', () => {
  const [MIB, GIB] = [2 ** 20, 2 ** 30];
  for (const before of [0, 1]) {
    const iommu = new Iommu();
    const requester = iommu.requester(RID);
    if (before === 1) iommu.tables.allocTable();
    const memory = iommu.memories.acquire(new BufferMemory(new Uint8Array(0)));
    // A page of 2 MiB, and one of 4 KiB whose indices are those of the other a level further down.
    const starts = [GIB + 2 * MIB, 2 * MIB + PAGE_SIZE];
    for (const pasid of [1, 2]) {
      const table = iommu.pageTable();
      table.map(BigInt(starts[0]!), BigInt(2 * MIB), memory, BigInt(pasid * 8 * GIB), READ);
      table.map(BigInt(starts[1]!), BigInt(PAGE_SIZE), memory, BigInt(pasid * 8 * GIB + GIB), READ);
      requester.grant(pasidOf(pasid), table);
    }
    for (let round = 0; round < 3; round++) {
      for (const [n, start] of starts.entries()) {
        for (const pasid of [1, 2, 2]) {
          assert.ok(requester.locate(pasidOf(pasid), 0, start + 5, READ) >= 0);
          const byte = requester.byteHi * 2 ** 32 + requester.byteLo;
          assert.equal(byte, pasid * 8 * GIB + n * GIB + 5, `round ${round}, PASID ${pasid}, ${start}`);
        }
      }
    }
  }
});

test('an entry of a page refuses what the mapping does not give', () => {
  const { requester, table, map } = setup();
  requester.grant(pasidOf(1), table);
  for (const access of [0, READ, WRITE, READ | WRITE]) {
    map(access * PAGE_SIZE, PAGE_SIZE, 0, access);
    for (const wanted of [READ, WRITE, READ | WRITE, READ]) {
      assert.equal(
        requester.locate(pasidOf(1), 0, access * PAGE_SIZE, wanted) >= 0,
        (access & wanted) === wanted,
        `${access} ${wanted}`,
      );
    }
  }
});

test('memory that ends below its mapping is a fault, not an exception', () => {
  const { requester, table, map } = setup();
  map(0, 4 * PAGE_SIZE, 14 * PAGE_SIZE);
  requester.grant(pasidOf(1), table);
  const fault = requester.read(pasidOf(1), 0, new Uint8Array(4 * PAGE_SIZE), 0, 4 * PAGE_SIZE);
  assert.equal(fault?.done, 2 * PAGE_SIZE);
  assert.match(fault!.reason, /ram cannot be reached at 0x10000/);
});

test('a table that an entry leads to is not closed: its places stay its own until it is withdrawn', () => {
  const iommu = new Iommu();
  const requester = iommu.requester('0000:6a:01.0');
  const table = iommu.pageTable();
  for (const pasid of [5, 6]) requester.grant(pasidOf(pasid), table);
  assert.throws(
    () => table.close(),
    new BrokenInvariant('a page table is closed while 2 entries lead to it'),
  );
  requester.withdraw(pasidOf(5));
  assert.throws(() => table.close(), BrokenInvariant);
  requester.withdraw(pasidOf(6));
  table.close();
  assert.equal(iommu.tables.tableCount, 0);
});

test('grants of one table are counted, and the last one withdrawn closes the entry', () => {
  const { requester, table, map } = setup();
  map(0, PAGE_SIZE, 0);
  requester.grant(pasidOf(5), table);
  requester.grant(pasidOf(5), table);
  requester.withdraw(pasidOf(5));
  assert.equal(requester.read(pasidOf(5), 0, new Uint8Array(1), 0, 1), undefined);
  requester.withdraw(pasidOf(5));
  assert.notEqual(requester.read(pasidOf(5), 0, new Uint8Array(1), 0, 1), undefined);
  assert.throws(() => requester.withdraw(pasidOf(5)), BrokenInvariant);
});

test('an entry cannot become another table behind the back of those who hold it', () => {
  const { iommu, requester, table } = setup();
  requester.grant(pasidOf(5), table);
  assert.throws(() => requester.grant(pasidOf(5), iommu.pageTable()), { code: 'EBUSY' });
});

test('no number is an address by accident: NaN, negative, 2^48 and above, and random bits all fault', () => {
  const { requester, table, map } = setup();
  map(0, 2 ** 32, 0);
  requester.grant(pasidOf(1), table);
  const address = fc.oneof(
    fc.constantFrom(
      Number.NaN,
      -1,
      -(2 ** 32),
      2 ** 48,
      2 ** 53,
      2 ** 64,
      2 ** 64 + 4096,
      Number.POSITIVE_INFINITY,
    ),
    fc.double({ min: 2 ** 48, max: 2 ** 64, noNaN: true }),
  );
  fc.assert(
    fc.property(address, (iova) =>
      assert.equal(requester.read(pasidOf(1), iova, new Uint8Array(4), 0, 4)?.done, 0),
    ),
  );
});

test('the fault log keeps the newest and counts all', () => {
  const { iommu, requester } = setup();
  for (let n = 0; n < 3000; n++) requester.read(pasidOf(1), n, new Uint8Array(1), 0, 1);
  assert.equal(iommu.faults.total, 3000);
  const records = iommu.faults.since(0);
  assert.equal(records.length, 1024);
  assert.equal(records.at(-1)?.iova, 2999);
  assert.deepEqual(
    iommu.faults.since(2998).map((record) => record.iova),
    [2998, 2999],
  );
});

test('a memory is closed when its last mapping is gone, and not before', () => {
  const { iommu } = setup();
  let closed = 0;
  class Counted extends BufferMemory {
    override close(): void {
      closed++;
    }
  }
  const memory = new Counted(new Uint8Array(1));
  const id = iommu.memories.acquire(memory);
  assert.equal(iommu.memories.acquire(memory), id);
  assert.equal(closed, 1, 'the second reference is not needed');
  iommu.memories.release(id);
  assert.equal(closed, 1);
  iommu.memories.release(id);
  assert.equal(closed, 2);
  assert.equal(iommu.memories.size, 0);
});

test('a number that is no PASID is never cut down to one that is', () => {
  const { requester, table, map } = setup();
  map(0, PAGE_SIZE, 0);
  requester.grant(pasidOf(7), table);
  for (const pasid of [7.5, 2 ** 20 + 7, 2 ** 32 + 7, -7, Number.NaN]) {
    assert.match(requester.read(pasidOf(pasid), 0, new Uint8Array(1), 0, 1)!.reason, /not authorized/);
  }
});

test('writes by an entry with a log are recorded as far as they came; reads and others are not', () => {
  const transfer = fc.record({
    entry: fc.constantFrom(0, 1, 2),
    write: fc.boolean(),
    iova: fc.nat(18 * PAGE_SIZE),
    length: fc.nat(3 * PAGE_SIZE),
  });
  fc.assert(
    fc.property(fc.array(transfer, { maxLength: 40 }), (transfers) => {
      const { requester, table, map } = setup();
      map(PAGE_SIZE, 6 * PAGE_SIZE, 0);
      map(7 * PAGE_SIZE, 2 * PAGE_SIZE, 6 * PAGE_SIZE);
      map(9 * PAGE_SIZE, PAGE_SIZE, 8 * PAGE_SIZE, READ);
      map(12 * PAGE_SIZE, 2 * PAGE_SIZE, 15 * PAGE_SIZE);
      const logs = [new DirtyLog(BigInt(PAGE_SIZE)), new DirtyLog(BigInt(PAGE_SIZE)), undefined];
      const models = [new Set<number>(), new Set<number>(), new Set<number>()];
      for (const [entry, log] of logs.entries()) {
        if (log !== undefined) log.enabled = true;
        requester.grant(pasidOf(entry), table, log);
      }
      for (const { entry, write, iova, length } of transfers) {
        const buffer = new Uint8Array(length);
        const fault = write
          ? requester.write(pasidOf(entry), iova, buffer, 0, length)
          : requester.read(pasidOf(entry), iova, buffer, 0, length);
        const done = fault?.done ?? length;
        for (let at = iova; write && at < iova + done; at++) models[entry]!.add(Math.floor(at / PAGE_SIZE));
      }
      for (const [entry, log] of logs.entries()) {
        if (log !== undefined) assert.deepEqual(new Set(dirtyPages(log)), models[entry]);
      }
    }),
    { numRuns: 200 },
  );
});

/** Memory that is in this process at the addresses that are its offsets. */
class Placed extends BufferMemory {
  place(offset: number, length: number, places: ScatterList): boolean {
    return offset + length <= this.bytes.length && places.add(offset, length);
  }
}

/** A list that tells what it was given. */
class ToldList extends ScatterList {
  readonly told: [address: number, length: number][] = [];

  override add(address: number, length: number): boolean {
    this.told.push([address, length]);
    return true;
  }
}

test('places of a write are where it would write, and nowhere else; what has none is no fault yet', () => {
  const { iommu, requester, table, map } = setup();
  const ram = new Placed(new Uint8Array(4 * PAGE_SIZE), 'placed');
  map(0x1000, PAGE_SIZE, 2 * PAGE_SIZE, READ | WRITE, ram);
  map(0x2000, PAGE_SIZE, 0, READ | WRITE, ram);
  map(0x3000, PAGE_SIZE, PAGE_SIZE, READ, ram);
  map(0x5000, PAGE_SIZE, 0);
  const log = new DirtyLog(BigInt(PAGE_SIZE));
  log.enabled = true;
  requester.grant(pasidOf(1), table, log);
  const places = new ToldList();
  assert.equal(requester.place(pasidOf(1), 0x1800, PAGE_SIZE, places), true);
  const expected = [
    [2 * PAGE_SIZE + 0x800, 0x800],
    [0, 0x800],
  ];
  assert.deepEqual(places.told, expected);
  assert.deepEqual(dirtyPages(log), [1, 2]);
  for (const [pasid, iova] of [
    [1, 0x3000],
    [1, 0x4000],
    [1, 0x5000],
    [2, 0x1000],
    [1, -1],
  ] as const)
    assert.equal(requester.place(pasidOf(pasid), iova, 8, places), false, `${pasid} ${iova}`);
  assert.deepEqual(places.told, expected);
  assert.equal(iommu.faults.since(0).length, 0);
  iommu.transfers.look();
  assert.equal(requester.place(pasidOf(1), 0x1800, 8, places), false, 'a write tells who looks');
});

test('an entry that is withdrawn and granted anew is recorded in the log that it was granted with', () => {
  const { requester, table, map } = setup();
  map(0, 4 * PAGE_SIZE, 0);
  const [first, second] = [new DirtyLog(BigInt(PAGE_SIZE)), new DirtyLog(BigInt(PAGE_SIZE))];
  first.enabled = true;
  second.enabled = true;
  const store = (page: number) => requester.write(pasidOf(3), page * PAGE_SIZE, new Uint8Array(1), 0, 1);
  requester.grant(pasidOf(3), table, first);
  store(0);
  assert.throws(() => requester.grant(pasidOf(3), table, second), /another address space/);
  requester.withdraw(pasidOf(3));
  requester.grant(pasidOf(3), table, second);
  store(1);
  requester.withdraw(pasidOf(3));
  requester.grant(pasidOf(3), table);
  store(2);
  assert.deepEqual([dirtyPages(first), dirtyPages(second)], [[0], [1]]);
});
