import assert from 'node:assert/strict';
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import type { Memory } from '../iommu/memory.js';
import { account, Child, descriptors, PAGE } from '../testkit/child.js';
import { madeBytes } from '../testkit/made-bytes.js';
import { refused } from '../testkit/refused.js';
import { Refusal } from './errno.js';
import { type FileMemory, fileMemory } from './file-memory.js';
import { canGuardHoles } from './hole-guard.js';
import { ScatterList } from './scatter-list.js';

const READ = 1;
const WRITE = 2;
const BOTH = READ | WRITE;
const TMPFS_MAGIC = 0x01021994;
const SEAL_SHRINK = 2;
const SEAL_WRITE = 8;
const SEAL_FUTURE_WRITE = 16;

const child = new Child();
after(() => child.kill());

test('FileMemory is a Memory that is named after its memfd', async () => {
  const fd = await child.memfd('guest ram', PAGE);
  const memory: Memory = fileMemory(account, child.pid, fd, 0, PAGE, READ).memory;
  assert.equal(memory.description, 'memfd:guest ram');
  assert.equal(memory.onDisk, false);
  memory.close();
});

for (const [kind, seals] of [
  ['an unsealed memfd', 0],
  ['a memfd sealed against shrinking', SEAL_SHRINK],
] as const) {
  test(`random transfers with ${kind} equal a model buffer, and stop at its end`, async () => {
    const size = 5 * PAGE;
    const fd = await child.memfd('model', size, seals);
    const { memory } = fileMemory(account, child.pid, fd, 0, size, BOTH);
    const model = new Uint8Array(size);
    const transfer = fc.record({
      write: fc.boolean(),
      from: fc.nat(size),
      length: fc.nat(2 * PAGE),
      at: fc.nat(50),
      fill: fc.nat(255),
    });
    fc.assert(
      fc.property(transfer, ({ write, from, length, at, fill }) => {
        const buffer = new Uint8Array(length + at).fill(fill);
        const done = write ? memory.write(from, buffer, at, length) : memory.read(from, buffer, at, length);
        assert.equal(done, from + length <= size ? length : 0);
        if (write) model.fill(fill, from, from + done);
        else assert.deepEqual(buffer.subarray(at, at + done), model.subarray(from, from + done));
        assert.ok(buffer.subarray(0, at).every((byte) => byte === fill));
      }),
      { numRuns: 300 },
    );
    const at = await child.call('mmap', 0, size, 3, 1, fd, 0);
    assert.deepEqual(await child.peek(at, size), model);
    memory.close();
  });
}

/** Reads our file straight to `memory`. @returns whether all is there. */
function receive(memory: FileMemory, offset: number, fd: number, position: number, length: number): boolean {
  const places = new ScatterList();
  return memory.place(offset, length, places, 2) && places.read(fd, position);
}

test('a file of ours is received whole or not at all, and no page of the memory is made for it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-received-'));
  const file = join(folder, 'file');
  const bytes = madeBytes(4 * PAGE, (i) => (i * 7 + (i >> 8)) & 0xff);
  writeFileSync(file, bytes);
  const fd = openSync(file, 'r');
  const guest = await child.memfd('receiving', 4 * PAGE);
  const { memory } = fileMemory(account, child.pid, guest, 0, 4 * PAGE, BOTH);
  const target = new Uint8Array(2 * PAGE);
  memory.write(0, target.fill(1), 0, 2 * PAGE);
  assert.equal(receive(memory, 100, fd, 50, PAGE), true);
  assert.equal(memory.read(0, target, 0, 2 * PAGE), 2 * PAGE);
  assert.deepEqual(target.subarray(100, 100 + PAGE), bytes.subarray(50, 50 + PAGE));
  assert.ok(target.subarray(0, 100).every((byte) => byte === 1));
  assert.ok(target.subarray(100 + PAGE).every((byte) => byte === 1));
  if (canGuardHoles()) assert.equal(receive(memory, PAGE, fd, 0, 2 * PAGE), false, 'page 2 is a hole');
  assert.equal(receive(memory, 0, fd, 3 * PAGE + 1, PAGE), false, 'the file ends before');
  assert.equal(receive(memory, 4 * PAGE - 8, fd, 0, 16), false, 'the memory ends before');
  await child.call('ftruncate', guest, PAGE);
  assert.equal(receive(memory, PAGE, fd, 0, 8), false, 'the memory has shrunk');
  const reader = fileMemory(account, child.pid, await child.memfd('read', PAGE), 0, PAGE, READ).memory;
  assert.equal(receive(reader, 0, fd, 0, 8), false, 'the memory is for reading');
  for (const each of [memory, reader]) each.close();
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

