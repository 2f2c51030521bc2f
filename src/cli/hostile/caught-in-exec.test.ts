/**
 * A process that is caught in exec(2): its descriptors are being closed, and the FUSE server of one does not
 * answer. Whoever looks at its memory, its descriptors or its namespaces meanwhile waits as long as it does.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { Child } from '../../testkit/child.js';
import { lives } from '../../testkit/descendants.js';
import { ForeignFilesystem } from '../../testkit/foreign-filesystem.js';
import { bin, ioasid, until, withoutFuse } from '../../testkit/processes.js';

const O_RDWR_CLOEXEC = 0o2000002;
const skip = withoutFuse || (process.geteuid?.() === 0 ? false : 'needs root to mount a filesystem');

/** Such a process. @returns what lets it go. */
async function caught(t: TestContext): Promise<() => void> {
  const foreign = new ForeignFilesystem(t, { flushes: true });
  const child = new Child();
  t.after(() => child.kill());
  await child.call('open', foreign.file, O_RDWR_CLOEXEC, 0);
  await foreign.silence();
  void child.order('becomeSleep');
  // It has its new memory, and no arguments in it yet.
  await until(() => readFileSync(`/proc/${child.pid}/cmdline`, 'latin1') === '', 'it is caught');
  return () => foreign.disconnect();
}

test('the end of a run, and the guard of one that was killed, wait for no process that is caught in exec', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const release = await caught(t);
  const orphan = '{ (exec 3<>/dev/ioasid; echo; exec sleep 60 >/dev/null 2>&1) & } | read opened';
  const { status, stderr } = ioasid(['run', '--device', 'edu', '--', 'sh', '-c', orphan]);
  assert.equal(status, 0);
  const [, survivor] = /^ioasid: \w+ \(process (\d+)\) goes on with \/dev\/ioasid open/.exec(stderr) ?? [];
  process.kill(Number(survivor), 'SIGKILL');

  const command = ['run', '--device', 'edu', '--', 'sh', '-c', 'sleep 60 & echo $!; wait'];
  const run = spawn(process.execPath, [bin, ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = (await once(run.stdout, 'data')) as [Buffer];
  run.kill('SIGKILL');
  await until(() => !lives(Number(said)), 'the guard kills what the command has started');
  release();
});
