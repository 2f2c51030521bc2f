import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dirtyPages } from '../testkit/dirty-pages.js';
import { madeBytes } from '../testkit/made-bytes.js';
import {
  A,
  address,
  BASE,
  D,
  EA,
  P,
  PAGE,
  PAGES,
  PASID,
  PS,
  RW,
  SPAN,
  setup,
  US,
} from '../testkit/two-stages.js';
import { type Access, READ, WRITE } from './access.js';
import { DirtyLog } from './dirty-log.js';
import { LAST_HI, NONE, OFFSET_HI, START_HI } from './table-memory.js';
import { VTD_ADDRESS_WIDTH, VtdTable } from './vtd-table.js';

test('data goes through both stages, across pages of the first that are anywhere in the second', () => {
  const { requester, ram, set, chain } = setup();
  chain();
  set(3, 1, address(9) | P | RW | US);
  set(3, 2, address(5) | P | RW | US);
  const source = madeBytes(256, (n) => n);
  assert.equal(requester.write(PASID, 2 * PAGE - 128, source, 0, 256), undefined);
  assert.deepEqual(ram.bytes.subarray(10 * PAGE - 128, 10 * PAGE), source.subarray(0, 128));
  assert.deepEqual(ram.bytes.subarray(5 * PAGE, 5 * PAGE + 128), source.subarray(128));
  const target = new Uint8Array(256);
  assert.equal(requester.read(PASID, 2 * PAGE - 128, target, 0, 256), undefined);
  assert.deepEqual(target, source);
});

test('what is not in the first stage faults with the entry that says so, and nothing is written', () => {
  const { iommu, requester, ram, chain } = setup();
  chain();
  const before = ram.bytes.slice(4 * PAGE);
  const fault = requester.write(PASID, 0x5000, new Uint8Array(8).fill(1), 0, 8);
  assert.equal(fault?.done, 0);
  assert.match(
    fault!.reason,
    /iova 0x5000 of PASID 7: the entry at 0x40003028, of level 1 of the first stage, is not present/,
  );
  assert.deepEqual(ram.bytes.slice(4 * PAGE), before);
  assert.equal(iommu.faults.total, 1);
});

test('each kind of refusal has its reason', () => {
  const { requester, unmapSecond, mapSecond, set, chain, table } = setup();
  chain();
  const refusal = (entry: bigint, write = false) => {
    set(3, 0, entry);
    table.invalidate(0, PAGE - 1, true);
    const fault = requester[write ? 'write' : 'read'](PASID, 0, new Uint8Array(1), 0, 1);
    return fault?.reason.replace(/^iova 0x0 of PASID 7: /, '');
  };
  assert.equal(refusal(address(9) | P | RW | US), undefined);
  assert.match(refusal(address(9) | P | RW)!, /privileged requests only/);
  assert.match(refusal(address(9) | P | US, true)!, /does not give the right to write/);
  assert.match(refusal(address(9) | P | RW | US | (1n << 48n))!, /reserved bit/);
  assert.match(
    refusal((2n ** 47n) | P | RW | US)!,
    /leads to 0x800000000000, where the second stage has nothing mapped/,
  );
  unmapSecond(9);
  mapSecond(9, 9, READ);
  assert.match(
    refusal(address(9) | P | RW | US, true)!,
    /leads to 0x40009000, where the second stage does not give the right to write/,
  );
  assert.equal(refusal(address(9) | P | RW | US), undefined);
  set(2, 0, address(30) | P | RW | US | PS);
  table.invalidate(0, 2 ** 21 - 1, false);
  assert.match(
    requester.read(PASID, 0, new Uint8Array(1), 0, 1)!.reason,
    /level 2 of the first stage, has a reserved bit/,
  );
  assert.match(requester.read(PASID, 2 ** 47, new Uint8Array(1), 0, 1)!.reason, /bits 47 to 63/);
  unmapSecond(0);
  assert.match(
    requester.read(PASID, 0, new Uint8Array(1), 0, 1)!.reason,
    /entry at 0x40000000 of the first stage is not in what the second/,
  );
  requester.withdraw(PASID);
  assert.match(requester.read(PASID, 0, new Uint8Array(1), 0, 1)!.reason, /not authorized for PASID 7/);
});

