import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { costs } from '../linux/access-cost.js';
import { Ranges } from '../linux/ranges.js';
import { dirtyPages } from '../testkit/dirty-pages.js';
import { madeBytes } from '../testkit/made-bytes.js';
import { DirtyLog } from './dirty-log.js';
import type { DmaFault } from './fault-log.js';
import { Iommu, READ, WRITE } from './iommu.js';
import { BufferMemory } from './memory.js';
import { PAGE_SIZE } from './page-table.js';
import { pasidOf } from './pasid.js';
import { MOST_WORDS, takeWord } from './word-accesses.js';

function setup() {
  const iommu = new Iommu();
  const requester = iommu.requester('0000:6a:01.0');
  const table = iommu.pageTable();
  const ram = new BufferMemory(new Uint8Array(16 * PAGE_SIZE), 'ram');
  const map = (iova: number, length: number, offset: number, access = READ | WRITE, memory = ram) =>
    table.map(BigInt(iova), BigInt(length), iommu.memories.acquire(memory), BigInt(offset), access);
  return { requester, table, ram, map };
}

/** Memory of which many places are accessed at once, and which ends there, or at the end. */
class Gathering extends BufferMemory {
  calls = 0;
  end = Number.POSITIVE_INFINITY;

  override read(offset: number, target: Uint8Array, at: number, length: number): number {
    return super.read(offset, target, at, Math.max(0, Math.min(length, this.end - offset)));
  }

  override write(offset: number, source: Uint8Array, at: number, length: number): number {
    return super.write(offset, source, at, Math.max(0, Math.min(length, this.end - offset)));
  }

  gather(ranges: Ranges, target: Uint8Array, at: number): number {
    return this.#each(ranges, (offset, done, length) => this.read(offset, target, at + done, length));
  }

  scatter(ranges: Ranges, source: Uint8Array, at: number): number {
    return this.#each(ranges, (offset, done, length) => this.write(offset, source, at + done, length));
  }

  #each(ranges: Ranges, move: (offset: number, done: number, length: number) => number): number {
    this.calls++;
    let done = 0;
    for (let part = 0; part < ranges.count; part++) {
      const moved = move(ranges.addresses[part]!, done, ranges.lengths[part]!);
      done += moved;
      if (moved < ranges.lengths[part]!) break;
    }
    return done;
  }
}

test('many ranges are moved as byte by byte, faults and dirty pages included, whatever maps them', () => {
  const range = fc.tuple(fc.nat(14 * PAGE_SIZE), fc.integer({ min: 1, max: 2 * PAGE_SIZE }));
  const move = fc.record({ write: fc.boolean(), by: fc.nat(9), ranges: fc.array(range, { maxLength: 8 }) });
  const moves = fc.array(move, { maxLength: 10 });
  const PASID = pasidOf(1);
  const ramBytes = madeBytes(setup().ram.bytes.length, (byte) => byte % 251);
  const farBytes = madeBytes(8 * PAGE_SIZE, (byte) => byte % 249);
  const make = (end: number) => {
    const { requester, table, ram, map } = setup();
    const far = new Gathering(farBytes.slice(), 'far');
    far.end = end;
    ram.bytes.set(ramBytes);
    map(PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, READ | WRITE, far);
    map(2 * PAGE_SIZE, PAGE_SIZE, 0, READ | WRITE, far);
    map(3 * PAGE_SIZE, 2 * PAGE_SIZE, 0);
    map(5 * PAGE_SIZE, 5 * PAGE_SIZE, 2 * PAGE_SIZE, READ | WRITE, far);
    map(11 * PAGE_SIZE, 2 * PAGE_SIZE, 3 * PAGE_SIZE, READ);
    const log = new DirtyLog(BigInt(PAGE_SIZE));
    log.enabled = true;
    requester.grant(PASID, table, log);
    return { requester, ram, far, log };
  };
  const ranges = new Ranges();
  fc.assert(
    fc.property(moves, fc.nat(10 * PAGE_SIZE), (list, end) => {
      const [one, other] = [make(end), make(end)];
      for (const { write, by, ranges: parts } of list) {
        ranges.clear();
        for (const [iova, length] of parts) ranges.add(iova, length);
        const bytes = madeBytes(by + ranges.length, (index) => index * 3);
        const expected = bytes.slice();
        const fault = one.requester.move(PASID, ranges, bytes, by, write);
        let done = 0;
        let first: DmaFault | undefined;
        for (const iova of parts.flatMap(([at, n]) => Array.from({ length: n }, (_, byte) => at + byte))) {
          first = other.requester[write ? 'write' : 'read'](PASID, iova, expected, by + done, 1);
          if (first !== undefined) break;
          done++;
        }
        assert.deepEqual(fault, first && { ...first, done });
        assert.ok(Buffer.from(bytes).equals(expected));
      }
      assert.ok(Buffer.from(one.ram.bytes).equals(other.ram.bytes));
      assert.ok(Buffer.from(one.far.bytes).equals(other.far.bytes));
      assert.deepEqual(dirtyPages(one.log), dirtyPages(other.log));
    }),
    { numRuns: 60 },
  );
});