test('a file that is truncated after it was mapped gives short transfers, and never grows', async () => {
  const fd = await child.memfd('shrinking', 4 * PAGE);
  const { memory } = fileMemory(account, child.pid, fd, 0, 4 * PAGE, BOTH);
  const buffer = new Uint8Array(4 * PAGE).fill(5);
  assert.equal(memory.write(0, buffer, 0, 4 * PAGE), 4 * PAGE);
  assert.equal(await child.call('ftruncate', fd, 2 * PAGE), 0);
  assert.equal(memory.read(PAGE, buffer, 0, 3 * PAGE), PAGE);
  assert.equal(memory.write(PAGE, buffer, 0, 3 * PAGE), PAGE);
  assert.equal(memory.write(2 * PAGE, buffer, 0, 1), 0);
  assert.equal(memory.read(2 * PAGE, buffer, 0, 1), 0);
  assert.equal(await child.call('lseek', fd, 0, 2), 2 * PAGE);
  assert.equal(await child.call('ftruncate', fd, 0), 0);
  assert.equal(memory.write(0, buffer, 0, PAGE), 0);
  memory.close();
});

test('a file that another process truncates all the time gives bytes of it, or fewer', async (t) => {
  const other = new Child();
  t.after(() => other.kill());
  const size = 64 * PAGE;
  const fd = await other.memfd('restless', size);
  const { memory } = fileMemory(account, other.pid, fd, 0, size, BOTH);
  t.after(() => memory.close());
  await other.order('resize', fd, size);
  const source = new Uint8Array(size);
  const target = new Uint8Array(size);
  const written = new Set([0]);
  const words = new Int32Array(target.buffer);
  const has = (from: number, to: number) => target.subarray(from, to).every((byte) => written.has(byte));
  /** Have the first `length` bytes that were read been written? Most words are as the one before. */
  const areWritten = (length: number) =>
    words.subarray(0, length >> 2).every((word, n) => word === words[n - 1] || has(4 * n, 4 * n + 4)) &&
    has(length & ~3, length);
  const seen = { whole: 0, part: 0, none: 0 };
  for (let round = 0; round < 2000 || Math.min(seen.whole, seen.part, seen.none) < 20; round++) {
    written.add((round % 250) + 1);
    const wrote = memory.write(0, source.fill((round % 250) + 1), 0, size);
    target.fill(255);
    const read = memory.read(0, target, 0, size);
    // It may end inside a page, where that was taken away while it was copied.
    assert.ok(areWritten(read));
    for (const done of [wrote, read]) seen[done === size ? 'whole' : done > 0 ? 'part' : 'none']++;
    if (round % 100 === 0) await turn();
  }
});

test('a memfd sealed against shrinking cannot be truncated under us', async () => {
  const fd = await child.memfd('sealed', 4 * PAGE, SEAL_SHRINK);
  const { memory } = fileMemory(account, child.pid, fd, 0, 4 * PAGE, BOTH);
  assert.equal(await child.call('ftruncate', fd, PAGE), -1);
  assert.equal(memory.write(3 * PAGE, new Uint8Array(PAGE), 0, PAGE), PAGE);
  memory.close();
});

