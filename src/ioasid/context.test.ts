import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { finished } from '../file/work.js';
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { PAGE_SIZE } from '../iommu/page-table.js';
import { type Pasid, pasidOf } from '../iommu/pasid.js';
import { Account } from '../linux/account.js';
import { Refusal } from '../linux/errno.js';
import { BrokenInvariant } from '../linux/invariant.js';
import type { AddressSpace } from './address-space.js';
import type { IoasidContext } from './context.js';
import { allPasids, LAST_PASID, PasidSpace } from './pasid-space.js';
import { IoasidSubsystem } from './subsystem.js';

const RW = READ | WRITE;
const PAGE = BigInt(PAGE_SIZE);

function setup(pasidQuota?: number, mappingQuota?: number) {
  const iommu = new Iommu();
  const system = new IoasidSubsystem(iommu, pasidQuota, mappingQuota);
  return { iommu, system };
}

function map(
  context: IoasidContext,
  pasid: Pasid,
  length: number,
  iova?: number,
  access = RW,
  offset = 0,
): number {
  const request = {
    pasid,
    length: BigInt(length),
    access,
    iova: iova === undefined ? undefined : BigInt(iova),
  };
  const at = finished(context.place(request, BigInt(offset)));
  context.map(request, at, { memory: new BufferMemory(new Uint8Array(0)), offset });
  return Number(at);
}

function unmap(context: IoasidContext, pasid: Pasid, iova: number, length: number): number {
  return Number(finished(context.unmap(pasid, BigInt(iova), BigInt(length))));
}

test('of all PASIDs an opener has three quarters of what others leave, in whatever contexts', () => {
  const { system } = setup(2 ** 20);
  const [one, two] = [Account.of('user 1'), Account.of('user 2')];
  const [first, second, other] = [system.open(1, one), system.open(1, one), system.open(2, two)];
  const pasid = first.alloc(0, 0);
  one.share(allPasids).add(786_430);
  const reason = /^what user 1 has opened holds 786431 PASIDs of the server, of at most 786431 that others/;
  assert.throws(() => second.alloc(0, 0), { code: 'ENOSPC', reason });
  finished(other.free(other.alloc(0, 0)));
  finished(first.free(pasid));
  second.alloc(0, 0);
  one.share(allPasids).remove(786_430);
  for (const context of [first, second, other]) finished(context.close());
  assert.deepEqual(Account.all(), []);
});

test('all 2^20-1 PASIDs can be handed out, then ENOSPC says so, then all again when given back', () => {
  const space = new PasidSpace();
  const seen = new Uint8Array(LAST_PASID + 1);
  for (let n = 0; n < LAST_PASID; n++) seen[space.alloc()]!++;
  assert.equal(seen[0], 0);
  assert.ok(seen.subarray(1).every((count) => count === 1));
  assert.throws(() => space.alloc(), { code: 'ENOSPC', reason: 'all 1048575 PASIDs are in use' });
  for (let pasid = LAST_PASID; pasid > 0; pasid--) space.free(pasidOf(pasid));
  assert.equal(space.used, 0);
  for (let n = 0; n < LAST_PASID; n++) seen[space.alloc()]!++;
  assert.ok(seen.subarray(1).every((count) => count === 2));
});

test('a freed PASID comes back as late as possible', () => {
  const space = new PasidSpace();
  for (let n = 0; n < LAST_PASID; n++) space.alloc();
  for (const pasid of [9, 3, 7]) space.free(pasidOf(pasid));
  assert.deepEqual([space.alloc(), space.alloc(), space.alloc()], [9, 3, 7]);
});

test('a PASID that is freed twice, or was never given, is a broken invariant, and the others stay', () => {
  const space = new PasidSpace();
  const [first, second] = [space.alloc(), space.alloc()];
  space.free(first);
  assert.throws(() => space.free(first), new BrokenInvariant('PASID 1 is freed, and is not in use'));
  assert.throws(() => space.free(pasidOf(3)), BrokenInvariant);
  assert.equal(space.used, 1);
  space.free(second);
  assert.equal(space.used, 0);
});

test('a context given back more than was taken is a broken invariant, and is released all the same', () => {
  const { system } = setup();
  const context = system.open(1);
  const pasid = context.alloc(0, 0);
  context.use(pasid);
  finished(context.unuse(pasid));
  assert.throws(() => finished(context.unuse(pasid)), /PASID 1 is dropped by more devices than hold it/);
  assert.equal([...system.contexts()].length, 0, 'the reference that was given back too much was the last');
  assert.equal(system.pasids.used, 0);
  assert.throws(
    () => context.close(),
    new BrokenInvariant('ioasid context 1 is dropped by more than hold it'),
  );
});

