/** Processes that are found, and killed, wherever they have gone. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { childrenOf, descendants, killDescendants, lives, reapChildren } from './descendants.js';

/** A shell that starts one process after the other, as an orphan in a session of its own. */
const restless = '(setsid sh -c "echo \\$\\$; exec >&-; while :; do sleep 0.001; done" &)';

test('an orphan in another session is a descendant, and dies with all that it starts meanwhile', async () => {
  const parent = spawn('sh', ['-c', `${restless}; exec sleep 1000`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = (await once(parent.stdout!, 'data')) as [Buffer];
  const orphan = Number(said);
  const adopted = () => childrenOf(process.pid).includes(orphan);
  while (!adopted()) await new Promise(setImmediate);
  assert.ok([parent.pid!, orphan].every((pid) => descendants().includes(pid)));
  killDescendants();
  await once(parent, 'exit');
  while (descendants().some(lives)) await new Promise(setImmediate);
  reapChildren();
  assert.deepEqual(childrenOf(process.pid), []);
});