test('a table that is nowhere in the second stage, because no address is so wide, refuses everything', () => {
  for (const root of [2 ** 48, 2 ** 60, 2 ** 64 - 4096]) {
    const { at, table } = setup({ root });
    assert.equal(at(0, READ), NONE);
    assert.match(table.refusal, /not in what the second stage has mapped/);
  }
});

test('a walk marks entries as accessed, a page that is written as dirty; with EAFE in bit 10 too', () => {
  for (const extendedAccess of [false, true]) {
    const { entries, set, chain, at } = setup({ extendedAccess });
    const marks = extendedAccess ? A | EA : A;
    chain();
    set(3, 0, address(9) | P | RW | US);
    assert.equal(at(0, READ), 9 * PAGE);
    assert.equal(entries[0], address(1) | P | RW | US | marks);
    assert.equal(entries[3 * 512], address(9) | P | RW | US | marks);
    assert.equal(at(8, WRITE), 9 * PAGE + 8);
    assert.equal(entries[3 * 512], address(9) | P | RW | US | marks | D);
    assert.equal(entries[0], address(1) | P | RW | US | marks);
  }
});

test('an entry that the second stage has read-only refuses the access, unless it is marked already', () => {
  const { unmapSecond, mapSecond, set, chain, at, table } = setup();
  chain();
  set(3, 0, address(9) | P | RW | US);
  unmapSecond(3);
  mapSecond(3, 3, READ);
  assert.equal(at(0, READ), NONE);
  assert.match(
    table.refusal,
    /entry at 0x40003000 of the first stage is not in what the second stage lets be written/,
  );
  set(3, 0, address(9) | P | RW | US | A);
  assert.equal(at(0, READ), 9 * PAGE);
  assert.equal(at(0, WRITE), NONE);
  set(3, 0, address(9) | P | RW | US | A | D);
  assert.equal(at(0, WRITE), 9 * PAGE);
});

test('a translation is kept until it is invalidated, a last table until that is not for leaves only', () => {
  const { set, chain, at, table } = setup();
  chain();
  set(3, 0, address(9) | P | RW | US);
  set(3, 1, address(10) | P | RW | US);
  assert.equal(at(0, WRITE), 9 * PAGE);
  assert.equal(at(PAGE, WRITE), 10 * PAGE);
  set(3, 0, address(11) | P | RW | US);
  set(3, 1, address(12) | P | RW | US);
  assert.equal(at(0, WRITE), 9 * PAGE);
  table.invalidate(0, PAGE - 1, true);
  assert.equal(at(0, WRITE), 11 * PAGE);
  assert.equal(at(PAGE, WRITE), 10 * PAGE, 'not in the range');
  set(2, 0, address(4) | P | RW | US);
  set(4, 0, address(13) | P | RW | US);
  table.invalidate(0, PAGE - 1, true);
  assert.equal(at(0, WRITE), 11 * PAGE, 'through the table that is remembered');
  table.invalidate(0, PAGE - 1, false);
  assert.equal(at(0, WRITE), 13 * PAGE);
});

test('what is unmapped from the second stage is gone for the very next access: a page, and a table', () => {
  const { set, chain, at, unmapSecond, mapSecond } = setup();
  chain();
  set(3, 0, address(9) | P | RW | US);
  assert.equal(at(0, WRITE), 9 * PAGE);
  unmapSecond(9);
  assert.equal(at(0, WRITE), NONE);
  mapSecond(9, 20, READ | WRITE);
  assert.equal(at(0, WRITE), 20 * PAGE);
  unmapSecond(1);
  assert.equal(at(0, WRITE), NONE);
});

test('a large page is one translation as far as one mapping of the second stage goes', () => {
  const { iommu, requester, set, unmapSecond, mapSecond } = setup();
  set(0, 0, address(1) | P | RW | US);
  set(1, 3, BigInt(BASE) | P | RW | US | PS);
  for (const page of [4, 5, 6, 7]) unmapSecond(page);
  mapSecond(4, 4, READ | WRITE, 4);
  const slot = requester.translate(PASID, 0, 3 * 2 ** 30 + 5 * PAGE + 17, WRITE);
  assert.equal(iommu.tables.wide(slot, START_HI), 3 * 2 ** 30 + 4 * PAGE);
  assert.equal(iommu.tables.wide(slot, LAST_HI), 3 * 2 ** 30 + 8 * PAGE - 1);
  assert.equal(iommu.tables.wide(slot, OFFSET_HI), 4 * PAGE);
});

