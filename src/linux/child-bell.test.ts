import assert from 'node:assert/strict';
import { spawn as nodeSpawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { testMachineCodes } from '../testkit/assembler.js';
import { bellCodes, childBell } from './child-bell.js';
import { addressOf, libc } from './ffi.js';

testMachineCodes(bellCodes);

const skip = bellCodes[process.arch] === undefined ? `there is no bell on ${process.arch}` : false;

test('the bell rings at the end of a child, and Node hears of it as before', { skip }, async () => {
  process.on('SIGCHLD', () => undefined);
  const bell = childBell()!;
  const count = new Uint8Array(128);
  assert.equal(libc().read(bell, addressOf(count), 8), -1, 'nothing yet');
  const child = nodeSpawn('sh', ['-c', 'exit 3']);
  assert.deepEqual(await once(child, 'exit'), [3, null]);
  assert.equal(libc().read(bell, addressOf(count), 8), 8);
  assert.ok(count[0]! >= 1);
  process.removeAllListeners('SIGCHLD');
});
