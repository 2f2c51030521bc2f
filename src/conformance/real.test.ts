/**
 * The conformance suites against real files: in a program under `ioasid run` that is this same file, started
 * again.
 *
 * Each of its tests is reported here under its own name.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LinuxTransport } from '../client/linux-transport.js';
import { missingFiles } from '../testkit/availability.js';
import type { TestOutcome } from '../testkit/outcome-reporter.js';
import { conformanceFaults } from './faults.js';
import { conformanceDevices } from './fixture.js';
import { conformanceIommufd } from './iommufd.js';
import { conformance } from './native.js';
import { conformanceNested } from './nested.js';
import { conformanceViommu } from './viommu.js';

const SELF = fileURLToPath(import.meta.url);
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const REPORTER = new URL('../testkit/outcome-reporter.js', import.meta.url).href;
const INSIDE = 'IOASID_CONFORMANCE_INSIDE';
const TIMEOUT_MS = 90_000;

/** A test that failed has left its device open; the next one needs it. */
function closeFilesOfTest(): void {
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    let target: string;
    try {
      target = readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      continue;
    }
    if (/^\/dev\/(ioasid|iommu|vfio\/|\.new-)/.test(target)) closeSync(fd);
  }
}

/** Runs the suite in its own process. @returns how each test ended, and the exit status of `ioasid run`. */
async function runInside(): Promise<{ outcomes: TestOutcome[]; status: number | null; complaints: string }> {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const node = [
    process.execPath,
    '--test',
    '--test-concurrency=1',
    `--test-reporter=${REPORTER}`,
    '--test-reporter-destination=stdout',
    SELF,
  ];
  const devices = conformanceDevices.flatMap((spec) => ['--device', spec]);
  const child = spawn(process.execPath, ['bin/ioasid', 'run', '--iommu-test', ...devices, '--', ...node], {
    cwd: ROOT,
    env: { ...env, [INSIDE]: '1' },
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

async function reportInside(): Promise<void> {
  const { outcomes, status, complaints } = await runInside();
  const name =
    'the conformance suite runs to its end on real files, and the server has nothing to complain about';
  for (const { name, failure } of outcomes) {
    test(name, () => {
      if (failure !== undefined) assert.fail(failure);
    });
  }
  test(name, () => {
    assert.ok(outcomes.length > 10, `only ${outcomes.length} tests have run`);
    assert.equal(complaints, '');
    assert.equal(status, outcomes.some(({ failure }) => failure !== undefined) ? 1 : 0);
  });
}

if (process.env[INSIDE] === undefined) {
  const missing = await missingFiles();
  if (missing === false) await reportInside();
  else test('the conformance suite on real files', { skip: missing }, () => {});
} else {
  afterEach(closeFilesOfTest);
  conformance(async () => new LinuxTransport());
  conformanceIommufd(async () => new LinuxTransport());
  conformanceViommu(async () => new LinuxTransport());
  conformanceNested(async () => new LinuxTransport());
  conformanceFaults(async () => new LinuxTransport());
}
