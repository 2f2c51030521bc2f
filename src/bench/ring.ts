/**
 * Benchmark `ring`: requests of a driver in C (bench/ring.c) to a disk behind `ioasid run`, by a split ring
 * in a memfd: the device's whole way from a kick to its interrupt. The request is GET_ID, which no disk slows
 * down. The reference is the same driver with a device in C, as a process of its own (bench/ring-device.h).
 *
 * Driver and device have one processor, on both sides. With two they may be placed on one or on both, and to
 * wake a processor that sleeps costs 20 us in a virtual machine: more than all else that is measured here.
 */
import { truncateSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './measurement.js';
import { compare, isCommand, Passes, type References } from './reference.js';

const ioasid = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
const name = 'virtio GET_ID, 32 at a time';
const REQUESTS = 20_000;
const ROUNDS = 21;
const WARMUPS = 5;

export async function ring(references: References): Promise<Outcome[]> {
  if (!references.hasCompiler)
    return [{ name, skipped: 'its driver is a C program, and there is no compiler (cc)' }];
  const driver = references.compile('ring');
  const disk = join(references.folder, 'disk.img');
  writeFileSync(disk, '');
  truncateSync(disk, 1 << 20);
  const pinned = isCommand('taskset') ? ['taskset', '-c', String(cpus().length - 1)] : [];
  const run = [
    ...pinned,
    process.execPath,
    ioasid,
    'run',
    '--device',
    `virtio-blk,file=${disk},serial=ioasid`,
    '--',
  ];
  const ours = new Passes([...run, driver, '/dev/vhost-vdpa-0', String(REQUESTS)]);
  const reference = new Passes([...pinned, driver, '-', String(REQUESTS)]);
  const result = await compare(
    () => ours.pass(),
    () => reference.pass(),
    ROUNDS,
    WARMUPS,
  );
  await reference.close();
  await ours.close();
  return [{ name, unit: 'ns', ...result, maxRatio: 4 }];
}