test('a closed table leaves nothing in the table memory', () => {
  const { iommu, requester, parent, table, set, chain, at } = setup();
  chain();
  for (let index = 0; index < 512; index++) {
    set(3, index, address(9) | P | RW | US);
    at(index * PAGE, READ);
  }
  assert.equal(iommu.tables.cachedCount, 512);
  assert.equal(iommu.tables.slotCount, PAGES, 'what is cached is no mapping');
  requester.withdraw(PASID);
  table.close();
  assert.equal(iommu.tables.cachedCount, 0);
  while (parent.takeSome(0n, 2n ** 64n - 1n, (memory) => iommu.memories.release(memory)));
  parent.close();
  assert.equal(iommu.tables.slotCount, 0);
  assert.equal(iommu.tables.tableCount, 0);
});

/** The reference: both stages walked for each access, over a memory of its own, with nothing kept. */
class Model {
  readonly entries = new BigUint64Array((PAGES * PAGE) / 8);
  /** For each page of the second stage the page of memory and the rights. */
  readonly second = Array.from({ length: PAGES }, (_, page) => ({ page, access: READ | WRITE }));

  access(iova: number, access: Access): number {
    let table = BigInt(BASE);
    let rights = READ | WRITE;
    for (let level = 4; level > 0; level--) {
      const at = table + 8n * BigInt(Math.floor(iova / SPAN[level]!) % 512);
      const where = this.#resolve(at, READ);
      if (where === NONE) return NONE;
      const entry = this.entries[where / 8]!;
      const leaf = level === 1 || (entry & PS) !== 0n;
      if ((entry & P) === 0n || ((entry >> 48n) & 15n) !== 0n || (entry & US) === 0n) return NONE;
      if (leaf && level === 4) return NONE;
      const span = BigInt(SPAN[level]!);
      const target = entry & ((1n << 48n) - 1n) & ~0xfffn;
      if (leaf && level > 1 && (target % span) >> 13n !== 0n) return NONE;
      if ((entry & RW) === 0n) rights &= ~WRITE;
      if (!leaf) {
        if (!this.#mark(at, A)) return NONE;
        table = target;
        continue;
      }
      if ((rights & access) !== access) return NONE;
      const found = this.#resolve(target - (target % span) + (BigInt(iova) % span), access);
      return found !== NONE && this.#mark(at, access & WRITE ? A | D : A) ? found : NONE;
    }
    return NONE;
  }

  #resolve(at: bigint, access: Access): number {
    const from = Number(at) - BASE;
    const mapping = from >= 0 ? this.second[Math.floor(from / PAGE)] : undefined;
    return mapping !== undefined && (mapping.access & access) === access
      ? mapping.page * PAGE + (from % PAGE)
      : NONE;
  }

  #mark(at: bigint, bits: bigint): boolean {
    const where = this.#resolve(at, READ);
    if ((this.entries[where / 8]! & bits) === bits) return true;
    if (this.#resolve(at, WRITE) === NONE) return false;
    this.entries[where / 8]! |= bits;
    return true;
  }
}

/** IOVAs that lie in two entries of each level: bit n says which of level n+1. */
const PROBES = 16;
function probe(path: number): number {
  return (
    (path & 8 ? 255 * 2 ** 39 : 0) +
    (path & 4 ? 511 * 2 ** 30 : 0) +
    (path & 2 ? 2 ** 21 : 0) +
    (path & 1 ? 511 * PAGE : 0)
  );
}
/** The page that has the table of `level` on the way to `path`; each table has one way that leads to it. */
function tablePage(path: number, level: number): number {
  return 2 ** (4 - level) - 1 + (path >> level);
}

const flags = fc
  .tuple(
    ...[P, RW, US].map((bit) => fc.option(fc.constant(bit), { freq: 9, nil: 0n })),
    fc.constantFrom(0n, A, A | D, EA, 1n << 63n),
    fc.option(fc.constantFrom(1n << 48n, 1n << 13n, 1n << 12n), { freq: 1, nil: 0n }),
  )
  .map((bits) => bits.reduce((all, bit) => all | bit, 0n));
