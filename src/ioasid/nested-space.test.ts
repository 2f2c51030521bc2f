/** Nested PASIDs of a context: whose table they are, and what goes before what. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finished, isWork } from '../file/work.js';
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { type Pasid, pasidOf } from '../iommu/pasid.js';
import type { IoasidContext } from './context.js';
import { IoasidSubsystem } from './subsystem.js';

const PAGE = 4096;
const [MAPPED, NESTED] = [0, 1];
/** Where the parent has the tables: four of them, and a page behind them. */
const TABLES = 0x6000_0000;
const USABLE = 7n;
const TABLE = { format: 0, root: BigInt(TABLES), addressWidth: 48, extendedAccess: false };

function setup(tableQuota?: number) {
  const iommu = new Iommu();
  const system = new IoasidSubsystem(iommu, undefined, undefined, tableQuota);
  const context = system.open(1);
  const ram = new BufferMemory(new Uint8Array(5 * PAGE), 'ram');
  const entries = new BigUint64Array(ram.bytes.buffer);
  for (let level = 0; level < 4; level++) entries[level * 512] = BigInt(TABLES + (level + 1) * PAGE) | USABLE;
  const parent = context.alloc(MAPPED, 0);
  mapTables(context, parent, ram);
  return { iommu, system, context, ram, entries, parent };
}

function mapTables(context: IoasidContext, pasid: Pasid, memory: BufferMemory): void {
  const request = { pasid, length: BigInt(memory.bytes.length), access: READ | WRITE, iova: BigInt(TABLES) };
  context.map(request, finished(context.place(request, 0n)), { memory, offset: 0 });
}

test('a nested PASID has a mapped parent of its own context', () => {
  const { system, context, parent } = setup();
  const nested = context.alloc(NESTED, parent);
  assert.throws(() => context.alloc(NESTED, 0), { code: 'ENOENT', reason: /PASID 0/ });
  assert.throws(() => system.open(2).alloc(NESTED, parent), { code: 'ENOENT' });
  assert.throws(() => context.alloc(NESTED, nested), { code: 'EINVAL', reason: /is of kind nested/ });
  assert.equal(context.pasids, 2);
});

test('nothing is mapped in a nested PASID, and no table is bound to a mapped one', () => {
  const { context, parent } = setup();
  const pasid = context.alloc(NESTED, parent);
  const request = { pasid, length: BigInt(PAGE), access: READ, iova: undefined };
  for (const attempt of [
    () => context.place(request, 0n),
    () => finished(context.copy(request, parent, BigInt(TABLES))),
    () => finished(context.copy({ ...request, pasid: parent }, pasid, 0n)),
    () => context.unmap(pasid, 0n, BigInt(PAGE)),
    () => context.unmapAll(pasid),
  ])
    assert.throws(attempt, { code: 'EINVAL', reason: `PASID ${pasid} is of kind nested, not mapped` });
  for (const attempt of [
    () => context.bindTable(parent, TABLE),
    () => context.invalidate(parent, 0n, BigInt(PAGE), false),
    () => context.invalidatePasid(parent),
  ])
    assert.throws(attempt, { code: 'EINVAL', reason: `PASID ${parent} is of kind mapped, not nested` });
});

test('a parent cannot be freed before the PASIDs nested over it, and a context releases them first', () => {
  const { iommu, system, context, parent } = setup();
  const pasids = [context.alloc(NESTED, parent), context.alloc(NESTED, parent)];
  for (const pasid of pasids) context.bindTable(pasid, TABLE);
  assert.throws(() => context.free(parent), {
    code: 'EBUSY',
    reason: `PASID ${parent} is the parent of 2 nested PASIDs`,
  });
  finished(context.free(pasids[0]!));
  assert.throws(() => context.free(parent), { code: 'EBUSY' });
  finished(context.close());
  assert.equal(system.pasids.used, 0);
  assert.deepEqual([iommu.memories.size, iommu.tables.slotCount], [0, 0]);
});

