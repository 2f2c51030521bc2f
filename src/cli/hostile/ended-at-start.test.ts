/**
 * Somebody ends the connection of a run's /dev while it starts: the run says so, and does not begin.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { childrenOf } from '../../testkit/descendants.js';
import { Running, until, withoutFuse } from '../../testkit/processes.js';

const skip = withoutFuse || (process.geteuid?.() === 0 ? false : 'needs root to abort a connection');

const model = new URL('../../testkit/register-file.js', import.meta.url).href;
/** A module whose import waits for the file `go`. */
const waiting = (go: string) => `
  import { existsSync } from 'node:fs';
  import { setTimeout } from 'node:timers/promises';
  while (!existsSync(${JSON.stringify(go)})) await setTimeout(10);
  export { default } from ${JSON.stringify(model)};`;

/** The number of the connection of /dev where process `pid` lives; undefined: none of ours is there. */
function connectionOf(pid: number): string | undefined {
  const text = readFileSync(`/proc/${pid}/mountinfo`, 'latin1');
  return / \d+:(\d+) \/ \/dev .* - fuse ioasid:/.exec(text)?.[1];
}

test('a run whose connection is ended at its start says that somebody else has done that', {
  skip,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-ended-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [module, go] = [join(folder, 'model.js'), join(folder, 'go')];
  writeFileSync(module, waiting(go));
  const run = Running.ioasid(['run', '-d', module, '--', 'echo', 'begun']);
  const launcher = () => childrenOf(run.pid).find((pid) => connectionOf(pid) !== undefined);
  await until(() => launcher() !== undefined, 'the mount');
  const at = '/sys/fs/fuse/connections';
  const abort = `mount -t fusectl none ${at} && echo 1 > ${at}/${connectionOf(launcher()!)}/abort`;
  const { status, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', abort], { encoding: 'utf8' });
  assert.deepEqual([status, stderr], [0, '']);
  writeFileSync(go, '');
  assert.deepEqual(await run.ended, { status: 125, signal: null });
  assert.match(run.output, /^ioasid: somebody has ended the connection of the new \/dev: ENOTCONN: /);
});
