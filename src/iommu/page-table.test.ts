import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PAGE_SIZE, PageTable, walk as treeWalk } from './page-table.js';
import { tableQuota } from './quota.js';
import { NONE, START_HI, TableMemory, TWO_32 } from './table-memory.js';

const GIB = 2 ** 30;
const PAGE = BigInt(PAGE_SIZE);
// Addresses where something interesting lies: low, around 4 GiB (the halves of a pair), large page borders,
// the top of the 48 bits.
const bases = [
  0,
  2 ** 21 - 2 * PAGE_SIZE,
  GIB - PAGE_SIZE,
  TWO_32 - 2 * PAGE_SIZE,
  2 ** 39 - PAGE_SIZE,
  2 ** 48 - 64 * PAGE_SIZE,
];

function walk(table: PageTable, iova: number): number {
  const found = table.lookup(Math.floor(iova / TWO_32), iova >>> 0);
  return found === NONE ? NONE : found >> 2;
}

/** The simple reference: a list of mappings, searched one by one. */
class Model {
  mappings: { start: number; end: number; slot: number }[] = [];
  free(start: number, end: number): boolean {
    return end <= 2 ** 48 && this.mappings.every((m) => end <= m.start || m.end <= start);
  }
  at(iova: number): number {
    return this.mappings.find((m) => m.start <= iova && iova < m.end)?.slot ?? NONE;
  }
}

const operation = fc.record({
  kind: fc.constantFrom('map', 'map', 'unmap', 'walk'),
  base: fc.constantFrom(...bases),
  page: fc.nat(40),
  pages: fc.oneof(fc.integer({ min: 1, max: 24 }), fc.constantFrom(512, 1024, 262_144, 262_145)),
  pick: fc.nat(),
});

/** Pages that the tree may have, and tables that there may be in all: none, a few, or as many as it likes. */
const room = fc.oneof(fc.nat(8), fc.constant(1000));

test('a walk finds what a linear search finds, through any sequence of map, unmap and walk', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60, size: 'max' }), room, room, (operations, own, all) => {
      const memory = new TableMemory(all);
      const quota = tableQuota(own);
      const table = new PageTable(memory, quota);
      const model = new Model();
      for (const { kind, base, page, pages, pick } of operations) {
        const start = base + page * PAGE_SIZE;
        const end = start + pages * PAGE_SIZE;
        if (kind === 'map' && model.free(start, end)) {
          model.mappings.push({
            start,
            end,
            slot: table.map(BigInt(start), BigInt(end - start), 0, BigInt(start), 3),
          });
        } else if (kind === 'unmap' && model.mappings.length > 0) {
          const [gone] = model.mappings.splice(pick % model.mappings.length, 1);
          table.unmap(gone!.slot);
        }
        for (const probe of [
          start,
          end - 1,
          start + PAGE_SIZE * (pick % pages),
          ...model.mappings.flatMap((m) => [m.start, m.end - 1, m.end]),
        ]) {
          if (probe >= 2 ** 48) continue;
          assert.equal(walk(table, probe), model.at(probe));
          assert.equal(table.find(BigInt(probe)), model.at(probe));
        }
        assert.equal(table.count, model.mappings.length);
        assert.equal(memory.tableCount, quota.used);
        assert.ok(quota.used <= Math.min(own, all));
      }
      const sorted = model.mappings.toSorted((a, b) => a.start - b.start).map((m) => m.slot);
      assert.deepEqual([...table.slots()], sorted);
    }),
    { numRuns: 300 },
  );
});

test('taking everything out of a table gives every slot and every table back', () => {
  const memory = new TableMemory();
  const table = new PageTable(memory);
  for (let n = 0; n < 1000; n++) {
    table.map(BigInt(n * 3 * PAGE_SIZE), PAGE, n % 7, 0n, 3);
    walk(table, n * 3 * PAGE_SIZE);
  }
  assert.equal(memory.slotCount, 1000);
  assert.ok(memory.tableCount > 3);
  const memories: number[] = [];
  while (table.takeSome(0n, 2n ** 64n - 1n, (number) => memories.push(number)));
  assert.equal(memories.length, 1000);
  assert.equal(memory.slotCount, 0);
  assert.equal(memory.tableCount, 2, 'the root stays, for the requesters that know it');
  assert.equal(walk(table, 0), NONE);
  table.close();
  assert.equal(memory.tableCount, 0);
});

test('a large page takes the place of the small pages that were there before it', () => {
  const memory = new TableMemory();
  const table = new PageTable(memory);
  const small = table.map(2n ** 21n, PAGE, 0, 0n, 3);
  walk(table, 2 ** 21);
  assert.equal(memory.tableCount, 4);
  table.unmap(small);
  const large = table.map(2n ** 21n, 2n ** 21n, 0, 0n, 3);
  assert.equal(walk(table, 2 ** 21 + 5000), large);
  assert.equal(memory.tableCount, 3);
  assert.notEqual(treeWalk(memory.tables, table.root, 0, 2 ** 21), NONE, 'found without the index');
});

test('a mapping that no DMA touches costs no table', () => {
  const memory = new TableMemory();
  const table = new PageTable(memory);
  table.map(0x1000n, BigInt(GIB), 0, 0n, 3);
  assert.equal(memory.tableCount, 0);
  walk(table, 0x1000);
  assert.ok(memory.tableCount > 0);
});

test('a large mapping is entered at the largest page that it covers', () => {
  const memory = new TableMemory();
  const table = new PageTable(memory);
  table.map(BigInt(GIB), BigInt(4 * GIB), 0, 0n, 3);
  for (let n = 0; n < 4; n++) walk(table, GIB + n * GIB + 12_345);
  assert.equal(memory.tableCount, 2);
});

test('a table that has used up its pages leaves those of others alone', () => {
  const memory = new TableMemory();
  const [full, other] = [new PageTable(memory, tableQuota(100)), new PageTable(memory)];
  // Each wants a table of its own.
  for (let at = 0; at < GIB; at += 2 ** 21)
    for (const table of [full, other]) {
      const slot = table.map(BigInt(at), PAGE, 0, 0n, 3);
      assert.equal(walk(table, at), slot);
    }
  assert.equal(memory.tableCount, 100 + 2 + 1 + 512);
  const last = GIB - 2 ** 21;
  assert.equal(treeWalk(memory.tables, full.root, 0, last), NONE);
  assert.notEqual(treeWalk(memory.tables, other.root, 0, last), NONE);
});

test('no address above 48 bits is ever found', () => {
  const table = new PageTable(new TableMemory());
  table.map(0n, 2n ** 48n, 0, 0n, 3);
  assert.notEqual(walk(table, 2 ** 48 - 1), NONE);
  for (const hi of [0x1_0000, 0x8000_0000, 0xffff_ffff]) assert.equal(table.lookup(hi, 0), NONE);
});

test('slots stay sorted by IOVA over thousands of mappings', () => {
  const memory = new TableMemory();
  const table = new PageTable(memory);
  const order = Array.from({ length: 5000 }, (_, n) => (n * 7919) % 5000);
  for (const n of order) table.map(BigInt(n) * PAGE, PAGE, 0, 0n, 3);
  const starts = [...table.slots()].map((slot) => memory.wide(slot, START_HI));
  assert.deepEqual(
    starts,
    order.map((n) => n * PAGE_SIZE).sort((a, b) => a - b),
  );
});
