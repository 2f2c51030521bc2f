/**
 * Random calls, valid and invalid, by several processes at once, some of which are killed (tests/c/anycall):
 * what is recorded of them is the same when it is done again, in one process and without theirs.
 *
 * IOASID_CALLS is how many acts there are in all, IOASID_SEED makes each process choose the same again.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ioasid, runner } from '../../testkit/processes.js';

const ACTS = Number(process.env.IOASID_CALLS ?? 3000);
const SEED = Number(process.env.IOASID_SEED ?? 1);
const PROCESSES = 3;
const folder = mkdtempSync(join(tmpdir(), 'ioasid-replayed-'));
chmodSync(folder, 0o777);
after(() => rmSync(folder, { recursive: true }));
const devices = ['dsa,mdevs=4', 'edu', 'edu', 'virtio-net,mac=52:54:00:12:34:56'];

test('whatever calls are made, their recording is the same when it is replayed', {
  skip: runner.skip || missingCompiler(),
  timeout: 120_000 + ACTS,
}, (t) => {
  const file = join(folder, 'run');
  const machine = ['--iommu-test', ...devices.flatMap((device) => ['--device', device])];
  const command = ['run', ...machine, '--record', file, '--', testProgram('anycall'), '/dev'];
  const input = `${SEED} ${PROCESSES} ${Math.ceil(ACTS / PROCESSES)}\n`;
  const { stdout, stderr, status } = ioasid(command, runner, input);
  assert.ok(status === 0 && stdout.endsWith('done\n'), stdout + stderr);
  const again = ioasid(['replay', file], runner);
  assert.deepEqual([again.status, again.stderr], [0, ''], again.stdout);
  const [, calls] = /^the same: ([\d,]+) calls/.exec(again.stdout) ?? [];
  assert.ok(Number(calls?.replaceAll(',', '')) > ACTS / 2, again.stdout);
  t.diagnostic(again.stdout.trimEnd());
});
