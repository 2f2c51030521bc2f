/** Whose filesystem a page is of: what it costs to find out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { effortOfAccesses } from './access-cost.js';
import { servingFilesystem } from './file-status.js';

/** Of no filesystem. */
const NONE = 2 ** 32 - 1;

function effortOf(device: number): number {
  const before = effortOfAccesses();
  assert.equal(
    servingFilesystem(process.pid, device),
    'a filesystem that neither it nor the server has mounted',
  );
  return effortOfAccesses() - before;
}

test('what is found in tables of mounts is effort, and is not looked up again for a while', () => {
  assert.ok(effortOf(NONE) > 0);
  while (effortOf(NONE) > 0);
  assert.ok(effortOf(NONE - 1) > 0, 'another one is');
  while (effortOf(NONE) === 0);
});
