/**
 * Benchmark `mapped`: loads and stores of a mapped BAR, and submissions to a dsa, under `ioasid run`, each
 * beside the same access by a call, of the same program and in turns with it. Program and server are on one
 * CPU. Then memory in a BAR, beside memory of the program's own, and what the mapping of an ordinary file and
 * the start of a program cost there, beside outside. posix_spawn(3) of old C libraries makes calls that are
 * trapped (docs/performance.md).
 *
 * On a processor without MOVDIR64B a submission begins with an illegal instruction, which a hypervisor may
 * want to see first. What it costs to handle that and to ask another process, in C and without a tracer,
 * stands beside pwrite too: nobody can be faster there.
 */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './measurement.js';
import { type Comparison, compare, isCommand, Passes, type References } from './reference.js';

const ioasid = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
const DEVICE = '/dev/vfio/devices/vfio0';
/** With room for all of a pass: a dedicated work queue drops what it has no room for. */
const DSA = 'dsa,ready=1,mode=dedicated,wqs=1,engines=1,groups=1,size=4096';
/** It has memory in its BAR. */
const RINGING = fileURLToPath(new URL('../testkit/ringing-device.js', import.meta.url));
const ACCESSES = 1000;
const ROUNDS = 21;
const STARTS = 20;

const accesses = [
  { name: 'a load of a mapped BAR, beside pread', device: 'edu', way: 'load', maxRatio: 2 },
  { name: 'a store to a mapped BAR, beside pwrite', device: 'edu', way: 'store', maxRatio: 2 },
  { name: 'a submission by MOVDIR64B, beside pwrite', device: DSA, way: 'submit', maxRatio: 1 },
  { name: 'a page of memory in a mapped BAR', device: RINGING, way: 'memory', maxRatio: 1.1 },
];

/** What programs do that map nothing of ours. */
const others = [
  {
    name: 'mmap of a shared file, beside outside',
    file: fileURLToPath(import.meta.url),
    way: 'map',
    count: ACCESSES,
    maxRatio: undefined,
  },
  {
    name: 'a program started by fork, beside outside',
    file: '/bin/true',
    way: 'fork',
    count: STARTS,
    maxRatio: 1.1,
  },
  {
    name: 'a program started by posix_spawn, beside outside',
    file: '/bin/true',
    way: 'spawn',
    count: STARTS,
    maxRatio: 1.1,
  },
];

export async function mapped(references: References): Promise<Outcome[]> {
  const missing = references.hasCompiler
    ? undefined
    : 'its client is a C program, and there is no compiler (cc)';
  const skipped = missing ?? (isCommand('taskset') ? undefined : 'there is no taskset (util-linux)');
  if (skipped !== undefined) return accesses.map(({ name }) => ({ name, skipped }));
  const client = references.compile('mapped');
  const pinned = ['taskset', '-c', String(cpus().length - 1)];
  const under = (device: string, ...args: readonly string[]) =>
    new Passes([...pinned, process.execPath, ioasid, 'run', '--device', device, '--', client, ...args]);
  const outcomes: Outcome[] = [];
  for (const { name, device, way, maxRatio } of accesses) {
    const passes = under(device, DEVICE, way, String(ACCESSES));
    const pass = () => passes.pass();
    const result = await compare(pass, pass, ROUNDS);
    await passes.close();
    outcomes.push({ name, unit: 'ns', ...result, maxRatio });
  }
  const outside = (...args: readonly string[]) => new Passes([...pinned, client, ...args]);
  const illegal = 'MOVDIR64B as SIGILL and a round trip, in C';
  if (readFileSync('/proc/cpuinfo', 'latin1').includes(' movdir64b'))
    outcomes.push({ name: illegal, skipped: 'the processor has the instruction' });
  else {
    const raised = outside('/dev/null', 'raise', String(ACCESSES));
    const alone = await beside(raised, under(DSA, DEVICE, 'write', String(ACCESSES)));
    outcomes.push({ name: illegal, unit: 'ns', ...alone });
  }
  for (const { name, file, way, count, maxRatio } of others) {
    const args = [file, way, String(count)];
    outcomes.push({ name, unit: 'ns', ...(await beside(under('edu', ...args), outside(...args))), maxRatio });
  }
  return outcomes;
}

/** Both in turns, and ends them. */
async function beside(ours: Passes, theirs: Passes): Promise<Comparison> {
  const result = await compare(
    () => ours.pass(),
    () => theirs.pass(),
    ROUNDS,
  );
  await ours.close();
  await theirs.close();
  return result;
}