test('PASIDs are unique across contexts and mean nothing in another context', () => {
  const { system } = setup();
  const a = system.open(1);
  const b = system.open(2);
  const pasid = a.alloc(0, 0);
  assert.notEqual(b.alloc(0, 0), pasid);
  for (const attempt of [
    () => finished(b.free(pasid)),
    () => b.use(pasid),
    () => finished(b.unmapAll(pasid)),
    () => map(b, pasid, PAGE_SIZE),
  ]) {
    assert.throws(attempt, { code: 'ENOENT', reason: `PASID ${pasid} is not in this context` });
  }
});

test('an unknown kind is refused, and so is a parent of what has none', () => {
  const context = setup().system.open(1);
  assert.throws(() => context.alloc(3, 0), { code: 'EINVAL' });
  assert.throws(() => context.alloc(0, 5), { code: 'EINVAL', reason: /parent 5/ });
});

test('a context stops at its quota of PASIDs, and another is not touched by that', () => {
  const { system } = setup(3);
  const a = system.open(1);
  const pasids = [a.alloc(0, 0), a.alloc(0, 0), a.alloc(0, 0)];
  assert.throws(() => a.alloc(0, 0), {
    code: 'ENOSPC',
    reason: 'this context has reached its quota of 3 PASIDs',
  });
  system.open(2).alloc(0, 0);
  finished(a.free(pasids[1]!));
  a.alloc(0, 0);
});

test('a context stops at its quota of mappings, counted over all its PASIDs and copies', () => {
  const { system } = setup(10, 3);
  const context = system.open(1);
  const [one, two] = [context.alloc(0, 0), context.alloc(0, 0)];
  map(context, one, PAGE_SIZE, 0x1000);
  map(context, two, PAGE_SIZE, 0x1000);
  const copy = { pasid: two, length: PAGE, access: READ, iova: 0x9000n };
  finished(context.copy(copy, one, 0x1000n));
  assert.throws(() => map(context, one, PAGE_SIZE), { code: 'ENOSPC' });
  assert.throws(() => finished(context.copy({ ...copy, iova: 0xa000n }, one, 0x1000n)), { code: 'ENOSPC' });
  unmap(context, two, 0x1000, PAGE_SIZE);
  map(context, one, PAGE_SIZE);
  assert.equal(context.mappings, 3);
});

test('freeing a PASID that a device is authorized for is EBUSY, and its mappings stay', () => {
  const context = setup().system.open(1);
  const pasid = context.alloc(0, 0);
  map(context, pasid, PAGE_SIZE, 0x1000);
  context.use(pasid);
  assert.throws(() => finished(context.free(pasid)), { code: 'EBUSY' });
  assert.equal(context.mappings, 1);
  finished(context.unuse(pasid));
  finished(context.free(pasid));
  assert.equal(context.mappings, 0);
});

test('a context lives until its file and all authorizations in it are gone, whichever goes first', () => {
  for (const fileFirst of [true, false]) {
    const { iommu, system } = setup();
    const context = system.open(1);
    const pasid = context.alloc(0, 0);
    map(context, pasid, PAGE_SIZE);
    const space = context.use(pasid);
    const last = fileFirst ? () => finished(context.unuse(pasid)) : () => finished(context.close());
    if (fileFirst) finished(context.close());
    else finished(context.unuse(pasid));
    assert.equal([...system.contexts()].length, 1);
    assert.equal((space as AddressSpace).table.count, 1);
    last();
    assert.equal([...system.contexts()].length, 0);
    assert.equal(system.pasids.used, 0);
    assert.equal(iommu.memories.size, 0);
    assert.equal(iommu.tables.slotCount, 0);
  }
});

