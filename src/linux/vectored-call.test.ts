/** What a thread waits in is known by its arguments, as soon as it waits. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { until } from '../testkit/processes.js';
import { type BufferList, bufferListOf, bufferListSoon } from './vectored-call.js';

function listOf(pid: number): BufferList | undefined {
  const found = bufferListOf(pid);
  if (found !== 'running') return found;
  const soon = bufferListSoon(pid);
  for (;;) {
    const { done, value } = soon.next();
    if (done) return value;
  }
}

test('a thread that waits in a readv has so many buffers', async (t) => {
  const program = `process.stdout.write('ready');
    require('fs').readvSync(0, [4, 8, 4].map((length) => new Uint8Array(length)));`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  await until(() => listOf(child.pid!)?.count === 3, 'three buffers');
  assert.ok(listOf(child.pid!)!.address > 0);
});

test('a thread that waits in another call, runs, or is none has none', async (t) => {
  const sleeper = spawn('sleep', ['60']);
  const runner = spawn(process.execPath, ['-e', 'process.stdout.write("ready"); for (;;);']);
  t.after(() => void [sleeper, runner].map((child) => child.kill('SIGKILL')));
  await once(runner.stdout, 'data');
  for (const { pid } of [sleeper, runner]) assert.equal(listOf(pid!), undefined);
  assert.equal(listOf(2 ** 22 + 1), undefined);
});
