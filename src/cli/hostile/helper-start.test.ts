/** A helper process is started while the server has files of its own open, whose close it has to answer. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { abortFuse, unmountFuse } from '../../linux/fuse-mount.js';
import { canHaveHelpers } from '../../linux/patient-helper.js';
import { withoutFuse } from '../../testkit/processes.js';

const server = fileURLToPath(new URL('../../testkit/starting-server.js', import.meta.url));
const PATIENCE_MS = 30_000;
const needsRoot = process.geteuid?.() === 0 ? false : 'needs root to mount a filesystem';
const skip = withoutFuse || needsRoot || (canHaveHelpers() ? false : 'no helper process here');

test('a server starts helper processes while it has files of its own open', { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-start-'));
  const child = spawn(process.execPath, [server, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  // A server that waits for itself is not ended by a signal.
  const late = setTimeout(() => {
    child.kill('SIGKILL');
    try {
      abortFuse(folder);
    } catch {
      // It is aborted, and still in use.
    }
  }, PATIENCE_MS);
  const ended = once(child, 'exit');
  assert.equal(await text(child.stdout), 'begun\n');
  assert.deepEqual(await ended, [0, null]);
  clearTimeout(late);
  unmountFuse(folder);
  rmdirSync(folder);
});
