import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { testMachineCodes } from '../testkit/assembler.js';
import { DeviceMemory, deviceMemory } from './device-memory.js';
import { addressOf, libc } from './ffi.js';
import { guardCodes, guardedAddresses } from './memory-guard.js';
import type { SharedPages } from './shared-pages.js';

testMachineCodes(guardCodes);

const PAGE = 4096;
const read = (pages: SharedPages, target: Uint8Array) =>
  libc().pread(pages.fd, addressOf(target), pages.length, 0);
const without = process.platform !== 'linux' || guardedAddresses(0) === undefined || process.arch !== 'x64';

test('memory is zeros, and of whole pages up to 1 GiB', () => {
  assert.deepEqual(deviceMemory(PAGE), new Uint8Array(PAGE));
  for (const length of [0, -PAGE, PAGE + 1, 2 ** 31, Number.NaN]) assert.throws(() => deviceMemory(length));
});

describe('memory that programs have', { skip: without ? 'needs Linux on x86-64' : false }, () => {
  function setUp(t: { after(end: () => void): void }) {
    const bytes = deviceMemory(3 * PAGE);
    const memory = DeviceMemory.of(bytes)!;
    t.after(() => memory.close());
    return { bytes, memory, pages: memory.share(), seen: new Uint8Array(3 * PAGE) };
  }

  test('is the same for both while it is given, and goes along when it is taken', (t) => {
    const { bytes, memory, pages, seen } = setUp(t);
    for (let round = 1; round < 4; round++) {
      bytes[0] = round;
      memory.give();
      bytes[PAGE] = 2 * round;
      libc().pwrite(pages.fd, addressOf(new Uint8Array(128).fill(3 * round)), 1, 100);
      assert.equal(bytes[100], 3 * round);
      assert.equal(read(pages, seen), 3 * PAGE);
      assert.deepEqual(seen, new Uint8Array(bytes));
      memory.take();
      assert.equal(read(pages, seen), 0);
      assert.deepEqual([bytes[0], bytes[100], bytes[PAGE]], [round, 3 * round, 2 * round]);
    }
  });

  test('is other memory for those who share it after it was closed', (t) => {
    const { bytes, memory, pages, seen } = setUp(t);
    memory.give();
    bytes[7] = 7;
    memory.close();
    assert.equal(pages.closed, true);
    const others = memory.share();
    memory.give();
    assert.notEqual(others.inode, pages.inode);
    assert.equal(read(others, seen), 3 * PAGE);
    assert.equal(seen[7], 7);
  });

  test('is empty, and nothing worse, when a program has cut it', (t) => {
    const { bytes, memory, pages, seen } = setUp(t);
    bytes.fill(9);
    memory.give();
    libc().ftruncate(pages.fd, PAGE + 1);
    assert.deepEqual([bytes[PAGE - 1], bytes[PAGE], bytes[PAGE + 1]], [9, 9, 0]);
    assert.equal(bytes[2 * PAGE + 5], 0);
    bytes[2 * PAGE + 5] = 4;
    assert.equal(bytes[2 * PAGE + 5], 4);
    libc().ftruncate(pages.fd, 0);
    assert.equal(bytes[0], 0);
    memory.take();
    bytes[1] = 1;
    memory.give();
    assert.equal(read(pages, seen), 3 * PAGE);
    assert.deepEqual([seen[0], seen[1]], [0, 1]);
  });
});
