import assert from 'node:assert/strict';
import { spawn as nodeSpawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { testMachineCodes } from '../testkit/assembler.js';
import { bellCodes, childBell, tellStops } from './child-bell.js';
import { addressOf, libc } from './ffi.js';

testMachineCodes(bellCodes);

const skip = bellCodes[process.arch] === undefined ? `there is no bell on ${process.arch}` : false;

// libuv's handler has to stay, which it does as long as somebody listens.
process.on('SIGCHLD', () => undefined);
after(() => process.removeAllListeners('SIGCHLD'));

/** The signals that are blocked in the handler of SIGCHLD: the 64 that there are, in sa_mask. */
function blockedInHandler(): Uint8Array {
  const action = new Uint8Array(152);
  assert.equal(libc().sigaction(17, null, action), 0);
  return action.slice(8, 16);
}

test("what Node's handler blocks is blocked in ours, which goes on in it", { skip }, () => {
  const before = blockedInHandler();
  assert.ok(
    before.some((byte) => byte !== 0),
    'Node blocks signals there',
  );
  childBell();
  assert.deepEqual(blockedInHandler(), before);
});

test('the bell rings at the end of a child, and Node hears of it as before', { skip }, async () => {
  const bell = childBell()!;
  const count = new Uint8Array(128);
  assert.equal(libc().read(bell, addressOf(count), 8), -1, 'nothing yet');
  const child = nodeSpawn('sh', ['-c', 'exit 3']);
  assert.deepEqual(await once(child, 'exit'), [3, null]);
  assert.equal(libc().read(bell, addressOf(count), 8), 8);
  assert.ok(count[0]! >= 1);
});

test('stops do not ring it while somebody looks for them himself', { skip }, async () => {
  const bell = childBell()!;
  const count = new Uint8Array(128);
  const rung = () => libc().read(bell, addressOf(count), 8) === 8;
  const child = nodeSpawn('sleep', ['60']);
  const state = () => /\) (\w)/.exec(readFileSync(`/proc/${child.pid}/stat`, 'latin1'))![1];
  const until = async (done: () => boolean) => {
    while (!done()) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  rung();
  tellStops(false);
  child.kill('SIGSTOP');
  await until(() => state() === 'T');
  assert.equal(rung(), false);
  child.kill('SIGCONT');
  await until(() => state() !== 'T');
  tellStops(true);
  child.kill('SIGSTOP');
  await until(rung);
  child.kill('SIGKILL');
  await once(child, 'exit');
});
