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
import type { Outcome } from './measurement.js';
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
  const disk = join(references.folder, 'nvme.img');
  writeFileSync(disk, numberedPages());
  const pinned = isCommand('taskset') ? ['taskset', '-c', String(cpus().length - 1)] : [];
  const run = [...pinned, process.execPath, ioasid, 'run', '--device', `nvme,file=${disk},queues=1`, '--'];
  const ours = new Passes([...run, driver, '/dev/vfio/1', disk, String(REQUESTS)]);
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

/** A disk whose every page begins with its number, by which the driver knows what it has read. */
function numberedPages(): Uint8Array {
  const bytes = new Uint8Array(PAGES * PAGE);
  const view = new DataView(bytes.buffer);
  for (let page = 0; page < PAGES; page++) view.setUint32(page * PAGE, page, true);
  return bytes;
}
