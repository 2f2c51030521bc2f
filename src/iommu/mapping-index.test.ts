import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MappingIndex } from './mapping-index.js';
import { halves, LAST_HI, NONE, START_HI, split, TableMemory } from './table-memory.js';

/** Where IOVAs lie: their low halves below and above the sign, their high halves too. */
const PLACES = [0n, 2n ** 31n - 40n, 2n ** 32n - 40n, 2n ** 63n - 40n, 2n ** 64n - 110n];
const iovas = fc.tuple(fc.constantFrom(...PLACES), fc.nat(79)).map(([place, n]) => place + BigInt(n));
const kinds = ['insert', 'insert', 'insert', 'insert', 'insert', 'remove', 'replace', 'take', 'seek', 'list'];
const step = fc.record({
  kind: fc.constantFrom(...kinds),
  iova: iovas,
  length: fc.integer({ min: 1, max: 3 }).map(BigInt),
  other: iovas,
  /** Is `other` looked for after it? The position stays where it is otherwise. */
  looks: fc.boolean(),
});

/** The simple reference: mappings in a list, sorted. */
interface Mapping {
  readonly start: bigint;
  readonly last: bigint;
  readonly slot: number;
}

function setup() {
  const memory = new TableMemory();
  const index = new MappingIndex(memory, 4);
  return {
    index,
    seek: (iova: bigint) => {
      split(iova);
      return index.seek(halves[1]!, halves[0]!);
    },
    insert: (start: bigint, last: bigint) => {
      const slot = memory.allocSlot();
      memory.store(slot, START_HI, start);
      memory.store(slot, LAST_HI, last);
      index.insert(slot);
      return slot;
    },
    takeHighest: (first: bigint, last: bigint) => {
      split(first);
      const [hi, lo] = [halves[1]!, halves[0]!];
      split(last);
      return index.takeHighest(hi, lo, halves[1]!, halves[0]!);
    },
    from: (iova: bigint) => {
      split(iova);
      return [...index.from(halves[1]!, halves[0]!)];
    },
  };
}

test('an index of chunks is a sorted list, wherever the last search has ended', () => {
  let found = 0;
  let replaced = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const { index, seek, insert, takeHighest, from } = setup();
      const list: Mapping[] = [];
      const firstFrom = (iova: bigint) => list.findIndex((m) => m.last >= iova);
      const add = (start: bigint, last: bigint) => {
        const at = firstFrom(start);
        const next = list[at];
        if (next !== undefined && next.start <= last) return false;
        list.splice(at < 0 ? list.length : at, 0, { start, last, slot: insert(start, last) });
        return true;
      };
      for (const { kind, iova, length, other, looks } of steps) {
        const at = firstFrom(iova);
        const next = list[at];
        if (kind === 'insert') add(iova, iova + length - 1n);
        else if (kind === 'remove' || kind === 'replace') {
          if (next === undefined) continue;
          assert.equal(seek(iova), next.slot);
          index.remove();
          list.splice(at, 1);
          if (kind === 'replace' && add(next.start, next.start + length - 1n)) replaced++;
        } else if (kind === 'take') {
          takeAll(list, iova, iova + 4n * length, takeHighest);
        } else if (kind === 'list')
          assert.deepEqual(
            from(iova),
            list.filter((m) => m.last >= iova).map((m) => m.slot),
          );
        if (looks) assert.equal(seek(other), list[firstFrom(other)]?.slot ?? NONE);
        assert.equal(index.count, list.length);
        if (list.length > 12) found++;
      }
      assert.deepEqual(
        from(0n),
        list.map((m) => m.slot),
      );
    }),
    { numRuns: 400 },
  );
  assert.ok(found > 1000, `${found} steps with more than three chunks`);
  assert.ok(replaced > 1000, `${replaced} mappings were put in the place of others`);
});

/** Takes all that begins in [low, high] out of both, in turns from the top, and compares each. */
function takeAll(
  list: Mapping[],
  low: bigint,
  high: bigint,
  takeHighest: ReturnType<typeof setup>['takeHighest'],
): void {
  for (let more = true; more; ) {
    const run = takeHighest(low, high);
    const end = list.filter((m) => m.start <= high).length;
    const taken = list.splice(end - run.slots.length, run.slots.length);
    assert.deepEqual(
      run.slots,
      taken.map((m) => m.slot),
    );
    assert.ok(taken.every((m) => low <= m.start));
    if (taken.length > 0) {
      assert.equal(run.before, list[end - taken.length - 1]?.slot ?? NONE);
      assert.equal(run.next, list[end - taken.length]?.slot ?? NONE);
    }
    more = run.more && run.slots.length > 0;
  }
  assert.ok(!list.some((m) => low <= m.start && m.start <= high), 'nothing of the range is left');
}
