import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PageTable } from './page-table.js';
import { NONE, TableMemory } from './table-memory.js';

/** Where IOVAs lie: low, on both sides of the signs of their halves, and at the end. */
const PLACES = [0n, 2n ** 31n - 4n, 2n ** 63n - 4n, 2n ** 64n - 16n];
const iovas = fc.tuple(fc.constantFrom(...PLACES), fc.nat(11)).map(([place, n]) => place + BigInt(n));
interface Step {
  readonly kind: string;
  readonly iova: bigint;
  readonly length: bigint;
  readonly other: bigint;
}
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('map', 'map', 'map', 'unmap', 'unmap', 'take'),
  iova: iovas,
  length: fc.integer({ min: 1, max: 4 }).map(BigInt),
  other: iovas,
});

/** A page is mapped, or all from `iova` to 7 is taken. */
const map = (iova: bigint): Step => ({ kind: 'map', iova, length: 1n, other: iova });
const take = (iova: bigint): Step => ({ kind: 'take', iova, length: 1n, other: 7n });
/** None, one or two of none, one or two mappings are taken at once: tried each time, and not by chance. */
const takes = [
  [take(0n)],
  [map(0n), take(1n)],
  [map(0n), take(0n)],
  [map(0n), map(2n), take(3n)],
  [map(0n), map(2n), take(1n)],
  [map(0n), map(2n), take(0n)],
];

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
          list = list.filter((m) => !taken.includes(m));
          const bytes: bigint[] = [];
          assert.equal(
            table.takeSome(iova, other, (_, hi, lo) =>
              bytes.push(BigInt.asUintN(64, (BigInt(hi) << 32n) + BigInt(lo >>> 0))),
            ),
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
    { examples: takes.map((steps) => [steps]) },
  );
});
