import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { fileMemory } from '../linux/file-memory.js';
import { guardedCopy } from '../linux/guarded-copy.js';
import { canGuardHoles } from '../linux/hole-guard.js';
import { account, Child } from '../testkit/child.js';
import { dirtyPages } from '../testkit/dirty-pages.js';
import { DirtyLog } from './dirty-log.js';
import { Iommu, READ, WRITE } from './iommu.js';
import { BufferMemory, type Memory } from './memory.js';
import { PAGE_SIZE } from './page-table.js';
import { pasidOf } from './pasid.js';

const child = new Child();
after(() => child.kill());
const skip = guardedCopy() === undefined ? 'there is no guarded copy here' : false;

const PASID = pasidOf(1);
const BOTH = READ | WRITE;
const PAGES = 48;

/** A memfd of the child's, all of it holes. Who maps it takes over a reference, which `held` has more of. */
async function makeRam() {
  const fd = await child.memfd('ram', PAGES * PAGE_SIZE);
  const held = () => fileMemory(account, child.pid, fd, 0, PAGES * PAGE_SIZE, BOTH).memory;
  return { ram: held(), held, fd };
}

/** Each IOVA leads to that byte of the memory, with the rights of its page: one mapping for those alike. */
function mapped(held: () => Memory, rights: readonly number[]) {
  const iommu = new Iommu();
  const requester = iommu.requester('0000:6a:01.0');
  const table = iommu.pageTable();
  for (let page = 0; page < rights.length; ) {
    let end = page + 1;
    while (end < rights.length && rights[end] === rights[page]) end++;
    if (rights[page] !== 0)
      table.map(
        BigInt(page * PAGE_SIZE),
        BigInt((end - page) * PAGE_SIZE),
        iommu.memories.acquire(held()),
        BigInt(page * PAGE_SIZE),
        rights[page]!,
      );
    page = end;
  }
  const log = new DirtyLog(BigInt(PAGE_SIZE));
  log.enabled = true;
  requester.grant(PASID, table, log);
  const unmap = () => {
    requester.withdraw(PASID);
    while (table.takeSome(0n, 2n ** 64n - 1n, (memory) => iommu.memories.release(memory)));
    table.close();
  };
  return { iommu, requester, log, unmap };
}

/** Bytes of [at, at+length) that can be accessed, by pages' rights. */
function reach(rights: readonly number[], at: number, length: number, access: number): number {
  let done = 0;
  while (done < length && ((rights[Math.floor((at + done) / PAGE_SIZE)] ?? 0) & access) !== 0) done++;
  return done;
}

const right = fc.constantFrom(BOTH, BOTH, BOTH, BOTH, READ, WRITE, 0);
const runs = fc.array(fc.tuple(right, fc.integer({ min: 1, max: 20 })), { minLength: 2, maxLength: 12 });

