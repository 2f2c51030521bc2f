import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { finish, isWork, type Work } from '../file/work.js';
import { account, Child } from '../testkit/child.js';
import { madeBytes } from '../testkit/made-bytes.js';
import { FakeFile } from '../testkit/mounted.js';
import { refused } from '../testkit/refused.js';
import { ProcessCaller } from './process-caller.js';

const caller = new ProcessCaller({ named: () => undefined }, () => ({}));
let child: Child;
before(() => {
  child = new Child();
});
after(() => child.kill());

test("memory of any length is copied from and to the caller's process", async () => {
  const length = 200_001;
  const at = await child.map(length);
  caller.begin(child.pid, account);
  const bytes = madeBytes(length, (i) => i * 7);
  caller.writeMemory(at, bytes);
  const copy = new Uint8Array(length);
  caller.readMemory(at, copy);
  assert.deepEqual(copy, bytes);
  assert.deepEqual(await child.peek(at, length), bytes);
});

test('what has been written since, by another call or in this one, is read', async () => {
  const at = await child.map(4096);
  const [size, whole] = [new Uint8Array(4), new Uint8Array(64)];
  const expect = (first: number) => {
    caller.readMemory(at, size);
    assert.deepEqual(size, new Uint8Array(4).fill(first));
    caller.readMemory(at, whole);
    assert.deepEqual(whole, new Uint8Array(64).fill(first));
  };
  for (const byte of [1, 2]) {
    await child.poke(at, new Uint8Array(64).fill(byte));
    caller.begin(child.pid, account);
    expect(byte);
    caller.readMemory(at, size);
    caller.writeMemory(at, new Uint8Array(64).fill(byte + 10));
    expect(byte + 10);
    expect(byte + 10);
  }
});

test('each call finds the rights that the memory has then', async () => {
  const [PROT_READ, PROT_BOTH] = [1, 3];
  const at = await child.map(8192);
  const bytes = new Uint8Array(8);
  for (const rights of [0, PROT_BOTH, PROT_READ, 0, PROT_BOTH]) {
    await child.call('mprotect', at + 4096, 4096, rights);
    for (const address of [at + 4096, at + 4092]) {
      caller.begin(child.pid, account);
      caller.readMemory(at, bytes);
      const read = () => caller.readMemory(address, bytes);
      const write = () => caller.writeMemory(address, bytes);
      if (rights === 0) refused(read, 'EFAULT', /without the right to read/);
      else read();
      if (rights === PROT_BOTH) write();
      else refused(write, 'EFAULT', /without the right to write/);
    }
  }
});

test('a struct that ends with its page is read whole, and no byte of the next', async () => {
  const at = await child.map(8192);
  await child.poke(at + 4088, new Uint8Array(8).fill(5));
  assert.equal(await child.call('munmap', at + 4096, 4096), 0);
  caller.begin(child.pid, account);
  const [size, whole] = [new Uint8Array(4), new Uint8Array(8)];
  caller.readMemory(at + 4088, size);
  caller.readMemory(at + 4088, whole);
  assert.deepEqual(whole, new Uint8Array(8).fill(5));
  caller.readMemory(at + 4088, size);
  refused(() => caller.readMemory(at + 4088, new Uint8Array(9)), 'EFAULT', /is not mapped/);
});

test('memory that is not there is EFAULT, and the reason names the address', async () => {
  caller.begin(child.pid, account);
  const end = (await child.map(8192)) + 4096;
  assert.equal(await child.call('munmap', end, 4096), 0);
  refused(
    () => caller.readMemory(end - 2, new Uint8Array(4)),
    'EFAULT',
    new RegExp(`^address 0x${end.toString(16)} is not mapped`),
  );
  refused(() => caller.writeMemory(8, new Uint8Array(4)), 'EFAULT', /^address 0x8 is not mapped/);
  refused(() => caller.readMemory(2 ** 60, new Uint8Array(4)), 'EFAULT', /0x1000000000000000/);
});

test('the process of a calling thread is named', async () => {
  caller.begin(await child.order<number>('thread'), account);
  assert.equal(caller.pid, child.pid);
});

test('a caller in a pid namespace that cannot be seen is refused what needs its process', () => {
  caller.begin(0, account);
  assert.equal(caller.pid, 0);
  const reason = /pid namespace that the server cannot see/;
  refused(() => caller.readMemory(4096, new Uint8Array(1)), 'EPERM', reason);
  refused(() => caller.presented(3), 'EPERM', reason);
  refused(() => finish(caller.memory(4096, 4096, 1)), 'EPERM', reason);
  refused(() => caller.fileMemory(3, 0, 4096, 1), 'EPERM', reason);
  refused(() => caller.eventfd(3), 'EPERM', reason);
});

test('a file that the caller cannot be given is released in slices, and then the call is refused', () => {
  const done: string[] = [];
  const file = Object.assign(new FakeFile(1), {
    *release(): Work<void> {
      done.push('drained');
      yield;
      done.push('released');
    },
  });
  caller.begin(child.pid, account);
  const work = caller.install(file);
  assert.ok(isWork(work));
  assert.equal(work.next().done, false);
  assert.deepEqual(done, ['drained']);
  refused(() => work.next(), 'EOPNOTSUPP', /^only a program that `ioasid run` has started/);
  assert.deepEqual(done, ['drained', 'released']);
});
