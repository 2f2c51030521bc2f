/**
 * Benchmark `nvme`: random reads of 4 KiB by a driver in C (bench/nvme.c), 32 at a time, from an NVMe
 * controller behind `ioasid run` whose doorbells it has mapped. The disk is a file in the page cache. The
 * reference is the same driver with a controller in C, as a process of its own (bench/nvme-controller.h).
 *
 * Driver and controller have one processor, on both sides, as in `ring`.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median, type Outcome } from './measurement.js';
import { compare, isCommand, Passes, type References } from './reference.js';

const ioasid = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
const name = 'NVMe reads of 4 KiB, 32 at a time';
const PAGE = 4096;
const PAGES = 1 << 14;
const REQUESTS = 20_000;
const ROUNDS = 21;
const WARMUPS = 5;

export async function nvme(references: References): Promise<Outcome[]> {
  if (!references.hasCompiler)
    return [{ name, skipped: 'its driver is a C program, and there is no compiler (cc)' }];
  const driver = references.compile('nvme');
  const disk = numberedDisk(references);
  const pinned = isCommand('taskset') ? ['taskset', '-c', String(cpus().length - 1)] : [];
  const ours = new Passes([...pinned, ...runOf(disk), driver, '/dev/vfio/1', disk, String(REQUESTS)]);
  const reference = new Passes([...pinned, driver, '-', disk, String(REQUESTS)]);
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

/**
 * Nanoseconds of one such read, by the driver and a controller of ours that may use all processors, as a
 * guest and its QEMU may. There has to be a compiler.
 */
export async function nvmeRead(references: References): Promise<number> {
  const disk = numberedDisk(references);
  const driver = references.compile('nvme');
  const passes = new Passes([...runOf(disk), driver, '/dev/vfio/1', disk, String(REQUESTS)]);
  const read: number[] = [];
  for (let round = -WARMUPS; round < ROUNDS; round++) read.push(await passes.pass());
  await passes.close();
  return median(read.slice(WARMUPS));
}

function runOf(disk: string): string[] {
  return [process.execPath, ioasid, 'run', '--device', `nvme,file=${disk},queues=1`, '--'];
}

/** A disk whose every page begins with its number, by which the driver knows what it has read. */
function numberedDisk({ folder }: References): string {
  const path = join(folder, 'nvme.img');
  const bytes = new Uint8Array(PAGES * PAGE);
  const view = new DataView(bytes.buffer);
  for (let page = 0; page < PAGES; page++) view.setUint32(page * PAGE, page, true);
  writeFileSync(path, bytes);
  return path;
}