test('a copy moves what a read and a write would, as far as both go, and writes of it are recorded', {
  skip,
}, async () => {
  const { ram, held } = await makeRam();
  const size = PAGES * PAGE_SIZE;
  const bytes = new Uint8Array(size);
  const seen = new Uint8Array(size);
  const copy = fc.record({
    runs,
    from: fc.nat(size),
    to: fc.nat(size),
    /** How far below its source it goes, where that is near. */
    below: fc.oneof(fc.constant(undefined), fc.nat(100), fc.nat(PAGE_SIZE)),
    length: fc.oneof(fc.nat(200), fc.nat(20 * PAGE_SIZE)),
    aligned: fc.boolean(),
  });
  fc.assert(
    fc.property(copy, ({ runs, from, to: anywhere, below, length: wanted, aligned }) => {
      const rights = runs.flatMap(([right, pages]) => new Array<number>(pages).fill(right));
      rights.length = Math.min(rights.length, PAGES);
      const near = below === undefined ? anywhere : Math.max(0, from - below);
      const to = aligned ? near & -64 : near;
      // What overlaps goes upwards only.
      const length = from < to ? Math.min(wanted, to - from) : wanted;
      const { iommu, requester, log, unmap } = mapped(held, rights);
      for (let i = 0; i < size; i++) bytes[i] = i * 7 + (i >> 8);
      assert.equal(ram.write(0, bytes, 0, size), size);
      const there = Math.min(reach(rights, from, length, READ), reach(rights, to, length, WRITE));
      assert.equal(requester.copy(PASID, from, to, length, Number.POSITIVE_INFINITY), there);
      bytes.copyWithin(to, from, from + there);
      assert.equal(ram.read(0, seen, 0, size), size);
      assert.deepEqual(seen, bytes);
      const written =
        there === 0 ? [] : [Math.floor(to / PAGE_SIZE), Math.floor((to + there - 1) / PAGE_SIZE)];
      const pages = Array.from({ length: written[1]! - written[0]! + 1 || 0 }, (_, n) => written[0]! + n);
      assert.deepEqual(dirtyPages(log), pages);
      unmap();
      assert.equal(iommu.faults.since(0).length, 0, 'faults are found by those who ask for the rest');
    }),
    { numRuns: 150 },
  );
  ram.close();
});

test('a copy stops before a hole of the file, makes no page of it, and where the file has ended', {
  skip: skip || (!canGuardHoles() && 'holes cannot be guarded here'),
}, async () => {
  const { ram, held, fd } = await makeRam();
  const { requester, unmap } = mapped(held, new Array<number>(PAGES).fill(BOTH));
  const bytes = new Uint8Array(24 * PAGE_SIZE).fill(5);
  ram.write(0, bytes, 0, bytes.length);
  const copied = (from: number, to: number, length: number) =>
    requester.copy(PASID, from * PAGE_SIZE, to * PAGE_SIZE, length * PAGE_SIZE, Number.POSITIVE_INFINITY);
  assert.equal(copied(0, 12, 12), 12 * PAGE_SIZE);
  const pages = () => statSync(`/proc/${child.pid}/fd/${fd}`).blocks;
  const before = pages();
  assert.equal(copied(4, 20, 20), 4 * PAGE_SIZE, 'the target has a hole from page 24 on');
  assert.equal(copied(22, 0, 20), 2 * PAGE_SIZE, 'and so has the source');
  assert.equal(pages(), before);
  await child.call('ftruncate', fd, 8 * PAGE_SIZE);
  assert.equal(copied(6, 0, 6), 2 * PAGE_SIZE, 'the source has been cut off');
  assert.equal(copied(0, 6, 6), 2 * PAGE_SIZE, 'and so has the target');
  unmap();
  ram.close();
});

test('nothing is copied while somebody looks, of no entry, nor where memory says no place', {
  skip,
}, async () => {
  const { ram, held } = await makeRam();
  const { iommu, requester, unmap } = mapped(held, new Array<number>(PAGES).fill(BOTH));
  ram.write(0, new Uint8Array(8 * PAGE_SIZE), 0, 8 * PAGE_SIZE);
  const copied = (pasid = PASID) => requester.copy(pasid, 0, PAGE_SIZE, PAGE_SIZE, 1000);
  assert.equal(copied(), PAGE_SIZE);
  assert.equal(copied(pasidOf(2)), 0);
  assert.equal(requester.copy(PASID, -1, PAGE_SIZE, 8, 1000), 0);
  assert.equal(requester.copy(PASID, 0, 2 ** 60, 8, 1000), 0);
  iommu.transfers.look();
  assert.equal(copied(), 0);
  const { requester: other } = mapped(() => new BufferMemory(new Uint8Array(2 * PAGE_SIZE)), [BOTH, BOTH]);
  assert.equal(other.copy(PASID, 0, PAGE_SIZE, 8, 1000), 0);
  unmap();
  ram.close();
});