test('a copy takes parts of mappings that lie side by side, and no more rights than they give', () => {
  const { iommu, system } = setup();
  const context = system.open(1);
  const [from, to] = [context.alloc(0, 0), context.alloc(0, 0)];
  map(context, from, 2 * PAGE_SIZE, 0x1000, RW, 0x8000);
  map(context, from, 2 * PAGE_SIZE, 0x3000, READ, 0x2000);
  const request = { pasid: to, length: 2n * PAGE, access: READ, iova: undefined };
  const iova = finished(context.copy(request, from, 0x2000n));
  const copied = [...context.spaces()].find(([pasid]) => pasid === to)![1] as AddressSpace;
  const views = copied.mappings(10);
  assert.deepEqual(
    views.map(({ iova: at, length, offset }) => [at - iova, length, offset].map(Number)),
    [
      [0, PAGE_SIZE, 0x9000],
      [PAGE_SIZE, PAGE_SIZE, 0x2000],
    ],
  );
  assert.throws(() => finished(context.copy({ ...request, access: RW }, from, 0x2000n)), {
    code: 'EPERM',
    reason: /right to write/,
  });
  assert.throws(() => finished(context.copy({ ...request, length: 4n * PAGE }, from, 0x2000n)), {
    code: 'ENOENT',
    reason: /iova 0x5000/,
  });
  finished(context.free(from));
  assert.equal(iommu.memories.size, 2, 'the copy holds the memories itself');
});

test('a chosen IOVA is the first that fits, never 0, aligned as length and memory are, to 2 MiB', () => {
  const context = setup().system.open(1);
  const pasid = context.alloc(0, 0);
  assert.equal(map(context, pasid, PAGE_SIZE), 0x1000);
  assert.equal(map(context, pasid, 4 * PAGE_SIZE), 0x4000);
  assert.equal(
    map(context, pasid, 4 * PAGE_SIZE, undefined, RW, 0x1000),
    0x8000,
    'memory at an odd page needs no alignment',
  );
  assert.equal(map(context, pasid, PAGE_SIZE), 0x2000, 'the first hole');
  assert.equal(map(context, pasid, 2 ** 30), 2 ** 21);
  unmap(context, pasid, 0x1000, PAGE_SIZE);
  assert.equal(map(context, pasid, PAGE_SIZE), 0x1000);
});

const step = fc.record({
  kind: fc.constantFrom('map', 'fixed', 'unmap', 'unmapExact', 'all'),
  page: fc.nat(30),
  pages: fc.nat(6),
  odd: fc.constantFrom(0, 0, 0, 1, 0x800),
  offset: fc.nat(8),
});

test('any sequence of map and unmap leaves what a list of pages says, and a refusal all as it was', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      const { iommu, system } = setup();
      const context = system.open(1);
      const pasid = context.alloc(0, 0);
      const [[, space]] = [...context.spaces()] as [[Pasid, AddressSpace]];
      let model: { start: number; end: number }[] = [];
      for (const { kind, page, pages, odd, offset } of steps) {
        const start = page * PAGE_SIZE + odd;
        const end = start + pages * PAGE_SIZE;
        const before = inspect(space.mappings(1000));
        try {
          if (kind === 'map') {
            const iova = map(context, pasid, pages * PAGE_SIZE, undefined, RW, offset * PAGE_SIZE);
            const taken = model.some((m) => m.start < iova + pages * PAGE_SIZE && iova < m.end);
            assert.ok(!taken && iova > 0);
            model.push({ start: iova, end: iova + pages * PAGE_SIZE });
          } else if (kind === 'fixed') {
            map(context, pasid, pages * PAGE_SIZE, start);
            assert.ok(odd === 0 && pages > 0 && !model.some((m) => m.start < end && start < m.end));
            model.push({ start, end });
          } else if (kind === 'all') {
            finished(context.unmapAll(pasid));
            model = [];
          } else {
            const target =
              kind === 'unmapExact' && model.length > 0 ? model[page % model.length]! : { start, end };
            const hit = model.filter((m) => m.start < target.end && target.start < m.end);
            const bytes = unmap(context, pasid, target.start, target.end - target.start);
            assert.ok(hit.length > 0 && hit.every((m) => m.start >= target.start && m.end <= target.end));
            assert.equal(
              bytes,
              hit.reduce((sum, m) => sum + m.end - m.start, 0),
            );
            model = model.filter((m) => !hit.includes(m));
          }
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          assert.equal(inspect(space.mappings(1000)), before);
        }
        const views = space
          .mappings(1000)
          .map((m) => ({ start: Number(m.iova), end: Number(m.iova + m.length) }));
        assert.deepEqual(
          views,
          model.toSorted((a, b) => a.start - b.start),
        );
        assert.equal(context.mappings, model.length);
      }
      finished(context.close());
      assert.equal(iommu.tables.slotCount, 0);
    }),
    { numRuns: 300 },
  );
});
