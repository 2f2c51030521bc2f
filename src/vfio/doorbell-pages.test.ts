import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addressOf, libc } from '../linux/ffi.js';
import { guardedAddresses } from '../linux/memory-guard.js';
import { DoorbellPages } from './doorbell-pages.js';

const PAGE = 4096;
const OFFSET = 0x1000;
const skip =
  process.platform === 'linux' && guardedAddresses(0) !== undefined && process.arch === 'x64'
    ? false
    : 'needs Linux on x86-64';

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
  const written = (n: number, works: boolean) => doorbells.written(OFFSET + 4 * n, () => works);
  const words = new Uint32Array(PAGE / 4);
  const store = (n: number, value: number) => {
    words[n] = value;
    libc().pwrite(pages.fd, addressOf(new Uint8Array(words.buffer)) + 4 * n, 4, 4 * n);
  };
  const length = () => libc().pread(pages.fd, addressOf(new Uint8Array(PAGE)), PAGE, 0);
  /** Looks until nobody has to any more. */
  const settle = () => {
    while (doorbells.looking) doorbells.lookOn(false, ring);
  };
  return { doorbells, length, rings, takes, ring, written, store, settle };
}

describe('doorbells that a program has mapped', { skip }, () => {
  test('are given when the device works at one, and taken when it has nothing to do', (t) => {
    const { doorbells, length, written, settle, rings } = setUp(t);
    written(1, false);
    assert.deepEqual([doorbells.looking, length()], [false, 0]);
    written(2, true);
    assert.deepEqual([doorbells.looking, length()], [true, PAGE]);
    settle();
    assert.deepEqual([length(), rings], [0, []]);
  });

  test('are heard when somebody has stored, the same value too, once, in ascending order', (t) => {
    const { doorbells, written, store, ring, rings } = setUp(t);
    written(0, true);
    store(900, 7);
    store(3, 1);
    store(3, 2);
    doorbells.hear(ring);
    doorbells.hear(ring);
    store(3, 2);
    doorbells.hear(ring);
    store(3, 0);
    doorbells.hear(ring);
    assert.deepEqual(rings, [
      [OFFSET + 12, 2],
      [OFFSET + 3600, 7],
      [OFFSET + 12, 2],
      [OFFSET + 12, 0],
    ]);
  });

  test('are heard once more when they have been taken', (t) => {
    const { written, store, settle, rings } = setUp(t);
    written(0, true);
    store(5, 3);
    settle();
    assert.deepEqual(rings, [[OFFSET + 20, 3]]);
  });

  test('are looked at for as long as the model cannot take a value', (t) => {
    const { doorbells, written, store, ring, takes, settle, rings } = setUp(t);
    written(0, true);
    takes.word = false;
    store(5, 3);
    const end = performance.now() + 5;
    while (performance.now() < end) doorbells.lookOn(false, ring);
    assert.equal(doorbells.looking, true);
    takes.word = true;
    settle();
    assert.deepEqual(rings, [[OFFSET + 20, 3]]);
  });

  test('are not heard without memory space', (t) => {
    const { doorbells, written, store, ring, settle, rings } = setUp(t);
    written(0, true);
    store(5, 3);
    doorbells.deafen();
    assert.equal(doorbells.looking, false);
    doorbells.hear(ring);
    written(1, true);
    store(0, 1);
    settle();
    assert.deepEqual(rings, [[OFFSET, 1]]);
  });
});
