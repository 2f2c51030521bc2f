import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dirtyPages } from '../testkit/dirty-pages.js';
import { DirtyLog, DirtyWords } from './dirty-log.js';
import { tableQuota } from './quota.js';

const PAGE = 2048n;
const page = fc.bigInt({ min: 0n, max: 2n ** 53n / PAGE });

test('the log names exactly the pages that were marked and not cleaned since', () => {
  const steps = fc.array(
    fc.record({
      mark: fc.boolean(),
      page: fc.oneof(page, fc.bigInt({ min: 0n, max: 200n })),
      pages: fc.bigInt({ min: 1n, max: 99n }),
    }),
  );
  fc.assert(
    fc.property(steps, (all) => {
      const log = new DirtyLog(PAGE);
      const model = new Set<bigint>();
      for (const { mark, page: first, pages } of all) {
        if (mark) {
          log.mark(first * PAGE + 5n);
          model.add(first);
        } else {
          log.clean(first * PAGE, pages * PAGE);
          for (let at = first; at < first + pages; at++) model.delete(at);
        }
      }
      const expected = [...model].map(Number).sort((a, b) => a - b);
      assert.deepEqual(dirtyPages(log), expected);
    }),
  );
});

test('for any marks and any range, the words are of the pages in it that were marked', () => {
  const near = fc.bigInt({ min: 32_700n, max: 32_850n });
  const some = fc.array(fc.oneof(page, near, fc.bigInt({ min: 0n, max: 99n })));
  const start = fc.oneof(near, fc.bigInt({ min: 0n, max: 99n }));
  const count = fc.oneof(fc.bigInt({ min: 1n, max: 99n }), fc.bigInt({ min: 1n, max: 99_999n }));
  const words = new DirtyWords();
  fc.assert(
    fc.property(some, start, count, (marks, first, pages) => {
      const log = new DirtyLog(PAGE);
      for (const each of marks) log.mark(each * PAGE);
      const within = (each: bigint) => each >= first && each < first + pages;
      const sorted = [...new Set(marks)].sort((a, b) => Number(a - b));
      const inside = sorted.filter(within).map(Number);
      assert.deepEqual(dirtyPages(log, first * PAGE, pages * PAGE), inside);
      for (const part of log.parts(first * PAGE, pages * PAGE)) {
        log.read(part, words);
        for (let n = 0; n < words.count; n++)
          assert.ok(words.bits[n] !== 0 && within(BigInt(words.pages[n]!)));
      }
      log.clean(first * PAGE, pages * PAGE);
      assert.deepEqual(dirtyPages(log), sorted.filter((each) => !within(each)).map(Number));
    }),
  );
});

test('only pages of the range that was asked for are named', () => {
  const log = new DirtyLog(PAGE);
  for (const each of [0n, 1n, 2n, 3n]) log.mark(each * PAGE);
  assert.deepEqual(dirtyPages(log, PAGE, 2n * PAGE), [1, 2]);
});

test('a write makes just the pages dirty that it touches, and none while the log is off', () => {
  const write = fc.record({
    on: fc.boolean(),
    iova: fc.oneof(
      fc.nat(300_000),
      fc.maxSafeNat().map((n) => n % 2 ** 48),
    ),
    length: fc.oneof(fc.nat(5000), fc.nat(2 ** 21)),
  });
  fc.assert(
    fc.property(fc.constantFrom(2048n, 4096n), fc.array(write, { maxLength: 30 }), (pageSize, writes) => {
      const log = new DirtyLog(pageSize);
      const model = new Set<number>();
      for (const { on, iova, length } of writes) {
        log.enabled = on;
        log.written(iova, length);
        if (!on) continue;
        for (let at = iova; at < iova + length; at += Number(pageSize) - (at % Number(pageSize)))
          model.add(Math.floor(at / Number(pageSize)));
      }
      assert.deepEqual(
        dirtyPages(log),
        [...model].sort((a, b) => a - b),
      );
    }),
    { numRuns: 200 },
  );
});

test('a log counts its chunks; without room for one it cannot be read until it is cleared', () => {
  const chunk = 32_768n * PAGE;
  fc.assert(
    fc.property(fc.array(fc.bigInt({ min: 0n, max: 9n }), { maxLength: 30 }), fc.nat(12), (marks, limit) => {
      const quota = tableQuota(limit);
      const log = new DirtyLog(PAGE, quota);
      for (const each of marks) log.mark(each * chunk);
      const chunks = new Set(marks);
      assert.equal(quota.used, Math.min(chunks.size, limit));
      const pages = [...chunks].map((each) => Number(each) * 32_768).sort((a, b) => a - b);
      if (chunks.size <= limit) assert.deepEqual(dirtyPages(log), pages);
      else assert.throws(() => dirtyPages(log), { code: 'ENOMEM', reason: /is incomplete: .* quota of / });
      log.clean(0n, 5n * chunk);
      assert.ok(quota.used <= 5);
      log.clear();
      assert.equal(quota.used, 0);
      assert.deepEqual(dirtyPages(log), []);
    }),
  );
});
