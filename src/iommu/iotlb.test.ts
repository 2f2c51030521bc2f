import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Iotlb, MORE_PAGES } from './iotlb.js';
import { type Quota, tableQuota } from './quota.js';
import {
  LAST_HI,
  MAPPING_WORDS,
  MEMORY,
  NONE,
  OFFSET_HI,
  START_HI,
  TableMemory,
  TWO_32,
} from './table-memory.js';

const PAGE = 4096;
// Pages that meet in one place, pages beside each other, and the borders of the halves of an IOVA.
const pages = fc.oneof(
  fc.nat(9).map((n) => n * 1024 * PAGE),
  fc.nat(5).map((n) => TWO_32 - 3 * PAGE + n * PAGE),
  fc.nat(2 ** 35).map((n) => n * PAGE),
);
const step = fc.record({
  kind: fc.oneof(
    { weight: 40, arbitrary: fc.constantFrom('keep', 'keep', 'keep', 'invalidate', 'clear') },
    { weight: 1, arbitrary: fc.constant('crowd') },
  ),
  page: pages,
  /** Pages before and after it that belong to the same translation, or are invalidated with it. */
  before: fc.constantFrom(0, 0, 0, 0, 0, 1, 3),
  after: fc.constantFrom(0, 0, 0, 0, 0, 1, 3, 1030),
  memory: fc.nat(100),
  rights: fc.constantFrom(1, 2, 3),
});

/** Pages that its context may have. */
const quota = fc.constantFrom(0, MORE_PAGES, 2 * MORE_PAGES - 1, 2 * MORE_PAGES, 1000);

/** What a find in the IOTLB has given; every translation here leads to twice its IOVA. */
function keptIn(tables: TableMemory, kept: number) {
  const slot = kept >> 2;
  const start = tables.wide(slot, START_HI);
  assert.equal(tables.wide(slot, OFFSET_HI), 2 * start);
  const memory = tables.mappings[slot * MAPPING_WORDS + MEMORY];
  return { start, last: tables.wide(slot, LAST_HI), memory, rights: kept & 3 };
}

/** Keeps so much that it wants more places, which it gets out of the first half of `pages`. */
function crowd(iotlb: Iotlb, pages: Quota): void {
  for (let n = 0; n < 10_000; n++) iotlb.keepPage(0x8000 | (n >>> 5), n << 27, 1, 0, 2 * n, 3, 0, 3 * n);
  assert.equal(pages.used, pages.limit >= 2 * MORE_PAGES ? MORE_PAGES : 0);
}

test('what is found is what was kept last for that page, unless an invalidation touched it', () => {
  let found = 0;
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60, size: 'max' }),
      fc.boolean(),
      quota,
      (steps, crowded, most) => {
        const tables = new TableMemory();
        const pages = tableQuota(most);
        const iotlb = new Iotlb(tables, pages);
        if (crowded) crowd(iotlb, pages);
        const model = new Map<number, { start: number; last: number; memory: number; rights: number }>();
        for (const { kind, page, before, after, memory, rights } of steps) {
          const start = Math.max(0, page - before * PAGE);
          const last = page + (after + 1) * PAGE - 1;
          if (kind === 'keep') {
            const [hi, lo] = [Math.floor(page / TWO_32), page >>> 0];
            const [twice, thrice] = [2 * start, 3 * start].map(
              (at) => [Math.floor(at / TWO_32), at | 0] as const,
            );
            const kept =
              before + after === 0
                ? iotlb.keepPage(hi, (lo + 17) | 0, memory, ...twice!, rights, ...thrice!)
                : iotlb.keep(hi, lo, start, last, memory, 2 * start, rights, 3 * start);
            assert.equal(
              iotlb.second(page + 17),
              3 * start + (page - start) + 17,
              'and where it is in the second stage',
            );
            assert.equal(
              kept,
              iotlb.find(Math.floor(page / TWO_32), (page >>> 0) + 17),
              'what was kept just now is there',
            );
            model.set(page, { start, last, memory, rights });
          } else if (kind === 'invalidate') {
            iotlb.invalidate(start, last);
            for (const [at, kept] of model) if (kept.start <= last && start <= kept.last) model.delete(at);
          } else if (kind === 'crowd') crowd(iotlb, pages);
          else {
            iotlb.clear();
            model.clear();
          }
          for (const { page } of steps) {
            const kept = iotlb.find(Math.floor(page / TWO_32), page >>> 0);
            if (kept === NONE) continue;
            found++;
            assert.deepEqual(keptIn(tables, kept), model.get(page));
          }
        }
        iotlb.close();
        assert.equal(tables.cachedCount, 0);
        assert.equal(pages.used, 0);
      },
    ),
    { numRuns: 300 },
  );
  assert.ok(found > 1000, `${found} that were found`);
});
