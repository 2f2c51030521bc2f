/** First-stage tables whose owner changes them while they are walked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { A, address, D, EA, P, PAGE, PAGES, PS, RW, setup, US } from '../testkit/two-stages.js';
import { READ, WRITE } from './access.js';
import { BufferMemory } from './memory.js';
import { NONE } from './table-memory.js';

/** Pages 0 to 7 are tables, and 24 to 31 what the second stage lets only be read. */
const TABLES = 8;
const READ_ONLY = 24;
const MARKS = A | D | EA;

/** Memory whose owner writes into it between any two reads of entries. */
class RestlessMemory extends BufferMemory {
  change: () => void = () => {};

  override read(offset: number, target: Uint8Array, at: number, length: number): number {
    this.change();
    return super.read(offset, target, at, length);
  }
}

const entry = fc
  .tuple(fc.nat(PAGES + 1), fc.constantFrom(P | RW | US, P | RW | US, P | US, P | RW, RW | US), fc.nat(40))
  .map(([page, flags, other]) => {
    const strange = [PS, 1n << 50n, 1n << 13n, MARKS, 1n << 63n][other] ?? 0n;
    return address(page) | flags | strange;
  });
/** Most are of the last level; others lead elsewhere, to pages of data too. */
const change = fc.oneof(
  { weight: 6, arbitrary: fc.record({ page: fc.constant(3), index: fc.nat(3), entry }) },
  { weight: 1, arbitrary: fc.record({ page: fc.nat(TABLES - 1), index: fc.nat(3), entry }) },
);
const access = fc.record({ page: fc.nat(3), access: fc.constantFrom(READ, WRITE) });

test('a table that changes under the walk leads only where the second stage does, with its rights', () => {
  let reached = 0;
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1, maxLength: 60, size: 'max' }),
      fc.array(access, { minLength: 1, maxLength: 40, size: 'max' }),
      (changes, accesses) => {
        const ram = new RestlessMemory(new Uint8Array(PAGES * PAGE), 'ram');
        const { set, at, chain, entries, mapSecond, unmapSecond } = setup({ ram });
        for (let page = READ_ONLY; page < PAGES; page++) {
          unmapSecond(page);
          mapSecond(page, page, READ);
        }
        for (let index = 0; index < 4; index++) set(3, index, address(TABLES + index) | P | RW | US);
        let next = 0;
        ram.change = () => {
          const { page, index, entry } = changes[next++ % changes.length]!;
          set(page, index, entry);
        };
        for (const { page, access } of accesses) {
          chain();
          const found = at(page * PAGE, access);
          if (found === NONE) continue;
          reached++;
          assert.ok(found < PAGES * PAGE && (access === READ || found < READ_ONLY * PAGE), `byte ${found}`);
        }
        // What is no table, and was never taken for one, has no marks.
        const beyond = entries.subarray((READ_ONLY * PAGE) / 8);
        assert.ok(beyond.every((word) => word === 0n));
      },
    ),
    { numRuns: 300 },
  );
  assert.ok(reached > 500, `${reached} accesses that were not refused`);
});

test('when its owner has stopped and invalidated all, a table that was changing is walked as it is', () => {
  const ram = new RestlessMemory(new Uint8Array(PAGES * PAGE), 'ram');
  const { set, at, chain, table } = setup({ ram });
  chain();
  let turn = 0;
  ram.change = () => set(3, 1, address(9 + (turn++ % 8)) | (turn % 3 === 0 ? 0n : P | RW | US));
  for (let n = 0; n < 100; n++) {
    at(PAGE, n % 2 === 0 ? READ : WRITE);
    if (n % 5 === 0) table.invalidate(PAGE, 2 * PAGE - 1, true);
  }
  ram.change = () => {};
  set(3, 1, address(20) | P | RW | US);
  table.invalidateAll();
  assert.equal(at(PAGE, WRITE), 20 * PAGE);
});