test('a device gets a nested PASID when a table is bound, which stays while one is authorized', () => {
  const { context, parent } = setup();
  const pasid = context.alloc(NESTED, parent);
  const space = context.use(pasid);
  assert.throws(() => space.table, { code: 'EINVAL', reason: /no page table is bound/ });
  assert.throws(() => context.bindTable(pasid, TABLE), { code: 'EBUSY' });
  assert.throws(() => context.free(pasid), { code: 'EBUSY' });
  finished(context.unuse(pasid));
  context.bindTable(pasid, TABLE);
  assert.ok(space.table.lookup(0, 0, READ) > 0);
  context.bindTable(pasid, { ...TABLE, root: BigInt(TABLES + PAGE) });
  assert.ok(space.table.lookup(0, 0, READ) < 0, 'another table, with a level less');
});

test('a table that cannot be is refused, and the one that was bound stays', () => {
  const { context, parent } = setup();
  const pasid = context.alloc(NESTED, parent);
  context.bindTable(pasid, TABLE);
  const [, space] = [...context.spaces()].find(([number]) => number === pasid)!;
  const { table } = space;
  for (const bad of [
    { format: 1 },
    { addressWidth: 57 },
    { addressWidth: 39 },
    { addressWidth: 0 },
    { root: BigInt(TABLES + 8) },
    { root: 2n ** 48n },
    { root: 2n ** 64n - 4096n },
  ])
    assert.throws(() => context.bindTable(pasid, { ...TABLE, ...bad }), { code: 'EINVAL' });
  assert.throws(() => context.bindTable(pasidOf(pasid + 1), TABLE), { code: 'ENOENT' });
  assert.equal(space.table, table);
});

test('what is cached of a table counts as pages, which a table that replaces it needs no more of', () => {
  const { context, parent } = setup(24);
  const [one, two] = [context.alloc(NESTED, parent), context.alloc(NESTED, parent)];
  context.bindTable(one, TABLE);
  assert.throws(() => context.bindTable(two, TABLE), { code: 'ENOMEM', reason: /24 pages/ });
  for (let n = 0; n < 3; n++) context.bindTable(one, TABLE);
  finished(context.free(one));
  context.bindTable(two, TABLE);
});

test('entries that were changed hold when they are invalidated: by range, by PASID, in all', () => {
  const { context, parent, entries } = setup();
  const pasid = context.alloc(NESTED, parent);
  const untouched = context.alloc(NESTED, parent);
  context.bindTable(pasid, TABLE);
  const { table } = context.use(pasid);
  for (const invalidate of [
    () => context.invalidate(pasid, 0n, BigInt(PAGE), true),
    () => context.invalidatePasid(pasid),
    () => finished(context.invalidateAll()),
  ]) {
    assert.ok(table.lookup(0, 0, READ) > 0);
    entries[3 * 512] = 0n;
    assert.ok(table.lookup(0, 0, READ) > 0, 'kept until then');
    invalidate();
    assert.ok(table.lookup(0, 0, READ) < 0);
    entries[3 * 512] = BigInt(TABLES + 4 * PAGE) | USABLE;
  }
  context.invalidatePasid(untouched);
});

test('a range that is none is not invalidated', () => {
  const { context, parent } = setup();
  const pasid = context.alloc(NESTED, parent);
  const page = BigInt(PAGE);
  for (const [iova, length, code] of [
    [0n, 0n, 'EINVAL'],
    [1n, page, 'EINVAL'],
    [0n, page + 1n, 'EINVAL'],
    [2n ** 48n, page, 'EINVAL'],
    [2n ** 48n - page, 2n * page, 'EINVAL'],
    [2n ** 64n - page, 2n * page, 'EOVERFLOW'],
  ] as const)
    assert.throws(() => context.invalidate(pasid, iova, length, false), { code });
  context.invalidate(pasid, 0n, 2n ** 48n, false);
});

test('many nested PASIDs are invalidated in slices', () => {
  const { context, parent } = setup();
  for (let n = 0; n < 65; n++) context.alloc(NESTED, parent);
  const work = context.invalidateAll();
  assert.ok(isWork(work));
  assert.equal(work.next().done, false);
  finished(work);
});
