/**
 * Benchmark `nvme`: random reads of 4 KiB by a driver in C (bench/nvme.c), 32 at a time, from an NVMe
 * controller behind `ioasid run` whose doorbells it has mapped. The disk is a file in the page cache.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compareDrivers, underRun, withoutCompiler } from './c-driver.js';
import { median, type Outcome } from './measurement.js';
import { Passes, type References } from './reference.js';

const name = 'NVMe reads of 4 KiB, 32 at a time';
const PAGE = 4096;
const PAGES = 1 << 14;
const REQUESTS = 20_000;
/** Passes that are measured of a controller that has nobody beside it, and those before. */
const ROUNDS = 21;
const WARMUPS = 5;
const file = '/dev/vfio/1';

export async function nvme(references: References): Promise<Outcome[]> {
  const skipped = withoutCompiler(name, references);
  if (skipped !== undefined) return [skipped];
  const disk = numberedDisk(references);
  const compared = await compareDrivers({
    name,
    driver: references.compile('nvme'),
    args: [disk, String(REQUESTS)],
    device: deviceOf(disk),
    file,
    maxRatio: 4,
  });
  return [compared];
}

/**
 * Nanoseconds of one such read, by the driver and a controller of ours that may use all processors, as a
 * guest and its QEMU may. There has to be a compiler.
 */
export async function nvmeRead(references: References): Promise<number> {
  const disk = numberedDisk(references);
  const driver = references.compile('nvme');
  const passes = new Passes(underRun(deviceOf(disk), [driver, file, disk, String(REQUESTS)]));
  const read: number[] = [];
  for (let round = -WARMUPS; round < ROUNDS; round++) read.push(await passes.pass());
  await passes.close();
  return median(read.slice(WARMUPS));
}

function deviceOf(disk: string): string {
  return `nvme,file=${disk},queues=1`;
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
