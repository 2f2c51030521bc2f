import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { guardedCopy } from '../linux/guarded-copy.js';
import { DoorbellPages } from './doorbell-pages.js';

const PAGE = 4096;
const OFFSET = 0x1000;
const skip = process.platform === 'linux' && guardedCopy() !== undefined ? false : 'needs Linux';

/** Doorbells that a program has mapped, and what the model was written. */
function setUp(t: { after(end: () => void): void }) {
  const doorbells = new DoorbellPages(OFFSET, PAGE);
  const pages = doorbells.share();
  t.after(() => doorbells.close());
  const rings: (readonly [offset: number, value: number])[] = [];
  const takes = { word: true };
  const ring = (offset: number, word: Uint8Array) => {
    if (takes.word) rings.push([offset, new Uint32Array(word.slice().buffer)[0]!]);
    return takes.word;
  };
  const written = (n: number, value: number, works: boolean) =>
    doorbells.written(OFFSET + 4 * n, new Uint8Array(Uint32Array.of(value).buffer), () => works);
  const words = new Uint32Array(PAGE / 4);
  const store = (n: number, value: number) => {
    words[n] = value;
    pages.store(new Uint8Array(words.buffer), 4 * n, 4);
  };
  /** Looks until nobody has to any more. */
  const settle = () => {
    while (doorbells.looking) doorbells.lookOn(false, ring);
  };
  return { doorbells, pages, rings, takes, ring, written, store, settle };
}

describe('doorbells that a program has mapped', { skip }, () => {
  test('are given when the device works at one, and taken when it has nothing to do', (t) => {
    const { doorbells, pages, written, settle, rings } = setUp(t);
    const now = new Uint8Array(PAGE);
    written(1, 5, false);
    assert.deepEqual([doorbells.looking, pages.read(now)], [false, 0]);
    written(2, 6, true);
    assert.deepEqual([doorbells.looking, pages.read(now)], [true, PAGE]);
    assert.deepEqual([now[4], now[8]], [5, 6]);
    settle();
    assert.deepEqual([pages.read(now), rings], [0, []]);
  });

  test('are heard when their value has changed, once, in ascending order', (t) => {
    const { doorbells, written, store, ring, rings } = setUp(t);
    written(0, 1, true);
    store(900, 7);
    store(3, 1);
    store(3, 2);
    doorbells.hear(ring);
    doorbells.hear(ring);
    written(3, 9, true);
    doorbells.hear(ring);
    assert.deepEqual(rings, [
      [OFFSET + 12, 2],
      [OFFSET + 3600, 7],
    ]);
  });

  test('are heard once more when they have been taken', (t) => {
    const { written, store, settle, rings } = setUp(t);
    written(0, 1, true);
    store(5, 3);
    settle();
    assert.deepEqual(rings, [[OFFSET + 20, 3]]);
  });

  test('are looked at for as long as the model cannot take a value', (t) => {
    const { doorbells, written, store, ring, takes, settle, rings } = setUp(t);
    written(0, 1, true);
    takes.word = false;
    store(5, 3);
    const end = performance.now() + 5;
    while (performance.now() < end) doorbells.lookOn(false, ring);
    assert.equal(doorbells.looking, true);
    takes.word = true;
    settle();
    assert.deepEqual(rings, [[OFFSET + 20, 3]]);
  });

  test('are not heard without memory space, and are zeros after a reset', (t) => {
    const { doorbells, written, store, ring, settle, rings } = setUp(t);
    written(0, 1, true);
    store(5, 3);
    doorbells.deafen();
    assert.equal(doorbells.looking, false);
    doorbells.hear(ring);
    doorbells.reset();
    written(1, 4, true);
    store(0, 1);
    settle();
    assert.deepEqual(rings, [[OFFSET, 1]]);
  });
});
