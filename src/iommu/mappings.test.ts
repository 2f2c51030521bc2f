import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PageTable } from './page-table.js';
import { NONE, TableMemory } from './table-memory.js';

/** Where IOVAs lie: low, on both sides of the signs of their halves, and at the end. */
const PLACES = [0n, 2n ** 31n - 4n, 2n ** 63n - 4n, 2n ** 64n - 16n];
const iovas = fc.tuple(fc.constantFrom(...PLACES), fc.nat(11)).map(([place, n]) => place + BigInt(n));
const step = fc.record({
  kind: fc.constantFrom('map', 'map', 'map', 'unmap', 'unmap', 'take'),
  iova: iovas,
  length: fc.integer({ min: 1, max: 4 }).map(BigInt),
  other: iovas,
});

/** The simple reference: mappings in a list, sorted. */
interface Mapping {
  readonly start: bigint;
  readonly last: bigint;
  readonly slot: number;
}

function sameAs(table: PageTable, list: readonly Mapping[], iova: bigint): void {
  assert.equal(table.count, list.length);
  const from = list.filter((m) => m.last >= iova);
  assert.deepEqual([...table.slots(iova)], from.map(slotOf));
  assert.equal(table.firstFrom(iova), from[0]?.slot ?? NONE);
  assert.equal(table.find(iova), from[0] !== undefined && from[0].start <= iova ? from[0].slot : NONE);
}

const slotOf = ({ slot }: Mapping) => slot;

test('none, one and several mappings are a sorted list, in whatever order they come and go', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30, size: 'max' }), (steps) => {
      const memory = new TableMemory();
      const table = new PageTable(memory);
      let list: Mapping[] = [];
      for (const { kind, iova, length, other } of steps) {
        const end = iova + length - 1n;
        const free = end < 2n ** 64n && list.every((m) => m.last < iova || end < m.start);
        if (kind === 'map' && free) {
          list.push({ start: iova, last: end, slot: table.map(iova, length, 0, 0n, 3) });
          list.sort((a, b) => (a.start < b.start ? -1 : 1));
        }
        const gone = kind === 'unmap' ? list.findIndex((m) => m.last >= iova) : -1;
        if (gone >= 0) for (const { slot } of list.splice(gone, 1)) table.unmap(slot);
        if (kind === 'take') {
          const taken = list.filter((m) => iova <= m.start && m.start <= other);
          seen.add(`${taken.length} of ${list.length}`);
          list = list.filter((m) => !taken.includes(m));
          const bytes: bigint[] = [];
          assert.equal(
            table.takeSome(iova, other, (_, count) => bytes.push(count)),
            false,
          );
          assert.deepEqual(
            bytes,
            taken.map((m) => m.last - m.start + 1n),
          );
        }
        for (const at of [iova, end, other]) if (at < 2n ** 64n) sameAs(table, list, at);
        assert.equal(memory.slotCount, list.length);
      }
    }),
  );
  for (const one of ['0 of 0', '0 of 1', '1 of 1', '1 of 2', '2 of 2']) assert.ok(seen.has(one), one);
});