test('a file that has grown can be mapped to its new end, by the same object', async () => {
  const fd = await child.memfd('growing', PAGE, SEAL_SHRINK);
  const first = fileMemory(account, child.pid, fd, 0, PAGE, BOTH).memory;
  assert.equal(first.write(PAGE, new Uint8Array(8), 0, 8), 0);
  await child.call('ftruncate', fd, 3 * PAGE);
  const second = fileMemory(account, child.pid, fd, PAGE, 2 * PAGE, BOTH);
  assert.equal(second.memory, first);
  assert.equal(first.write(second.offset, new Uint8Array(8).fill(3), 0, 8), 8);
  first.close();
  second.memory.close();
});

test('one file is one object with one descriptor for each open mode, until its last close', async () => {
  const fd = await child.memfd('shared', PAGE);
  const readOnly = await child.call('open', `/proc/self/fd/${fd}`, constants.O_RDONLY, 0);
  const before = descriptors();
  const first = fileMemory(account, child.pid, fd, 0, PAGE, BOTH).memory;
  const others = Array.from({ length: 10 }, () => fileMemory(account, child.pid, fd, 0, PAGE, READ).memory);
  assert.ok(others.every((memory) => memory === first));
  assert.equal(descriptors().length, before.length + 1);
  const other = fileMemory(account, child.pid, readOnly, 0, PAGE, READ).memory;
  assert.notEqual(other, first);
  assert.equal(other.write(0, new Uint8Array(8), 0, 8), 0);
  for (const memory of [first, other, ...others]) memory.close();
  assert.deepEqual(descriptors(), before);
  assert.equal(first.read(0, new Uint8Array(8), 0, 8), 0);
});

test('the memory of a file outlives the process that mapped it', async () => {
  const mortal = new Child();
  const fd = await mortal.memfd('survivor', PAGE);
  const { memory } = fileMemory(account, mortal.pid, fd, 0, PAGE, BOTH);
  memory.write(0, Uint8Array.of(1, 2, 3), 0, 3);
  await mortal.kill();
  const target = new Uint8Array(3);
  assert.equal(memory.read(0, target, 0, 3), 3);
  assert.deepEqual(target, Uint8Array.of(1, 2, 3));
  memory.close();
});

test('rights that the descriptor does not give are refused with EACCES', async () => {
  const fd = await child.memfd('rights', PAGE);
  const path = `/proc/self/fd/${fd}`;
  const readOnly = await child.call('open', path, constants.O_RDONLY, 0);
  const writeOnly = await child.call('open', path, constants.O_WRONLY, 0);
  refused(() => fileMemory(account, child.pid, readOnly, 0, PAGE, BOTH), 'EACCES', /not open for writing/);
  refused(() => fileMemory(account, child.pid, writeOnly, 0, PAGE, WRITE), 'EACCES', /not open for reading/);
  for (const seal of [SEAL_WRITE, SEAL_FUTURE_WRITE]) {
    const sealed = await child.memfd('sealed', PAGE, seal);
    refused(() => fileMemory(account, child.pid, sealed, 0, PAGE, WRITE), 'EACCES', /sealed against writing/);
    const { memory } = fileMemory(account, child.pid, sealed, 0, PAGE, READ);
    assert.equal(memory.read(0, new Uint8Array(8), 0, 8), 8);
    assert.equal(memory.write(0, new Uint8Array(8), 0, 8), 0);
    memory.close();
  }
});

test('descriptors that name no mappable file are refused', async () => {
  const path = await child.call('open', '/', 0o10000000, 0);
  const memfd = await child.memfd('path', PAGE);
  const named = await child.call('open', `/proc/self/fd/${memfd}`, 0o10000000, 0);
  const folder = await child.call('open', '/', constants.O_RDONLY, 0);
  const device = await child.call('open', '/dev/null', constants.O_RDWR, 0);
  const counter = await child.call('eventfd', 0, 0);
  const proc = await child.call('open', '/proc/self/status', constants.O_RDONLY, 0);
  refused(() => fileMemory(account, child.pid, path, 0, PAGE, READ), 'EBADF', /O_PATH/);
  refused(() => fileMemory(account, child.pid, named, 0, PAGE, READ), 'EBADF', /O_PATH/);
  refused(() => fileMemory(account, child.pid, folder, 0, PAGE, READ), 'EINVAL', /is a directory/);
  refused(() => fileMemory(account, child.pid, device, 0, PAGE, READ), 'EINVAL', /is a character device/);
  refused(() => fileMemory(account, child.pid, counter, 0, PAGE, READ), 'EINVAL', /is no file/);
  refused(() => fileMemory(account, child.pid, proc, 0, PAGE, READ), 'EINVAL', /on a proc filesystem/);
});