test('what lies in one memory is accessed at once: parts of a list, and mappings of one range', () => {
  const { requester, table, map } = setup();
  const far = new Gathering(new Uint8Array(64 * PAGE_SIZE), 'far');
  for (let page = 0; page < 64; page++)
    map(page * PAGE_SIZE, PAGE_SIZE, (63 - page) * PAGE_SIZE, READ | WRITE, far);
  requester.grant(pasidOf(1), table);
  requester.write(pasidOf(1), 0, new Uint8Array(64 * PAGE_SIZE), 0, 64 * PAGE_SIZE);
  assert.equal(far.calls, 1);
  const ranges = new Ranges();
  for (let byte = 0; byte < 1000; byte++) ranges.add(byte * 100, 1);
  requester.move(pasidOf(1), ranges, new Uint8Array(1000), 0, false);
  assert.equal(far.calls, 2);
});

/** Registers: a word is an access. */
class Registers extends BufferMemory {
  override read(offset: number, target: Uint8Array, at: number, length: number): number {
    let done = 0;
    while (done < length && takeWord()) done += super.read(offset + done, target, at + done, 8);
    return done;
  }
}

test('what is accessed word by word is so to a limit for the whole request, whatever it is made of', () => {
  const { requester, table, map } = setup();
  requester.grant(pasidOf(1), table);
  const half = (MOST_WORDS / 2) * 8;
  for (const n of [0, 1, 2, 3])
    map(n * PAGE_SIZE, PAGE_SIZE, 0, READ, new Registers(new Uint8Array(PAGE_SIZE)));
  const ranges = new Ranges();
  ranges.add(0, half);
  ranges.add(PAGE_SIZE, half);
  const read = () => requester.move(pasidOf(1), ranges, new Uint8Array(4 * PAGE_SIZE), 0, false);
  assert.equal(read(), undefined);
  ranges.add(3 * PAGE_SIZE, 8);
  assert.deepEqual([read()?.iova, read()?.done], [3 * PAGE_SIZE, 2 * half]);
});

/** Memory each access of which comes to as much as so many others. */
class Costly extends Gathering {
  price = 100;

  override gather(ranges: Ranges, target: Uint8Array, at: number): number {
    costs(this.price);
    return super.gather(ranges, target, at);
  }

  override scatter(ranges: Ranges, source: Uint8Array, at: number): number {
    costs(this.price);
    return super.scatter(ranges, source, at);
  }
}

test('a transfer that may end early does so after its effort and one access, and others do the rest', () => {
  const PASID = pasidOf(1);
  const pages = 64;
  const part = fc.tuple(fc.nat(pages - 1), fc.integer({ min: 1, max: PAGE_SIZE }));
  const parts = fc.array(part, { minLength: 1, maxLength: 200 });
  const most = fc.integer({ min: 1, max: 2000 });
  fc.assert(
    fc.property(parts, most, fc.boolean(), fc.boolean(), (list, effort, write, together) => {
      const { requester, table, map } = setup();
      const halves = [0, 1].map((half) => new Costly(new Uint8Array(pages * PAGE_SIZE), `half ${half}`));
      if (together) for (const half of halves) Object.assign(half, { together: { parts: 4, bytes: 5000 } });
      for (let page = 0; page < pages; page++)
        map(page * PAGE_SIZE, PAGE_SIZE, page * PAGE_SIZE, READ | WRITE, halves[page % 2]!);
      requester.grant(PASID, table);
      const all = new Ranges();
      for (const [page, length] of list) all.add(page * PAGE_SIZE, length);
      const bytes = madeBytes(all.length, (at) => at % 253);
      for (const half of halves) half.bytes.fill(7);
      const rest = new Ranges();
      for (let done = 0, before = 0; done < all.length; done += requester.moved) {
        rest.clear();
        rest.appendOf(all, done, all.length - done);
        before = requester.effort;
        assert.equal(requester.move(PASID, rest, bytes, done, write, effort), undefined);
        assert.ok(requester.moved > 0);
        // Each part counts as one, and two accesses may be made after the last look.
        assert.ok(requester.effort - before < effort + 2 * halves[0]!.price + all.count + pages);
      }
      for (let n = 0, at = 0; n < list.length; at += list[n++]![1]) {
        const [page, length] = list[n]!;
        const later = list.slice(n + 1).filter(([other]) => other === page);
        const from = Math.max(0, ...later.map(([, other]) => other));
        if (from >= length) continue;
        const there = halves[page % 2]!.bytes.subarray(page * PAGE_SIZE + from, page * PAGE_SIZE + length);
        assert.ok(
          write ? Buffer.from(there).equals(bytes.subarray(at + from, at + length)) : bytes[at] === 7,
        );
      }
    }),
    { numRuns: 60 },
  );
});
