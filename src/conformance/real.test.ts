/**
 * The conformance rules on real files: the other test files of this folder, run by a program under
 * `ioasid run`.
 *
 * Each of their tests is reported here under its own name.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingFiles } from '../testkit/availability.js';
import type { TestOutcome } from '../testkit/outcome-reporter.js';
import { conformanceDevices, ON_REAL_FILES } from './rule.js';

const SELF = fileURLToPath(import.meta.url);
const OTHERS = readdirSync(dirname(SELF))
  .map((name) => join(dirname(SELF), name))
  .filter((path) => path.endsWith('.test.js') && path !== SELF);
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const REPORTER = new URL('../testkit/outcome-reporter.js', import.meta.url).href;
const TIMEOUT_MS = 240_000;

/** Runs the rules in processes of their own. @returns how each ended, and the exit status of `ioasid run`. */
async function runRules(): Promise<{ outcomes: TestOutcome[]; status: number | null; complaints: string }> {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const node = [
    process.execPath,
    '--test',
    '--test-concurrency=1',
    `--test-reporter=${REPORTER}`,
    '--test-reporter-destination=stdout',
    ...OTHERS,
  ];
  const devices = conformanceDevices.flatMap((spec) => ['--device', spec]);
  const child = spawn(process.execPath, ['bin/ioasid', 'run', '--iommu-test', ...devices, '--', ...node], {
    cwd: ROOT,
    env: { ...env, [ON_REAL_FILES]: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  const complaints: Buffer[] = [];
  child.stderr.on('data', (part: Buffer) => complaints.push(part));
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const outcomes: TestOutcome[] = [];
  for await (const line of createInterface(child.stdout)) outcomes.push(JSON.parse(line) as TestOutcome);
  return { outcomes, status: await ended, complaints: Buffer.concat(complaints).toString() };
}

async function reportRules(): Promise<void> {
  const { outcomes, status, complaints } = await runRules();
  const name =
    'the conformance rules run to their end on real files, and the server has nothing to complain about';
  for (const { name, failure } of outcomes) {
    test(name, () => {
      if (failure !== undefined) assert.fail(failure);
    });
  }
  test(name, () => {
    assert.ok(outcomes.length > 80, `only ${outcomes.length} tests have run`);
    assert.equal(complaints, '');
    assert.equal(status, outcomes.some(({ failure }) => failure !== undefined) ? 1 : 0);
  });
}

const missing = await missingFiles();
if (missing === false) await reportRules();
else test('the conformance rules on real files', { skip: missing }, () => {});