test('closed and impossible descriptors are refused with EBADF', async () => {
  const fd = await child.memfd('closed', PAGE);
  await child.call('close', fd);
  for (const bad of [fd, -1, 1e9, 2 ** 40, 0.5, Number.NaN])
    refused(() => fileMemory(account, child.pid, bad, 0, PAGE, READ), 'EBADF', /fd /);
});

test('ranges outside the file are refused with EINVAL and leave nothing open', async () => {
  const fd = await child.memfd('range', 2 * PAGE);
  const before = descriptors();
  for (const [offset, length] of [
    [0, 2 * PAGE + 1],
    [2 * PAGE, 1],
    [-PAGE, PAGE],
    [0, 0],
    [0, -1],
    [Number.NaN, 1],
    [0, Number.NaN],
    [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    [0.5, 1],
  ] as const) {
    refused(() => fileMemory(account, child.pid, fd, offset, length, READ), 'EINVAL', /not within/);
  }
  assert.deepEqual(descriptors(), before);
});

test('a buffer is never overrun, whatever place and length are given', async () => {
  const { memory } = fileMemory(
    account,
    child.pid,
    await child.memfd('clamp', PAGE, SEAL_SHRINK),
    0,
    PAGE,
    BOTH,
  );
  const buffer = new Uint8Array(16).fill(9);
  for (const [offset, at, length] of [
    [0, 0, 17],
    [0, -1, 4],
    [0, Number.NaN, 4],
    [0, 0, Number.NaN],
    [-1, 0, 4],
    [PAGE - 1, 0, 2],
    [Number.NaN, 0, 1],
  ] as const) {
    assert.equal(memory.read(offset, buffer, at, length), 0);
    assert.equal(memory.write(offset, buffer, at, length), 0);
  }
  assert.deepEqual(buffer, new Uint8Array(16).fill(9));
  memory.close();
});

test('an ordinary file in a folder of temporary files is memory too', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
  writeFileSync(join(folder, 'ram'), new Uint8Array(2 * PAGE).fill(4));
  const fd = await child.call('open', join(folder, 'ram'), constants.O_RDWR | constants.O_APPEND, 0);
  const { memory } = fileMemory(account, child.pid, fd, PAGE, PAGE, BOTH);
  assert.equal(memory.description, join(folder, 'ram'));
  assert.equal(memory.onDisk, statfsSync(folder).type !== TMPFS_MAGIC);
  assert.equal(memory.write(PAGE + 1, Uint8Array.of(6), 0, 1), 1);
  const target = new Uint8Array(3);
  assert.equal(memory.read(PAGE, target, 0, 3), 3);
  assert.deepEqual(target, Uint8Array.of(4, 6, 4));
  memory.close();
  rmSync(folder, { recursive: true });
});

test('a descriptor that another thread swaps means one of two files, or is refused', async (t) => {
  const swapper = new Child();
  t.after(() => swapper.kill());
  const a = await swapper.memfd('a', PAGE);
  const b = await swapper.memfd('b', 2 * PAGE);
  const fd = await swapper.memfd('c', PAGE);
  await swapper.call('dup2', a, fd);
  await swapper.order('swap', fd, a, b);
  const before = descriptors();
  const seen = new Set<string>();
  for (let round = 0; round < 2000; round++) {
    try {
      const { memory } = fileMemory(account, swapper.pid, fd, 0, PAGE, BOTH);
      seen.add(memory.description);
      memory.close();
    } catch (error) {
      assert.ok(error instanceof Refusal, String(error));
      assert.match(error.message, /^EBADF: fd \d+ was replaced/);
      seen.add('refused');
      await turn();
    }
  }
  while (descriptors().length > before.length || 'descriptors' in account.holds) await turn();
  for (const outcome of seen) assert.ok(['memfd:a', 'memfd:b', 'refused'].includes(outcome), outcome);
});

