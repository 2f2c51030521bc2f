/**
 * A program presents a descriptor whose file tells the kernel nothing about itself for as long as the program
 * likes (tests/c/latefd.c): whoever reads its /proc/TID/fdinfo waits for that, and no signal ends the wait.
 * So the server does not.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ForeignFilesystem } from '../../testkit/foreign-filesystem.js';
import { Running, withoutFuse } from '../../testkit/processes.js';

const skip =
  withoutFuse ||
  missingCompiler() ||
  (process.geteuid?.() === 0 ? false : 'needs root to mount a filesystem');

test('an epoll set that another thread has locked for ever is refused at once as what it is', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const foreign = new ForeignFilesystem(t);
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-late-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = Running.ioasid(['serve', '--device', 'edu', folder]);
  t.after(() => server.kill('SIGKILL'));
  const context = join(folder, 'ioasid');
  await server.says(context);
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
