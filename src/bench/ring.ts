/**
 * Benchmark `ring`: requests of a driver in C (bench/ring.c) to a disk behind `ioasid run`, by a split ring
 * in a memfd. The request is GET_ID, which no disk slows down.
 */
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compareDrivers, withoutCompiler } from './c-driver.js';
import type { Outcome } from './measurement.js';
import type { References } from './reference.js';

const name = 'virtio GET_ID, 32 at a time';
const REQUESTS = 20_000;

export async function ring(references: References): Promise<Outcome[]> {
  const skipped = withoutCompiler(name, references);
  if (skipped !== undefined) return [skipped];
  const disk = join(references.folder, 'disk.img');
  writeFileSync(disk, '');
  truncateSync(disk, 1 << 20);
  const compared = await compareDrivers({
    name,
    driver: references.compile('ring'),
    args: [String(REQUESTS)],
    device: `virtio-blk,file=${disk},serial=ioasid`,
    file: '/dev/vhost-vdpa-0',
    maxRatio: 4,
  });
  return [compared];
}
