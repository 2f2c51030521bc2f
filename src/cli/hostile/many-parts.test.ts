/**
 * Buffers in as many parts as they can have, most of them of one byte, in memory that a server reaches by way
 * of another process (tests/c/manyparts.c): so many accesses are done in steps, between which others are
 * served. A server that does them in one is ended by its own watchdog.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { Running, withoutFuse } from '../../testkit/processes.js';

test('a ring of buffers in a thousand parts each keeps nobody, and the right bytes are moved', {
  skip: withoutFuse || missingCompiler(),
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-parts-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = Running.ioasid(['serve', '--device', 'virtio-net', folder]);
  const device = join(folder, 'vhost-vdpa-0');
  await server.says(device);
  const program = testProgram('manyparts');
  const { status, stdout } = spawnSync(program, [device, join(folder, 'ioasid')], { encoding: 'utf8' });
  assert.deepEqual({ status, stdout }, { status: 0, stdout: 'right\n' }, server.output);
  server.kill('SIGTERM');
  await server.ended;
  assert.doesNotMatch(server.output, /the server ends|failed/);
});
