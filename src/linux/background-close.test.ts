import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { account, Child, descriptors } from '../testkit/child.js';
import { ForeignFilesystem } from '../testkit/foreign-filesystem.js';
import { withoutFuse } from '../testkit/processes.js';
import { Account } from './account.js';
import { closeInBackground } from './background-close.js';
import { copyDescriptor } from './fd-identity.js';
import { libc } from './ffi.js';
import { fileMemory } from './file-memory.js';
import { heldDescriptors } from './held-descriptors.js';

const O_RDWR = 2;
const READ_WRITE = 3;

test('any number of descriptors is closed, none of them during the call', async () => {
  libc().close.async(-1, () => {});
  await turn();
  const before = descriptors();
  const fds = Array.from({ length: 500 }, () => libc().eventfd(0, 0));
  account.take(heldDescriptors, fds.length);
  for (const fd of fds) closeInBackground({ fd, account });
  assert.ok(account.holds.descriptors! > 400);
  assert.ok(descriptors().length > before.length);
  while ('descriptors' in account.holds) await turn();
  assert.deepEqual(descriptors(), before);
});

test('closes that do not end keep no thread from disks, nor closes of another account', {
  skip: withoutFuse || (process.geteuid?.() === 0 ? false : 'needs root to mount a filesystem'),
  timeout: 60_000,
}, async (t) => {
  const foreign = new ForeignFilesystem(t, { flushes: true });
  const child = new Child();
  t.after(() => child.kill());
  const fd = await child.call('open', foreign.file, O_RDWR, 0);
  const copies = Array.from({ length: 8 }, () => ({ fd: copyDescriptor(child.pid, fd), account }));
  account.take(heldDescriptors, copies.length);
  await foreign.silence();
  for (const copy of copies) closeInBackground(copy);
  assert.match(await readFile('/proc/self/comm', 'latin1'), /./);
  const other = Account.of('another one');
  other.take(heldDescriptors, 1);
  closeInBackground({ fd: libc().eventfd(0, 0), account: other });
  while ('descriptors' in other.holds) await turn();
  assert.equal(account.holds.descriptors, copies.length);
  foreign.disconnect();
  while ('descriptors' in account.holds) await turn();
});

test('the pages of a large file that only the server has are freed on another thread', async (t) => {
  const child = new Child();
  t.after(() => child.kill());
  const isOpen = () => descriptors().some((each) => each.includes('memfd:large'));
  const size = 1 << 26;
  const fd = await child.memfd('large', size);
  const { memory } = fileMemory(account, child.pid, fd, 0, size, READ_WRITE);
  const bytes = new Uint8Array(1 << 20).fill(7);
  for (let at = 0; at < size; at += bytes.length) memory.write(at, bytes, 0, bytes.length);
  await child.call('close', fd);
  memory.close();
  assert.ok(account.holds['bytes of mapped files']! >= size);
  assert.ok(isOpen());
  while (Object.keys(account.holds).length > 0) await turn();
  assert.ok(!isOpen());
});
