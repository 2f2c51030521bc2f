/**
 * `npm run test:linux`: Linux's own suite for iommufd, under `ioasid run --iommu-test`. Prints what passed by fixture and why the rest did not;
 * its exit status is 0 when every failure has a known reason.
 *
 * With `--stub` it runs against a device file that answers 0 to everything, and records which cases that passes.
 */
import { spawn } from 'node:child_process';
import { openSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseTap, type Result, reasons, stubFile, stubPasses, table } from './results.js';
import { prepareSuite } from './suite.js';

/** For all cases; the suite itself stops each after 30 s. */
const LIMIT = 400_000;
const HUGE_PAGES = '/proc/sys/vm/nr_hugepages';
/** 2 MiB each: what the largest case maps, 128 MiB, and a rest. */
const HUGE_PAGES_NEEDED = 80;

const ioasid = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
const stub = fileURLToPath(new URL('./stub.js', import.meta.url));

/** Runs `command`, with everything it starts, for no longer than the limit. */
function output(command: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', log], detached: true });
    let text = '';
    const timer = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), LIMIT);
    child.stdout!.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    child.on('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}

function hugePages(): number {
  return Number(readFileSync(HUGE_PAGES, 'latin1'));
}

/** Asks the kernel for huge pages, which some cases need; without the right to, they fail. @returns how to give them back. */
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

function report(version: string, results: readonly Result[]): boolean {
  const byStub = stubPasses();
  const reasonOf = reasons(hugePages() >= HUGE_PAGES_NEEDED);
  console.log(`tools/testing/selftests/iommu of linux-source-6.12 ${version}\n${table(results, byStub)}\n`);
  const failures = results.filter(({ outcome }) => outcome === 'failed');
  for (const { name } of failures) console.log(`${name}: ${reasonOf(name) ?? 'NO REASON KNOWN'}`);
  const counted = results.filter(({ name, outcome }) => !byStub.has(name) && outcome !== 'skipped');
  const won = counted.filter(({ outcome }) => outcome === 'passed');
  if (failures.length > 0) console.log(`What the suite says of them: ${program}.log`);
  console.log(`${won.length} of ${counted.length} cases that a stub does not pass`);
  return results.length > 0 && failures.every(({ name }) => reasonOf(name) !== undefined);
}

function record(version: string, results: readonly Result[]): void {
  const passed = results.filter(({ outcome }) => outcome === 'passed').map(({ name }) => name);
  const made = `node dist/linux-suite/main.js --stub, with linux-source-6.12 ${version}: what passes when each call on /dev/iommu answers 0`;
  writeFileSync(stubFile, `${JSON.stringify({ made, passed }, undefined, 2)}\n`);
  console.log(`a stub passes ${passed.length} of ${results.length}`);
}

const { version, program } = prepareSuite();
// What the suite says of its failures.
const log = openSync(`${program}.log`, 'w');
const giveBack = reserveHugePages();
try {
  if (process.argv.includes('--stub')) {
    record(version, parseTap(await output([stub, program])));
  } else {
    const results = parseTap(await output([ioasid, 'run', '--iommu-test', '--', program]));
    process.exitCode = report(version, results) ? 0 : 1;
  }
} finally {
  giveBack();
}
