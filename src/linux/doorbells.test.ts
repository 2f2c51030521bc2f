import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { account, Child } from '../testkit/child.js';
import { refused } from '../testkit/refused.js';
import { doorbellOf, doorbellSource } from './doorbells.js';

const child = new Child();
after(() => child.kill());
const source = doorbellSource();
const listen = () => source.ready(() => true);

/** An eventfd of the child, and how it is written to and read. */
async function makeEventfd(initial = 0) {
  const fd = await child.call('eventfd', initial, 0);
  const one = await child.order<number>('buffer', Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  return {
    fd,
    ring: async () => assert.equal(await child.call('write', fd, one, 8), 8),
    read: async () => {
      const buffer = await child.order<number>('buffer', new Uint8Array(8));
      assert.equal(await child.call('read', fd, buffer, 8), 8);
      return Buffer.from(await child.peek(buffer, 8)).readBigUInt64LE();
    },
  };
}

test('each write of the caller is heard, and the counter stays as it is', async () => {
  const { fd, ring, read } = await makeEventfd();
  const doorbell = doorbellOf(account, child.pid, fd);
  listen();
  assert.equal(doorbell.rings, 0);
  for (let rings = 1; rings <= 3; rings++) {
    await ring();
    listen();
    assert.equal(doorbell.rings, rings);
  }
  listen();
  assert.equal(doorbell.rings, 3);
  assert.equal(await read(), 3n);
  doorbell.close();
});

test('what the counter holds is taken when it is emptied, and 0 is not waited for', async () => {
  const { fd, ring } = await makeEventfd();
  const doorbell = doorbellOf(account, child.pid, fd);
  const readable = async () => {
    const pollfd = await child.order<number>('buffer', Uint8Array.of(fd, 0, 0, 0, 1, 0, 0, 0));
    return child.call('poll', pollfd, 1, 0);
  };
  await ring();
  await ring();
  assert.equal(await readable(), 1);
  for (let times = 0; times < 2; times++) doorbell.empty();
  assert.equal(await readable(), 0);
  await ring();
  listen();
  assert.deepEqual([doorbell.rings > 0, await readable()], [true, 1]);
  doorbell.close();
  doorbell.empty();
  assert.equal(await readable(), 1);
});

test('an eventfd that was written to before is rung once', async () => {
  const doorbell = doorbellOf(account, child.pid, (await makeEventfd(7)).fd);
  listen();
  listen();
  assert.equal(doorbell.rings, 1);
  doorbell.close();
});

test('a doorbell that is closed is heard no more, though its caller has the eventfd', async () => {
  const { fd, ring } = await makeEventfd();
  const closed = doorbellOf(account, child.pid, fd);
  const open = doorbellOf(account, child.pid, fd);
  closed.close();
  closed.close();
  await ring();
  listen();
  assert.deepEqual([closed.rings, open.rings], [0, 1]);
  open.close();
});

test('more doorbells than are heard in one call are all heard', async () => {
  const { fd, ring } = await makeEventfd();
  const doorbells = Array.from({ length: 100 }, () => doorbellOf(account, child.pid, fd));
  await ring();
  for (let calls = 0; calls < 3; calls++) listen();
  assert.ok(doorbells.every(({ rings }) => rings === 1));
  for (const doorbell of doorbells) doorbell.close();
});

test('what is no eventfd is refused', async () => {
  refused(() => doorbellOf(account, child.pid, 0), 'EINVAL', /not an eventfd/);
  refused(() => doorbellOf(account, child.pid, 999), 'EBADF');
});
