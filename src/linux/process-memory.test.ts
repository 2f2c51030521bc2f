import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { setTimeout as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { finish } from '../file/work.js';
import type { Memory } from '../iommu/memory.js';
import { account, Child, descriptors, PAGE, runs, stackOf } from '../testkit/child.js';
import { madeBytes } from '../testkit/made-bytes.js';
import { refused } from '../testkit/refused.js';
import { fileMemory } from './file-memory.js';
import { type ProcessMemory, processMemory } from './process-memory.js';

const READ = 1;
const WRITE = 2;
const BOTH = READ | WRITE;
const PROT_NONE = 0;
const PROT_READ = 1;

const child = new Child();
after(() => child.kill());

/** Runs `body` with memory of the child, and closes it. */
async function withMemory(
  pages: number,
  body: (memory: ProcessMemory, address: number) => Promise<void> | void,
): Promise<void> {
  const address = await child.map(pages * PAGE);
  const { memory, offset } = finish(processMemory(account, child.pid, address, pages * PAGE, BOTH));
  assert.equal(offset, address);
  await body(memory, address);
  memory.close();
  await child.call('munmap', address, pages * PAGE);
}

test('ProcessMemory is a Memory', () =>
  withMemory(1, (memory) => {
    const asMemory: Memory = memory;
    assert.match(asMemory.description, new RegExp(`^process ${child.pid} \\(.+\\)$`));
  }));

test('what is written is seen by the process, and the other way round', () =>
  withMemory(2, async (memory, address) => {
    const bytes = madeBytes(5000, (i) => i * 7);
    assert.equal(memory.write(address + 100, bytes, 10, 4900), 4900);
    assert.deepEqual(await child.peek(address + 100, 4900), bytes.slice(10, 4910));
    await child.poke(address + 3, Uint8Array.of(1, 2, 3));
    const target = new Uint8Array(8);
    assert.equal(memory.read(address + 3, target, 2, 3), 3);
    assert.deepEqual(target, Uint8Array.of(0, 0, 1, 2, 3, 0, 0, 0));
  }));

test('a buffer is never overrun, whatever place and length are given', () =>
  withMemory(1, (memory, address) => {
    const buffer = new Uint8Array(16).fill(9);
    for (const [at, length] of [
      [0, 17],
      [16, 1],
      [-1, 4],
      [Number.NaN, 4],
      [0, Number.NaN],
      [0, 0],
      [0, -1],
    ] as const) {
      assert.equal(memory.read(address, buffer, at, length), 0);
      assert.equal(memory.write(address, buffer, at, length), 0);
    }
    assert.deepEqual(buffer, new Uint8Array(16).fill(9));
  }));

test('one address space is one object with one set of descriptors, until its last close', async () => {
  const address = await child.map(PAGE);
  const before = descriptors();
  const first = finish(processMemory(account, child.pid, address, PAGE, BOTH)).memory;
  const opened = descriptors();
  const others = Array.from(
    { length: 10 },
    () => finish(processMemory(account, child.pid, address, PAGE, BOTH)).memory,
  );
  assert.ok(others.every((memory) => memory === first));
  assert.deepEqual(descriptors(), opened);
  for (const memory of others) memory.close();
  assert.equal(first.read(address, new Uint8Array(1), 0, 1), 1);
  first.close();
  assert.deepEqual(descriptors(), before);
  assert.equal(first.read(address, new Uint8Array(1), 0, 1), 0);
  first.close();
});

test('its process lives while signals come in, as they do to whoever traces', async () => {
  let signals = 0;
  process.on('SIGUSR2', () => signals++);
  const sender = spawn('sh', ['-c', `while kill -USR2 ${process.pid}; do :; done`], { stdio: 'ignore' });
  await withMemory(1, async (memory) => {
    let exited = 0;
    for (const seen = signals; signals < seen + 100; await turn(1))
      for (let n = 0; n < 5000; n++) exited += memory.exited ? 1 : 0;
    assert.equal(exited, 0);
  });
  sender.kill('SIGKILL');
  // Those on their way still find the handler.
  await once(sender, 'exit');
});

test('all threads of a process have the same memory', () =>
  withMemory(1, async (memory, address) => {
    const tid = await child.order<number>('thread');
    assert.notEqual(tid, child.pid);
    for (let i = 0; i < 2; i++) {
      const same = finish(processMemory(account, tid, address, PAGE, READ)).memory;
      assert.equal(same, memory);
      same.close();
    }
  }));

test('a range is refused at the first address that is not mapped', async () => {
  const address = await child.map(4 * PAGE);
  await child.call('munmap', address + 2 * PAGE, PAGE);
  const hole = (address + 2 * PAGE).toString(16);
  refused(
    () => finish(processMemory(account, child.pid, address, 4 * PAGE, READ)),
    'EFAULT',
    new RegExp(`address 0x${hole} is not mapped`),
  );
  finish(processMemory(account, child.pid, address, 2 * PAGE, READ)).memory.close();
  await child.call('munmap', address, 4 * PAGE);
});

test('many areas are looked at in slices; who unmaps in between is refused and leaves nothing', async () => {
  const pages = 400;
  const address = await child.map(pages * PAGE);
  for (let n = 0; n < pages; n += 2) await child.call('mprotect', address + n * PAGE, PAGE, PROT_READ);
  const before = descriptors();
  const work = processMemory(account, child.pid, address, pages * PAGE, READ);
  assert.equal(work.next().done, false);
  const whole = processMemory(account, child.pid, address, pages * PAGE, READ);
  for (let slices = 0; slices < 3; slices++) assert.equal(whole.next().done, false);
  await child.call('munmap', address + (pages - 1) * PAGE, PAGE);
  const hole = new RegExp(`address 0x${(address + (pages - 1) * PAGE).toString(16)} is not mapped`);
  refused(() => finish(work), 'EFAULT', hole);
  refused(() => finish(whole), 'EFAULT', hole);
  assert.deepEqual(descriptors(), before);
  const { memory } = finish(processMemory(account, child.pid, address, PAGE, READ));
  assert.equal(finish(memory.reaches(address, (pages - 1) * PAGE, READ)), true);
  assert.equal(finish(memory.reaches(address, pages * PAGE, READ)), false);
  memory.close();
  await child.call('munmap', address, pages * PAGE);
});

test('a read-only page is refused for writing, an inaccessible one for reading', async () => {
  const address = await child.map(3 * PAGE);
  await child.call('mprotect', address + PAGE, PAGE, PROT_READ);
  await child.call('mprotect', address + 2 * PAGE, PAGE, PROT_NONE);
  refused(
    () => finish(processMemory(account, child.pid, address, 2 * PAGE, BOTH)),
    'EFAULT',
    new RegExp(`0x${(address + PAGE).toString(16)}.*right to write`),
  );
  refused(
    () => finish(processMemory(account, child.pid, address, 3 * PAGE, READ)),
    'EFAULT',
    new RegExp(`0x${(address + 2 * PAGE).toString(16)}.*right to read`),
  );
  finish(processMemory(account, child.pid, address, 2 * PAGE, READ)).memory.close();
  await child.call('munmap', address, 3 * PAGE);
});

test('numbers that are no range are refused with EFAULT and leave nothing open', async () => {
  const address = await child.map(PAGE);
  const before = descriptors();
  const ranges = [
    [Number.NaN, PAGE],
    [address, Number.NaN],
    [-PAGE, PAGE],
    [address, 0],
    [address, -PAGE],
    [address + 0.5, PAGE],
    [2 ** 53, PAGE],
    [Number.MAX_SAFE_INTEGER, PAGE],
    [2 ** 47, PAGE],
    [2 ** 52, PAGE],
    [0, PAGE],
    [address, 2 ** 52],
    [Number.POSITIVE_INFINITY, PAGE],
  ] as const;
  for (const [at, length] of ranges)
    refused(() => finish(processMemory(account, child.pid, at, length, READ)), 'EFAULT', /./);
  assert.deepEqual(descriptors(), before);
  await child.call('munmap', address, PAGE);
});

test('what is unmapped later ends a transfer at exactly that page', () =>
  withMemory(4, async (memory, address) => {
    await child.call('munmap', address + 2 * PAGE, PAGE);
    const buffer = new Uint8Array(4 * PAGE);
    assert.equal(memory.read(address + 100, buffer, 0, 3 * PAGE), 2 * PAGE - 100);
    assert.equal(memory.write(address + 100, buffer, 0, 3 * PAGE), 2 * PAGE - 100);
    assert.equal(memory.read(address + 2 * PAGE, buffer, 0, 1), 0);
    assert.equal(memory.write(address + 3 * PAGE - 1, buffer, 0, PAGE), 0);
    assert.equal(memory.write(address + 3 * PAGE, buffer, 0, PAGE), PAGE);
  }));

test('random transfers over a hole equal a model buffer', () =>
  withMemory(6, async (memory, address) => {
    await child.call('munmap', address + 4 * PAGE, PAGE);
    const model = new Uint8Array(4 * PAGE);
    const size = 5 * PAGE;
    const transfer = fc.record({
      write: fc.boolean(),
      from: fc.nat(size - 1),
      length: fc.integer({ min: 1, max: 2 * PAGE }),
      fill: fc.nat(255),
    });
    fc.assert(
      fc.property(transfer, ({ write, from, length, fill }) => {
        const expected = Math.max(0, Math.min(length, 4 * PAGE - from));
        const buffer = new Uint8Array(length).fill(fill);
        const done = write
          ? memory.write(address + from, buffer, 0, length)
          : memory.read(address + from, buffer, 0, length);
        assert.equal(done, expected);
        if (write) model.fill(fill, from, from + done);
        else assert.deepEqual(buffer.subarray(0, done), model.subarray(from, from + done));
      }),
      { numRuns: 300 },
    );
    assert.deepEqual(await child.peek(address, 4 * PAGE), model);
  }));

test('behind shared memory of a file is the file, behind a private mapping only the process', async () => {
  const fd = await child.memfd('shared', 4 * PAGE);
  const [shared, ofItsOwn] = [
    await child.call('mmap', 0, 2 * PAGE, 3, 1, fd, PAGE),
    await child.call('mmap', 0, 2 * PAGE, 3, 2, fd, PAGE),
  ];
  const { memory: file } = fileMemory(account, child.pid, fd, 0, 4 * PAGE, BOTH);
  const { memory } = finish(processMemory(account, child.pid, shared, PAGE, BOTH));
  const { file: identity } = file.backing(0);
  assert.deepEqual(finish(memory.backing(shared)), { file: identity, offset: PAGE, length: 2 * PAGE });
  assert.deepEqual(finish(memory.backing(shared + PAGE + 5)), {
    file: identity,
    offset: 2 * PAGE + 5,
    length: PAGE - 5,
  });
  assert.deepEqual(finish(memory.backing(ofItsOwn)), { file: undefined, offset: ofItsOwn, length: 2 * PAGE });
  memory.close();
  file.close();
  assert.equal(finish(memory.backing(shared)).file, undefined, 'closed');
});

test('a child that was forked after the mapping has memory of its own', () =>
  withMemory(1, async (memory, address) => {
    await child.poke(address, new Uint8Array(PAGE).fill(1));
    assert.ok((await child.order<number>('forkAndFill', address, PAGE)) > 0);
    const seen = new Uint8Array(PAGE);
    assert.equal(memory.read(address, seen, 0, PAGE), PAGE);
    assert.deepEqual(seen, new Uint8Array(PAGE).fill(1));
  }));

test('the memory of a process that was killed is gone, and so is its name', async () => {
  const mortal = new Child();
  const address = await mortal.map(PAGE);
  const { memory } = finish(processMemory(account, mortal.pid, address, PAGE, BOTH));
  await mortal.kill();
  assert.equal(memory.read(address, new Uint8Array(64), 0, 64), 0);
  assert.equal(memory.write(address, new Uint8Array(64), 0, 64), 0);
  refused(() => finish(processMemory(account, mortal.pid, address, PAGE, BOTH)), 'ESRCH', /has exited/);
  memory.close();
});

test('a program executed in the same process is out of reach of what was mapped before', async () => {
  const changing = new Child();
  const address = await changing.map(PAGE);
  const old = finish(processMemory(account, changing.pid, address, PAGE, BOTH)).memory;
  void changing.order('becomeSleep');
  await runs(changing.pid, 'sleep');
  const stack = stackOf(changing.pid);
  assert.equal(old.read(stack, new Uint8Array(64), 0, 64), 0);
  assert.equal(old.write(stack, new Uint8Array(64), 0, 64), 0);
  const fresh = finish(processMemory(account, changing.pid, stack, PAGE, BOTH)).memory;
  assert.notEqual(fresh, old);
  assert.match(fresh.description, /\(sleep\)$/);
  old.close();
  const again = finish(processMemory(account, changing.pid, stack, PAGE, BOTH)).memory;
  assert.equal(again, fresh);
  fresh.close();
  again.close();
  await changing.kill();
});
