/** Files that options name, and a command that is refused. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Running } from '../testkit/processes.js';

test('a command that is refused leaves what its output files had', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-refused-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = (name: string) => join(folder, name);
  const outputs = ['--record', '--log', '--junit', '-o'].map((option) => [option, file(option)] as const);
  for (const [, path] of outputs) writeFileSync(path, 'before');
  const words = ['run', '--device', 'dsa,wqs=99', '--trace', ...outputs.flat(), '--', 'true'];
  assert.equal((await Running.ioasid(words).ended).status, 125);
  for (const [, path] of outputs) assert.equal(readFileSync(path, 'utf8'), 'before');
});
