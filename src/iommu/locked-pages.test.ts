import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Refusal, refuse } from '../linux/errno.js';
import { BrokenInvariant } from '../linux/invariant.js';
import type { Locker } from '../linux/locked-memory.js';
import { LockedPages } from './locked-pages.js';

const PAGE = 4096n;

class Limited implements Locker {
  readonly #limit: number;
  used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  lock(pages: number): void {
    assert.ok(pages > 0);
    if (this.used + pages > this.#limit) refuse('ENOMEM', `${pages} are too many beside ${this.used}`);
    this.used += pages;
  }

  unlock(pages: number): void {
    assert.ok(pages > 0);
    this.used -= pages;
  }
}

const ranges = fc.array(
  fc.tuple(fc.nat({ max: 24 }), fc.integer({ min: 1, max: 9 }), fc.boolean(), fc.nat()),
  { maxLength: 60 },
);

test('a page counts once, however many mappings pin it, and what is refused changes nothing', () => {
  fc.assert(
    fc.property(ranges, fc.integer({ min: 4, max: 40 }), (steps, limit) => {
      const locker = new Limited(limit);
      const pages = new LockedPages(locker);
      const pinned: (readonly [number, number])[] = [];
      const distinct = (all: typeof pinned) =>
        new Set(all.flatMap(([from, count]) => Array.from({ length: count }, (_, i) => from + i))).size;
      for (const [from, count, unpins, which] of steps) {
        if (unpins && pinned.length > 0) {
          const [gone] = pinned.splice(which % pinned.length, 1);
          pages.unpin(BigInt(gone![0]) * PAGE, BigInt(gone![1]) * PAGE);
        } else if (distinct([...pinned, [from, count]]) > limit) {
          assert.throws(() => pages.pin(BigInt(from) * PAGE, BigInt(count) * PAGE), Refusal);
        } else {
          pages.pin(BigInt(from) * PAGE, BigInt(count) * PAGE);
          pinned.push([from, count]);
        }
        assert.equal(locker.used, distinct(pinned));
      }
      for (const [from, count] of pinned) pages.unpin(BigInt(from) * PAGE, BigInt(count) * PAGE);
      assert.equal(locker.used, 0);
    }),
  );
});

test('each page counts that a byte of the range is in', () => {
  const locker = new Limited(10);
  const pages = new LockedPages(locker);
  pages.pin(PAGE - 1n, 2n);
  assert.equal(locker.used, 2);
  pages.unpin(PAGE - 1n, 2n);
  assert.equal(locker.used, 0);
});

test('pages that nobody has pinned are not unpinned', () => {
  const pages = new LockedPages(new Limited(10));
  pages.pin(0n, PAGE);
  assert.throws(() => pages.unpin(0n, 2n * PAGE), BrokenInvariant);
});
