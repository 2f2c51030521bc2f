/**
 * Conformance rules: what a program sees through the client, one test for each.
 *
 * Each runs twice, and asks for the same both times: in a process of a machine that is made for it here, and
 * under `ioasid run`, as an unmodified program on real files (real.test.ts). What was recorded of the first
 * is the same when it is done again (src/replay). Rules that need several processes are tested with real
 * ones, in src/cli.
 */
import assert from 'node:assert/strict';
import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { InProcess } from '../client/in-process.js';
import { LinuxTransport } from '../client/linux-transport.js';
import type { Transport } from '../client/transport.js';
import { CONFIG_REGION, type VfioDeviceFile } from '../client/vfio-device.js';
import { Machine } from '../machine/machine.js';
import { assertReplays, RecordedRun } from '../testkit/replayed.js';

/**
 * vfio0: a function with PASIDs; vfio1, vfio2: mediated devices of one function; vfio3: a function whose
 * requests carry no PASID; vfio4: a whole DSA, its work queues shared ones. There is the interface of Linux's
 * test suite too.
 */
export const conformanceDevices = ['./examples/checksum.js', 'dsa,mdevs=2', 'edu', 'dsa,ready=1'];

/** Set in a program under `ioasid run`. */
export const ON_REAL_FILES = 'IOASID_CONFORMANCE_ON_REAL_FILES';

export const PAGE = 4096;

const root = fileURLToPath(new URL('../../', import.meta.url));
const onRealFiles = process.env[ON_REAL_FILES] !== undefined;

if (onRealFiles) afterEach(closeFilesOfTest);

/** Defines a test with a fresh process. */
export type DefineRule = (name: string, body: (transport: Transport) => void) => void;

/** How rules about `subject` are defined. */
export function rulesOf(subject: string): DefineRule {
  return (name, body) =>
    test(`${subject}: ${name}`, async () => {
      if (onRealFiles) return body(new LinuxTransport());
      const machine = await makeMachine();
      const run = new RecordedRun(machine);
      body(new InProcess(machine));
      await assertReplays(run);
    });
}

/** More than any device takes: only a hang comes to this. */
const PATIENCE_MS = 60_000;

/** Waits, bounded, until `done` says so: a device works while its program does something else. */
export function eventually(done: () => boolean, what: string): void {
  const end = Date.now() + PATIENCE_MS;
  while (!done()) assert.ok(Date.now() < end, `never happened: ${what}`);
}

/** More calls than there are pieces in the work of a test. */
const TURNS = 200;

/**
 * Has `device` served until `done` says so: between two calls a server lets its devices work, so what has not
 * happened after so many is not going to, however slow this process or the server is.
 */
export function served(device: VfioDeviceFile, done: () => boolean): boolean {
  for (let turn = 0; turn < TURNS && !done(); turn++) device.read(CONFIG_REGION, 0, 2);
  return done();
}

function makeMachine(): Promise<Machine> {
  return Machine.create({ devices: conformanceDevices, baseDirectory: root, iommuTest: true });
}

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
