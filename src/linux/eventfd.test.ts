import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { after, test } from 'node:test';
import type { Signal } from '../file/open-file.js';
import { account, Child, descriptors } from '../testkit/child.js';
import { refused } from '../testkit/refused.js';
import { EventFd, eventfdOf, raiseByWrite, sendSignals } from './eventfd.js';
import { address, libc } from './ffi.js';
import { heldDescriptors } from './held-descriptors.js';

const EFD_NONBLOCK = 0o4000;
const F_GETFL = 3;
const O_PATH = 0o10000000;

const child = new Child();
after(() => child.kill());

/** Reads (and clears) an eventfd of the child. @returns the counter, or -errno. */
async function counter(fd: number): Promise<bigint> {
  const buffer = await child.order<number>('buffer', new Uint8Array(8));
  const result = await child.call('read', fd, buffer, 8);
  return result === 8 ? Buffer.from(await child.peek(buffer, 8)).readBigUInt64LE() : BigInt(result);
}

test('each raise adds one to the caller counter, without end', async () => {
  const fd = await child.call('eventfd', 0, EFD_NONBLOCK);
  const signal: Signal = eventfdOf(account, child.pid, fd);
  for (let i = 0; i < 100; i++) signal.raise();
  assert.equal(await counter(fd), 100n);
  assert.ok((await counter(fd)) < 0n);
  signal.close();
});

test('any number can be raised at once: the first are sent then, others in slices, in turn', async () => {
  const fds = [await child.call('eventfd', 0, EFD_NONBLOCK), await child.call('eventfd', 0, EFD_NONBLOCK)];
  const signals = fds.map((fd) => eventfdOf(account, child.pid, fd));
  const total = [0n, 0n];
  const take = async () => {
    for (const [n, fd] of fds.entries()) {
      const count = await counter(fd);
      if (count > 0n) total[n]! += count;
    }
  };
  while (sendSignals());
  for (const signal of signals) for (let n = 0; n < 2000; n++) signal.raise();
  await take();
  assert.ok(total[0]! >= 1n && total[0]! < 1000n, `${total[0]} were sent while they were raised`);
  const before = total[1]!;
  assert.equal(sendSignals(), true);
  await take();
  assert.ok(total[1]! > before && total[0]! < 2000n, 'the second has its turn before the first is done');
  while (sendSignals());
  await take();
  assert.deepEqual(total, [2000n, 2000n]);
  for (const signal of signals) signal.close();
});

test('what is owed to an eventfd is lost when it is closed, and others get theirs', async () => {
  const fds = [await child.call('eventfd', 0, EFD_NONBLOCK), await child.call('eventfd', 0, EFD_NONBLOCK)];
  const [closed, open] = fds.map((fd) => eventfdOf(account, child.pid, fd));
  for (let n = 0; n < 500; n++) {
    closed!.raise();
    open!.raise();
  }
  closed!.close();
  while (sendSignals());
  assert.ok((await counter(fds[0]!)) < 500n);
  assert.equal(await counter(fds[1]!), 500n);
  open!.close();
});

test('a raise never blocks on a full counter, and the caller flags stay as they are', async () => {
  const fd = await child.call('eventfd', 0, 0);
  const full = await child.order<number>('buffer', Uint8Array.of(0xfe, 255, 255, 255, 255, 255, 255, 255));
  assert.equal(await child.call('write', fd, full, 8), 8);
  const flags = await child.call('fcntl', fd, F_GETFL, 0);
  const signal = eventfdOf(account, child.pid, fd);
  signal.raise();
  signal.raise();
  assert.ok((await counter(fd)) >= 2n ** 64n - 2n);
  assert.equal(await child.call('fcntl', fd, F_GETFL, 0), flags);
  signal.close();
});

test('without asynchronous I/O a raise writes, unless the counter is full', () => {
  const fd = libc().eventfd(0, 0);
  const value = new Uint8Array(128);
  account.take(heldDescriptors, 1);
  const signal = new EventFd({ fd, account }, raiseByWrite);
  signal.raise();
  signal.raise();
  assert.equal(libc().read(fd, address(value), 8), 8);
  assert.equal(value[0], 2);
  value.fill(255, 0, 8);
  value[0] = 0xfe;
  assert.equal(libc().write(fd, address(value), 8), 8);
  signal.raise();
  assert.equal(libc().read(fd, address(value), 8), 8);
  assert.equal(value[0], 0xfe);
  signal.close();
  sendSignals();
  assert.throws(() => closeSync(fd));
});

test('the copy is closed once, at the end of a turn, and a raise afterwards does nothing', async () => {
  const fd = await child.call('eventfd', 0, EFD_NONBLOCK);
  eventfdOf(account, child.pid, fd).close();
  sendSignals();
  const before = descriptors();
  const signal = eventfdOf(account, child.pid, fd);
  assert.equal(descriptors().length, before.length + 1);
  signal.close();
  signal.close();
  signal.raise();
  sendSignals();
  assert.deepEqual(descriptors(), before);
  assert.ok((await counter(fd)) < 0n);
});

test('an eventfd works when its process has closed it, and when the process has gone', async () => {
  const mortal = new Child();
  const fd = await mortal.call('eventfd', 0, 0);
  const signal = eventfdOf(account, mortal.pid, fd);
  await mortal.call('close', fd);
  signal.raise();
  await mortal.kill();
  signal.raise();
  signal.close();
});

test('what is no eventfd is refused with EINVAL, what is closed with EBADF', async () => {
  refused(() => eventfdOf(account, child.pid, child.pid), 'EBADF', /not open/);
  for (const bad of [-1, 0.5, Number.NaN]) refused(() => eventfdOf(account, child.pid, bad), 'EBADF', /no/);
  const eventfd = await child.call('eventfd', 0, 0);
  const named = await child.call('open', `/proc/self/fd/${eventfd}`, O_PATH, 0);
  refused(() => eventfdOf(account, child.pid, named), 'EBADF', /O_PATH/);
  const memfd = await child.memfd('anon_inode:[eventfd]', 4096);
  refused(() => eventfdOf(account, child.pid, memfd), 'EINVAL', /not an eventfd/);
  const file = await child.call('open', '/dev/null', 0, 0);
  refused(() => eventfdOf(account, child.pid, file), 'EINVAL', /is \/dev\/null, not an eventfd/);
});

test('signals that wake thousands of waiters take a part of the time, and none is lost', async (t) => {
  const fd = libc().eventfd(0, EFD_NONBLOCK);
  const sets: number[] = [];
  t.after(() => {
    for (const each of [...sets, fd]) closeSync(each);
  });
  // EPOLL_CTL_ADD, EPOLLIN.
  const event = Buffer.alloc(128);
  event.writeUInt32LE(1);
  while (sets.length < 15_000) {
    const set = libc().epoll_create1(0);
    if (set === -1) return t.skip('too few descriptors here');
    sets.push(set);
    libc().epoll_ctl(set, 1, fd, address(event));
  }
  const signal = eventfdOf(account, process.pid, fd);
  const bytes = Buffer.alloc(128);
  const take = () => (libc().read(fd, address(bytes), 8) === 8 ? Number(bytes.readBigUInt64LE()) : 0);
  while (sendSignals());
  for (let n = 0; n < 20; n++) signal.raise();
  let sent = take();
  assert.ok(sent < 10, `${sent} were sent at once`);
  for (; sent < 20; sent += take()) {
    sendSignals();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(sent, 20);
  signal.close();
});
