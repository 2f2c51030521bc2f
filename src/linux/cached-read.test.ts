import assert from 'node:assert/strict';
import { closeSync, fsyncSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { madeBytes } from '../testkit/made-bytes.js';
import { readCached } from './cached-read.js';
import { addressOf } from './ffi.js';
import { ScatterList } from './scatter-list.js';

const folder = mkdtempSync(join(tmpdir(), 'ioasid-cached-'));
const path = join(folder, 'file');
const fd = openSync(path, 'w+');
after(() => {
  closeSync(fd);
  rmSync(folder, { recursive: true });
});
const content = madeBytes(10_000, (i) => (i * 7 + (i >> 8)) & 0xff);
writeSync(fd, content);
fsyncSync(fd);
const buffer = new Uint8Array(8192);

const skip = readCached(fd, buffer, 4096, 0) ? false : `no reads without a wait in ${folder}`;

describe('reads of what is in memory', { skip }, () => {
  test('have the bytes of the file, and touch nothing beside them', () => {
    for (const [length, offset] of [
      [8192, 0],
      [1, 9999],
      [513, 4095],
    ] as const) {
      buffer.fill(0xee);
      assert.equal(readCached(fd, buffer, length, offset), true);
      assert.deepEqual(buffer.subarray(0, length), content.subarray(offset, offset + length));
      assert.ok(buffer.subarray(length).every((byte) => byte === 0xee));
    }
  });

  test('are none when the file ends before, or there is no file', () => {
    assert.equal(readCached(fd, buffer, 8192, 4096), false);
    assert.equal(readCached(fd, buffer, 10, 10_000), false);
    assert.equal(readCached(-1, buffer, 10, 0), false);
  });

  test('are none into an array that is too short, whatever else its length', () => {
    assert.equal(readCached(fd, buffer, 8193, 0), false);
    assert.equal(readCached(fd, new Uint8Array(8), 8, 0), true);
    assert.equal(readCached(fd, new Uint8Array(8), 9, 0), false);
  });

  test('see at once what was written, and cut off', () => {
    writeSync(fd, Uint8Array.of(1, 2, 3), 0, 3, 100);
    assert.equal(readCached(fd, buffer, 3, 100), true);
    assert.deepEqual([...buffer.subarray(0, 3)], [1, 2, 3]);
    ftruncateSync(fd, 200);
    assert.equal(readCached(fd, buffer, 200, 100), false);
  });

  test('fill the places of a list one after the other, those that touch as one', () => {
    writeSync(fd, content, 0, content.length, 0);
    const list = new ScatterList(3);
    const at = addressOf(buffer);
    for (let round = 0; round < 2; round++) {
      list.clear();
      buffer.fill(0xee);
      for (const [place, length] of [
        [4000, 50],
        [4050, 50],
        [100, 10],
        [110, 90],
        [7000, 1],
      ] as const)
        assert.equal(list.add(at + place, length), true);
      assert.equal(list.add(at + 8000, 1), false, 'a fourth place');
      assert.equal(list.read(fd, 1000), true);
      assert.deepEqual(buffer.subarray(4000, 4100), content.subarray(1000, 1100));
      assert.deepEqual(buffer.subarray(100, 200), content.subarray(1100, 1200));
      assert.equal(buffer[7000], content[1200]);
      assert.equal(buffer.filter((byte) => byte !== 0xee).length, 201 - holes(1000, 1201));
    }
    assert.equal(list.read(fd, content.length - 200), false, 'the file ends before');
    assert.equal(list.read(-1, 0), false);
  });
});

/** Bytes of the file from `start` to `end` that are what the buffer was filled with. */
function holes(start: number, end: number): number {
  return content.subarray(start, end).filter((byte) => byte === 0xee).length;
}
