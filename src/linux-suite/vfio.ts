/**
 * Linux's own suite for VFIO, all its programs, with models of ours as devices: what passed, and why the rest
 * did not.
 *
 * The program that copies by the device runs once for each mode of the IOMMU, in a world of its own: a case
 * that its time limit ends, in the middle of its copies, has no part in what the next mode comes to.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseTap, plannedCases, type Result, vfioReason } from './results.js';
import { runProgram } from './run-program.js';
import { prepareVfioSuite } from './vfio-suite.js';

/** The first function of a machine. */
const ADDRESS = '0000:6a:01.0';
const MODES = [
  'vfio_type1_iommu',
  'vfio_type1v2_iommu',
  'iommufd_compat_type1',
  'iommufd_compat_type1v2',
  'iommufd',
];
const BY_MODE = 'vfio_pci_driver_test';

/** With limits by which the suite copies 2 GiB at a time. */
const SMALL_DSA = 'dsa,max-transfer=2097152,max-batch=32';
/** With those of real hardware it copies 250 GiB at a time. */
const DSA = 'dsa';

interface Device {
  readonly spec: string;
  readonly programs: (name: string) => boolean;
}

const devices: readonly Device[] = [
  { spec: SMALL_DSA, programs: () => true },
  { spec: 'edu', programs: () => true },
];
const slowDevices: readonly Device[] = [{ spec: DSA, programs: (name) => name === BY_MODE }];

/** What a program has come to with a device. */
interface Outcome {
  readonly device: string;
  readonly program: string;
  readonly results: readonly Result[];
  readonly planned: number;
}

/** @returns true when nothing failed without a reason. */
export async function runVfioSuite(ioasid: string, full: boolean): Promise<boolean> {
  const { version, folder, programs } = prepareVfioSuite();
  const path = join(folder, 'log');
  const log = openSync(path, 'w');
  console.log(`tools/testing/selftests/vfio of Linux ${version}`);
  let sound = true;
  for (const device of full ? [...devices, ...slowDevices] : devices) {
    for (const program of programs.filter(device.programs)) {
      const outcome = await run([ioasid, join(folder, program)], { device: device.spec, program }, log);
      sound = report(outcome) && sound;
    }
  }
  closeSync(log);
  if (readFileSync(path, 'latin1').includes('BrokenInvariant')) {
    console.log('An invariant of ioasid itself does not hold.');
    sound = false;
  }
  if (!sound) console.log(`What the suite says of its failures: ${path}`);
  console.log('');
  return sound;
}

async function run(
  [ioasid, path]: readonly [string, string],
  { device, program }: Pick<Outcome, 'device' | 'program'>,
  log: number,
): Promise<Outcome> {
  const world = [ioasid, 'run', '--bind-first', '--device', device, '--', path];
  const results: Result[] = [];
  let planned = 0;
  for (const mode of program === BY_MODE ? MODES : [undefined]) {
    const { text } = await runProgram([...world, ...(mode === undefined ? [] : ['-v', mode]), ADDRESS], log);
    results.push(...parseTap(text));
    planned += plannedCases(text);
  }
  return { device, program, results, planned };
}

/** @returns true when nothing failed without a reason. */
function report({ device, program, results, planned }: Outcome): boolean {
  const count = (outcome: Result['outcome']) => results.filter((each) => each.outcome === outcome).length;
  const sums = `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`;
  console.log(`${device}, ${program}: ${planned === 0 ? 'nothing to run' : sums}`);
  const failures = results.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name);
  const missed = planned === 0 ? [program] : failures;
  for (const name of missed) console.log(`  ${name}: ${vfioReason(device, name) ?? 'NO REASON KNOWN'}`);
  if (results.length !== planned) console.log(`  it has ended after ${results.length} of ${planned} cases`);
  return results.length === planned && missed.every((name) => vfioReason(device, name) !== undefined);
}
