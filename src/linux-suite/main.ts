/**
 * `npm run test:linux [-- [--full] SUITE...]`: Linux's own suites for iommufd, of kernels 6.12 and 7.3, under
 * `ioasid run --iommu-test`, and for VFIO, of kernel 7.3 (`vfio`). Prints what passed and why the rest did
 * not; its exit status is 0 when every failure has a known reason. `--full` adds what takes minutes: the
 * copies of a dsa with the limits of real hardware.
 *
 * With `--stub` they run against a device file that answers 0 to everything, and which cases that passes is
 * recorded.
 */
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { commandLine, someOf } from '../testkit/command-line.js';
import { parseTap, plannedCases, type Result, reasons, stubFile, stubPasses, table } from './results.js';
import { runProgram } from './run-program.js';
import { type KernelVersion, kernelVersions, prepareSuite } from './suite.js';
import { runVfioSuite } from './vfio.js';

const HUGE_PAGES = '/proc/sys/vm/nr_hugepages';
/** 2 MiB each: what the largest case maps, 128 MiB, and a rest. */
const HUGE_PAGES_NEEDED = 80;

const ioasid = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
const stub = fileURLToPath(new URL('./stub.js', import.meta.url));

function hugePages(): number {
  return Number(readFileSync(HUGE_PAGES, 'latin1'));
}

/**
 * Asks the kernel for huge pages, which some cases need; without the right to, they fail. @returns how to
 * give them back.
 */
function reserveHugePages(): () => void {
  const before = hugePages();
  if (before >= HUGE_PAGES_NEEDED) return () => undefined;
  try {
    writeFileSync(HUGE_PAGES, String(HUGE_PAGES_NEEDED));
    return () => writeFileSync(HUGE_PAGES, String(before));
  } catch {
    console.log('2 MiB pages cannot be reserved here (that takes root): the cases that need them will fail.');
    return () => undefined;
  }
}

function report(
  kernel: KernelVersion,
  version: string,
  results: readonly Result[],
  planned: number,
): boolean {
  const byStub = stubPasses(kernel);
  const reasonOf = reasons(kernel, hugePages() >= HUGE_PAGES_NEEDED);
  console.log(`tools/testing/selftests/iommu of Linux ${version}\n${table(results, byStub)}\n`);
  const failures = results.filter(({ outcome }) => outcome === 'failed');
  for (const { name } of failures) console.log(`${name}: ${reasonOf(name) ?? 'NO REASON KNOWN'}`);
  const counted = results.filter(({ name, outcome }) => !byStub.has(name) && outcome !== 'skipped');
  const won = counted.filter(({ outcome }) => outcome === 'passed');
  console.log(`${won.length} of ${counted.length} cases that a stub does not pass\n`);
  if (results.length !== planned)
    console.log(`The suite has ended after ${results.length} of its ${planned} cases`);
  return (
    results.length > 0 &&
    results.length === planned &&
    failures.every(({ name }) => reasonOf(name) !== undefined)
  );
}

function record(kernel: KernelVersion, version: string, results: readonly Result[]): void {
  const passed = results.filter(({ outcome }) => outcome === 'passed').map(({ name }) => name);
  const command = `node dist/linux-suite/main.js --stub ${kernel}`;
  const made = `${command}, with Linux ${version}: what passes when each call on /dev/iommu answers 0`;
  writeFileSync(stubFile(kernel), `${JSON.stringify({ made, passed }, undefined, 2)}\n`);
  console.log(`a stub passes ${passed.length} of ${results.length}`);
}

/** @returns true when nothing failed without a reason. */
async function runSuite(kernel: KernelVersion, stubbed: boolean): Promise<boolean> {
  const { version, program } = prepareSuite(kernel);
  // What the suite says of its failures.
  const log = openSync(`${program}.log`, 'w');
  const command = stubbed ? [stub, program] : [ioasid, 'run', '--iommu-test', '--', program];
  const { text, slowest } = await runProgram(command, log);
  const results = parseTap(text);
  closeSync(log);
  const sound = !readFileSync(`${program}.log`, 'latin1').includes('BrokenInvariant');
  if (!sound) console.log('An invariant of ioasid itself does not hold.');
  console.log(`slowest: ${slowest.line}, ${slowest.seconds.toFixed(1)} s`);
  if (stubbed) record(kernel, version, results);
  else if (report(kernel, version, results, plannedCases(text)) && sound) return true;
  else console.log(`What the suite says of its failures: ${program}.log`);
  return stubbed;
}

const asked = commandLine('test:linux', "Linux's own suites for iommufd and VFIO, under `ioasid run`.")
  .addArgument(someOf('suite', [...kernelVersions, 'vfio']))
  .option('--full', 'the copies of a dsa with the limits of real hardware, too', false)
  .option('--stub', 'record what passes where each call answers 0', false)
  .parse();
const { stub: stubbed, full } = asked.opts<{ readonly stub: boolean; readonly full: boolean }>();
const chooses = (suite: string) => asked.args.length === 0 || asked.args.includes(suite);
const giveBack = reserveHugePages();
try {
  for (const kernel of kernelVersions.filter(chooses)) {
    if (!(await runSuite(kernel, stubbed))) process.exitCode = 1;
  }
  if (chooses('vfio') && !stubbed && !(await runVfioSuite(ioasid, full))) process.exitCode = 1;
} finally {
  giveBack();
}
