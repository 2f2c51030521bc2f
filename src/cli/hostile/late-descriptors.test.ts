/**
 * A program presents a descriptor whose file tells the kernel nothing about itself for as long as the program
 * likes (tests/c/latefd.c): whoever reads its /proc/TID/fdinfo waits for that, and no signal ends the wait.
 * Or it presents one that cannot be closed for as long (tests/c/lockedset.c). So the server does neither.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ForeignFilesystem } from '../../testkit/foreign-filesystem.js';
import { Running, withoutFuse } from '../../testkit/processes.js';
import { ask } from '../control-socket.js';
import type { ServiceState } from '../service.js';

const skip =
  withoutFuse ||
  missingCompiler() ||
  (process.geteuid?.() === 0 ? false : 'needs root to mount a filesystem');

/** A server, and a filesystem that falls silent when it is told to. */
async function scene(t: TestContext, device: string) {
  const foreign = new ForeignFilesystem(t);
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-late-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = Running.ioasid(['serve', '--device', device, folder]);
  t.after(() => server.kill('SIGKILL'));
  await server.says(join(folder, 'ioasid'));
  return { foreign, folder, server };
}

test('an epoll set that another thread has locked for ever is refused at once as what it is', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const { foreign, folder, server } = await scene(t, 'edu');
  const context = join(folder, 'ioasid');
  const device = join(folder, 'vfio/devices/vfio0');
  const program = new Running([testProgram('latefd'), context, device, foreign.file]);
  await program.says('open');
  await foreign.silence();
  program.process.stdin.write('\n');
  await program.says('right');
  assert.equal((await program.ended).status, 0, program.output);
  server.kill('SIGTERM');
  assert.deepEqual(await server.ended, { status: 0, signal: null }, server.output);
});

test('eventfds that cannot be closed are so by helpers, as many as their user may have wait; all go on', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const { foreign, folder, server } = await scene(t, 'virtio-net');
  const program = new Running([testProgram('lockedset'), join(folder, 'vhost-vdpa-0'), foreign.file]);
  await program.says('open');
  await foreign.silence();
  program.process.stdin.write('\n');
  await program.says('right');
  const held = async () => {
    const { state } = (await ask({ uid: 0, pid: server.pid }))!;
    const { openers } = state as ServiceState;
    return openers[0]?.holds['swapped descriptors'] ?? 0;
  };
  assert.ok((await held()) >= 1, 'who waits for them is charged');
  // The thread has the set no more, and so all of them are closed.
  foreign.disconnect();
  program.process.stdin.write('\n');
  assert.equal((await program.ended).status, 0, program.output);
  for (const deadline = Date.now() + 20_000; (await held()) > 0; await sleep(20))
    assert.ok(Date.now() < deadline, 'they are closed in the end');
  server.kill('SIGTERM');
  assert.deepEqual(await server.ended, { status: 0, signal: null }, server.output);
});