test('files larger than the server can map are ENOMEM, and leave nothing open', async () => {
  const before = descriptors();
  const fds: number[] = [];
  for (let bits = 44; bits <= 46; bits++) fds.push(await child.memfd(`sparse ${bits}`, 2 ** bits));
  const first = fileMemory(account, child.pid, fds[0]!, 0, PAGE, BOTH).memory;
  const held = descriptors();
  refused(
    () => fileMemory(account, child.pid, fds[1]!, 0, PAGE, BOTH),
    'ENOMEM',
    /^what the test has opened holds 17592186044416 bytes of mapped files .* of at most 26388279066624 /,
  );
  refused(() => fileMemory(account, child.pid, fds[2]!, 0, PAGE, BOTH), 'ENOMEM', /bytes of mapped files/);
  assert.deepEqual(descriptors(), held);
  first.close();
  fileMemory(account, child.pid, fds[0]!, 0, PAGE, BOTH).memory.close();
  assert.deepEqual(descriptors(), before);
  assert.deepEqual(account.holds, {});
  for (const fd of fds) await child.call('close', fd);
});

test('a filesystem that is full ends a transfer at the first page that it has no room for', {
  skip: process.geteuid?.() === 0 ? false : 'needs root to mount a tmpfs',
}, async (t) => {
  const mounting = new Child();
  t.after(() => mounting.kill());
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
  t.after(() => rmSync(folder, { recursive: true }));
  await mounting.call('unshare', CLONE_NEWNS);
  await mounting.call('mount', 'none', '/', '', MS_REC_SLAVE, '');
  if ((await mounting.call('mount', 'none', folder, 'tmpfs', 0, 'size=16k')) !== 0)
    return t.skip('a tmpfs cannot be mounted here');
  const fd = await mounting.call('open', join(folder, 'ram'), constants.O_RDWR | constants.O_CREAT, 0o600);
  await mounting.call('ftruncate', fd, 8 * PAGE);
  const { memory } = fileMemory(account, mounting.pid, fd, 0, 8 * PAGE, BOTH);
  t.after(() => memory.close());
  assert.equal(memory.write(0, new Uint8Array(8 * PAGE).fill(1), 0, 8 * PAGE), 4 * PAGE);
  const target = new Uint8Array(8 * PAGE);
  assert.equal(memory.read(0, target, 0, 8 * PAGE), 8 * PAGE);
  assert.deepEqual(target, new Uint8Array(8 * PAGE).fill(1, 0, 4 * PAGE));
});

const MS_REC_SLAVE = 0x84000;
const CLONE_NEWNS = 0x20000;

test('a file of an overlay that only the caller has mounted is refused: it may be on any filesystem', {
  skip: process.geteuid?.() === 0 ? false : 'needs root to mount an overlay',
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
  for (const name of ['one', 'two', 'merged']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'one', 'file'), new Uint8Array(PAGE));
  const mounting = new Child();
  try {
    await mounting.call('unshare', CLONE_NEWNS);
    await mounting.call('mount', 'none', '/', '', MS_REC_SLAVE, '');
    const merged = join(folder, 'merged');
    const lower = `lowerdir=${join(folder, 'one')}:${join(folder, 'two')}`;
    if ((await mounting.call('mount', 'none', merged, 'overlay', 0, lower)) !== 0)
      return t.skip('overlays cannot be mounted here');
    const fd = await mounting.call('open', join(merged, 'file'), constants.O_RDONLY, 0);
    assert.ok(fd >= 0);
    refused(
      () => fileMemory(account, mounting.pid, fd, 0, PAGE, READ),
      'EINVAL',
      /^fd \d+ is on a foreign overlay filesystem, which may have to wait/,
    );
  } finally {
    await mounting.kill();
    rmSync(folder, { recursive: true });
  }
});
