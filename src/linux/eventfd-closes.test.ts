import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Account } from './account.js';
import { closeEventfd, closeEventfds, closeLate } from './eventfd-closes.js';
import { libc } from './ffi.js';
import { swappedDescriptors } from './held-copy.js';
import { heldDescriptors } from './held-descriptors.js';

const F_GETFD = 1;
const COUNT = 700;

test('eventfds of who has his part of helpers stay his until he has room, and none is lost', async () => {
  const [full, other] = [Account.of('full'), Account.of('other')];
  const made = (account: Account) => {
    account.take(heldDescriptors, 1);
    return { fd: libc().eventfd(0, 0), account };
  };
  const open = (fds: readonly { readonly fd: number }[]) =>
    fds.filter(({ fd }) => libc().fcntl(fd, F_GETFD, 0) >= 0).length;
  let taken = 0;
  for (; full.share(swappedDescriptors).has(1); taken++) full.take(swappedDescriptors, 1);
  const late = Array.from({ length: COUNT }, () => made(full));
  const ready = Array.from({ length: 3 }, () => made(other));
  for (const held of [...late, ...ready]) closeEventfd(held);
  closeEventfds();
  assert.deepEqual([open(late), open(ready)], [COUNT, 0]);
  assert.equal(closeLate(), false);
  assert.equal(closeLate(), false, 'they are not tried again at once');
  assert.equal(open(late), COUNT);
  full.give(swappedDescriptors, taken);
  for (let left = COUNT; left > 0; left = open(late)) {
    closeLate();
    await sleep(5);
  }
  assert.equal(closeLate(), false);
});