const access = fc.record({
  path: fc.nat(PROBES - 1),
  offset: fc.nat(PAGE - 1),
  access: fc.constantFrom(READ, WRITE),
});
const step = fc.record({
  kind: fc.constantFrom('entry', 'entry', 'entry', 'unmap', 'map'),
  path: fc.nat(PROBES - 1),
  level: fc.constantFrom(1, 1, 1, 2, 3, 4),
  large: fc.boolean(),
  page: fc.nat(PAGES - 1),
  flags,
  rights: fc.constantFrom(READ, WRITE, READ | WRITE, READ | WRITE),
  all: fc.boolean(),
  accesses: fc.array(access, { maxLength: 6 }),
});

test('every access ends where a fresh walk of both stages ends, marks included, whatever was before', () => {
  let reached = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
      const { table, ram, entries, at, mapSecond, unmapSecond } = setup();
      const model = new Model();
      const store = (page: number, index: number, value: bigint) => {
        const where = model.second[page]!.page * 512 + index;
        entries[where] = value;
        model.entries[where] = value;
      };
      for (let path = 0; path < PROBES; path++) {
        for (let level = 4; level > 0; level--) {
          const target = level > 1 ? tablePage(path, level - 1) : 15 + path;
          store(
            tablePage(path, level),
            Math.floor(probe(path) / SPAN[level]!) % 512,
            address(target) | P | RW | US,
          );
        }
      }
      for (const { kind, path, level, large, page, flags, rights, all, accesses } of steps) {
        if (kind === 'entry' && model.second[tablePage(path, level)] !== undefined) {
          const leaf = level === 1 || large;
          const target = leaf
            ? level === 1
              ? address(page)
              : BigInt(BASE)
            : address(tablePage(path, level - 1));
          store(
            tablePage(path, level),
            Math.floor(probe(path) / SPAN[level]!) % 512,
            target | flags | (leaf && level > 1 ? PS : 0n),
          );
          const start = probe(path) - (probe(path) % SPAN[level]!);
          if (all) table.invalidate(0, 2 ** 48 - 1, false);
          else table.invalidate(start, start + SPAN[level]! - 1, level === 1);
        } else if (kind === 'unmap') {
          unmapSecond(page);
          delete model.second[page];
        } else if (kind === 'map' && model.second[page] === undefined) {
          mapSecond(page, page, rights);
          model.second[page] = { page, access: rights };
        }
        for (const { path, offset, access } of accesses) {
          const found = at(probe(path) + offset, access);
          assert.equal(found, model.access(probe(path) + offset, access));
          if (found !== NONE) reached++;
        }
        assert.deepEqual(
          Buffer.compare(ram.bytes, Buffer.from(model.entries.buffer)),
          0,
          'the marks are those of the model',
        );
      }
    }),
    { numRuns: 150 },
  );
  assert.ok(reached > 1000, `${reached} accesses that were not refused`);
});

test('a log is of the second stage: pages written there, and those of entries that were marked', () => {
  const { iommu, parent, set, chain } = setup();
  const log = new DirtyLog(BigInt(PAGE));
  log.enabled = true;
  const table = new VtdTable(
    iommu,
    parent,
    { root: BASE, addressWidth: VTD_ADDRESS_WIDTH, extendedAccess: false },
    log,
  );
  const requester = iommu.requester('0000:6a:02.0');
  requester.grant(PASID, table, log);
  chain();
  set(3, 1, address(9) | P | RW | US);
  set(3, 2, address(5) | P | RW | US);
  const dirty = () => {
    const pages = dirtyPages(log).map((page) => page - BASE / PAGE);
    log.clear();
    return pages;
  };
  assert.equal(requester.write(PASID, 2 * PAGE - 8, new Uint8Array(16), 0, 16), undefined);
  assert.deepEqual(dirty(), [0, 1, 2, 3, 5, 9]);
  assert.equal(requester.write(PASID, 2 * PAGE - 1, new Uint8Array(1), 0, 1), undefined);
  assert.deepEqual(dirty(), [9], 'entries are marked once');
  assert.equal(requester.read(PASID, PAGE, new Uint8Array(2 * PAGE), 0, 2 * PAGE), undefined);
  assert.deepEqual(dirty(), []);
});
