import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { account, descriptors } from '../testkit/child.js';
import { closeInBackground } from './background-close.js';
import { libc } from './ffi.js';
import { heldDescriptors } from './held-descriptors.js';

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
