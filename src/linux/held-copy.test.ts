/** Copies that are not what was looked for: `isWanted` says so here, where a program would be quick. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { account, Child, descriptors } from '../testkit/child.js';
import { ForeignFilesystem } from '../testkit/foreign-filesystem.js';
import { helpersOf } from '../testkit/helper-processes.js';
import { withoutFuse } from '../testkit/processes.js';
import { Account } from './account.js';
import { Errno, Refusal } from './errno.js';
import { identifyDescriptor } from './fd-identity.js';
import { addressOf, libc } from './ffi.js';
import { heldFlags, holdCopy } from './held-copy.js';
import { type HeldDescriptor, heldDescriptors } from './held-descriptors.js';
import { canHaveHelpers } from './patient-helper.js';

const O_RDWR = 2;
const F_GETFD = 1;
const EPOLL_CTL_ADD = 1;
const FD_CLOEXEC = 1;
const replaced = { errno: Errno.EBADF, reason: /^fd \d+ was replaced by another file during the call$/ };
const skip = canHaveHelpers() ? false : 'no helper process here';

function close({ fd, account }: HeldDescriptor): void {
  libc().close(fd);
  account.give(heldDescriptors, 1);
}

test('what has been looked at is copied, the very open file, and its holder closes it at once', {
  skip,
}, async (t) => {
  const child = new Child();
  t.after(() => child.kill());
  const fd = await child.call('eventfd', 7, 0);
  let holder = 0;
  const copy = holdCopy(account, child.pid, fd, (pid, there) => {
    holder = pid;
    return readdirSync(`/proc/${pid}/fd`).includes(String(there));
  });
  assert.ok(holder !== child.pid && holder !== process.pid);
  assert.equal(libc().fcntl(copy.fd, F_GETFD, 0), FD_CLOEXEC);
  assert.equal(account.holds.descriptors, 1);
  await child.call('close', fd);
  const count = new BigUint64Array(16);
  assert.equal(libc().read(copy.fd, addressOf(new Uint8Array(count.buffer)), 8), 8);
  assert.equal(count[0], 7n);
  while (readdirSync(`/proc/${holder}/fd`).length > 3) await sleep(1);
  close(copy);
  assert.deepEqual(account.holds, {});
});

test('what is not wanted is refused, costs nobody anything, and never is in this process', {
  skip,
}, async (t) => {
  const child = new Child();
  t.after(() => child.kill());
  const fd = await child.memfd('not wanted', 4096);
  const look = () => assert.ok(!descriptors().some((each) => each.includes('not wanted')));
  const holders = new Set<number>();
  for (let n = 0; n < 50; n++) {
    const isWanted = (pid: number) => {
      holders.add(pid);
      look();
      return n % 2 === 0 ? false : refuseToSay();
    };
    assert.throws(() => holdCopy(account, child.pid, fd, isWanted), replaced);
    look();
  }
  assert.ok(holders.size < 50, 'one helper copies many');
  // One that got no processor was given up.
  while (Object.keys(account.holds).length > 0) await sleep(10);
  for (const none of [-1, 12_345])
    assert.throws(() => holdCopy(account, child.pid, none, () => true), { errno: Errno.EBADF });
  assert.deepEqual(account.holds, {});
});

function refuseToSay(): never {
  throw new Refusal(Errno.EPERM, 'it cannot be looked at');
}

test('how a file is open is told of that very file, and not waited for', {
  skip: skip || withoutFuse,
}, async (t) => {
  const child = new Child();
  t.after(() => child.kill());
  const [fd, other] = [await child.memfd('file', 4096), await child.memfd('other', 4096)];
  const file = identifyDescriptor(child.pid, fd);
  assert.equal(heldFlags(account, child.pid, fd, file)! & O_RDWR, O_RDWR);
  assert.equal(heldFlags(account, child.pid, other, file), undefined);
  assert.throws(() => heldFlags(account, child.pid, 12_345, file), { errno: Errno.EBADF });
  const foreign = new ForeignFilesystem(t);
  const late = await child.call('open', foreign.file, O_RDWR, 0);
  const set = await child.call('epoll_create1', 0);
  const event = await child.order<number>('buffer', new Uint8Array(16).fill(1, 0, 1));
  await foreign.silence();
  child.order('callAside', 'epoll_ctl', set, EPOLL_CTL_ADD, late, event).catch(() => undefined);
  const opener = Account.of('who waits');
  while (heldFlags(opener, child.pid, set, identifyDescriptor(child.pid, set)) !== undefined) await sleep(1);
  assert.equal(opener.holds['swapped descriptors'], 1);
  foreign.disconnect();
  while (Object.keys(opener.holds).length > 0) await sleep(10);
});

test('whoever has files copied whose servers do not let them be closed has a limit; all others go on', {
  skip: skip || withoutFuse || (process.geteuid?.() === 0 ? false : 'needs root to mount a filesystem'),
  timeout: 60_000,
}, async (t) => {
  const foreign = new ForeignFilesystem(t, { flushes: true });
  const child = new Child();
  t.after(() => child.kill());
  const bad = await child.call('open', foreign.file, O_RDWR, 0);
  const good = await child.call('eventfd', 0, 0);
  const [one, other] = [Account.of('one'), Account.of('other')];
  await foreign.silence();
  for (let n = 0; n < 6; n++)
    assert.throws(() => holdCopy(one, child.pid, bad, () => false), replaced, `${n}`);
  assert.deepEqual(one.holds, { 'swapped descriptors': 6 });
  const full =
    'what one has opened holds 6 swapped descriptors of the server, of at most 6 that others leave';
  assert.throws(() => holdCopy(one, child.pid, good, () => true), { errno: Errno.EMFILE, reason: full });
  close(holdCopy(other, child.pid, good, () => true));
  assert.deepEqual(other.holds, {});
  assert.ok(!descriptors().includes(foreign.file));
  foreign.disconnect();
  while (Object.keys(one.holds).length > 0) await sleep(10);
  close(holdCopy(one, child.pid, good, () => true));
  assert.ok(helpersOf(process.pid).length <= 2, 'one that copies, and perhaps one for memory');
});
