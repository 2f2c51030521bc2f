import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FuseChannel } from './fuse-channel.js';

test('a connection that is no open descriptor here is not taken for one that the kernel has ended', () => {
  assert.throws(() => new FuseChannel(-1).receive(), { code: 'EBADF' });
});
