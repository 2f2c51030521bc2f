/**
 * `npm run test:linux [-- VERSION...]`: Linux's own suites for iommufd, of kernels 6.12 and 7.3, under
 * `ioasid run --iommu-test`. Prints what passed by fixture and why the rest did not; its exit status is 0
 * when every failure has a known reason.
 *
 * With `--stub` they run against a device file that answers 0 to everything, and which cases that passes is
 * recorded.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseTap, plannedCases, type Result, reasons, stubFile, stubPasses, table } from './results.js';
import { type KernelVersion, kernelVersions, prepareSuite } from './suite.js';

/** For all cases; the suite itself stops each after 30 s. */
const LIMIT = 400_000;
const HUGE_PAGES = '/proc/sys/vm/nr_hugepages';
/** 2 MiB each: what the largest case maps, 128 MiB, and a rest. */
const HUGE_PAGES_NEEDED = 80;

const ioasid = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
const stub = fileURLToPath(new URL('./stub.js', import.meta.url));

/**
 * The suite's calls go back and forth between it and the server: on one CPU each is a switch, on two a
 * wake-up, which takes several times as long.
 */
function onOneCpu(command: readonly string[]): string[] {
  const cpu = /^Cpus_allowed_list:.*?(\d+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))![1]!;
  return ['taskset', '-c', cpu, process.execPath, ...command];
}

/** What a program has said, and how long it took to say it. */
interface Said {
  readonly text: string;
  /** The longest time between two cases' ends, in seconds, and the case that ended then. */
  readonly slowest: { readonly seconds: number; readonly line: string };
}

/** Runs `command`, with everything it starts, for no longer than the limit. */
function output(command: readonly string[], log: number): Promise<Said> {
  return new Promise((resolve) => {
    const [file, ...args] = onOneCpu(command);
    const child = spawn(file!, args, { stdio: ['ignore', 'pipe', log], detached: true });
    let text = '';
    let slowest = { seconds: 0, line: '' };
    let before = Date.now();
    const timer = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), LIMIT);
    createInterface(child.stdout!).on('line', (line) => {
      text += `${line}\n`;
      if (!/^(not )?ok /.test(line)) return;
      const seconds = (Date.now() - before) / 1000;
      if (seconds > slowest.seconds) slowest = { seconds, line };
      before = Date.now();
    });
    child.on('close', () => {
      clearTimeout(timer);
      resolve({ text, slowest });
    });
  });
}

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
  const { text, slowest } = await output(command, log);
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

const { values, positionals } = parseArgs({
  options: { stub: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const chosen = kernelVersions.filter((version) => positionals.length === 0 || positionals.includes(version));
const giveBack = reserveHugePages();
try {
  for (const kernel of chosen) {
    if (!(await runSuite(kernel, values.stub))) process.exitCode = 1;
  }
} finally {
  giveBack();
}
