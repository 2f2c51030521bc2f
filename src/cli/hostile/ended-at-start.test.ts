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

const connections = '/sys/fs/fuse/connections';
const mounted = `mount -t fusectl none ${connections}`;

/** Does `command` in a mount namespace of its own. @returns its exit status, and what it complains of. */
function apart(command: string): readonly [number | null, string] {
  const { status, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', command], { encoding: 'utf8' });
  return [status, stderr];
}

const skip = withoutFuse || (apart(mounted)[0] === 0 ? false : 'connections cannot be aborted here');

const model = new URL('../../testkit/register-file.js', import.meta.url).href;
/** A module whose import waits for the file `go`. */
const waiting = (go: string) => `
  import { existsSync } from 'node:fs';
  import { setTimeout } from 'node:timers/promises';
  while (!existsSync(${JSON.stringify(go)})) await setTimeout(10);
  export { default } from ${JSON.stringify(model)};`;

/** The number of the connection of /dev where process `pid` lives; undefined: none of ours, or it is gone. */
function connectionOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/mountinfo`, 'latin1');
    return / \d+:(\d+) \/ \/dev .* - fuse ioasid:/.exec(text)?.[1];
  } catch {
    return undefined;
  }
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
  const abort = `${mounted} && echo 1 > ${connections}/${connectionOf(launcher()!)}/abort`;
  assert.deepEqual(apart(abort), [0, '']);
  writeFileSync(go, '');
  await run.says('ioasid: somebody has ended the connection of the new /dev: ENOTCONN: ');
  assert.deepEqual(await run.ended, { status: 125, signal: null });
});
