import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const suite = fileURLToPath(new URL('../linux-suite/main.js', import.meta.url));

test('a suite that there is not is refused in a line with status 2, and none is run', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [suite, 'vfoi'], { encoding: 'utf8' });
  assert.equal(status, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /^error: .*'vfoi'.*6\.12, 7\.3, vfio\.\n$/);
});
