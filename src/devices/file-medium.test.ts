/** A file that takes its time has so many threads of the pool, and no more, however much it has to do. */
import assert from 'node:assert/strict';
import fs, { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DISK_THREADS } from '../linux/pool-threads.js';
import { FileMedium } from './file-medium.js';
import { Job } from './medium.js';

type Done = (error: Error | null) => void;

/** A file whose calls of fdatasync(2) end when the test says so. @returns it, and those under way. */
function slowFile(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-medium-'));
  const path = join(folder, 'disk');
  writeFileSync(path, Buffer.alloc(512));
  const underWay: Done[] = [];
  const mocked = t.mock.method(fs, 'fdatasync', (_fd: number, done: Done) => underWay.push(done));
  syncBuiltinESMExports();
  t.after(() => {
    mocked.mock.restore();
    syncBuiltinESMExports();
    rmSync(folder, { recursive: true });
  });
  return { medium: new FileMedium(path, true), underWay };
}

test('a file has so many jobs under way at most; the next begins when one ends, in their order', (t) => {
  const { medium, underWay } = slowFile(t);
  const ended: string[] = [];
  const jobs = 3 * DISK_THREADS;
  for (let number = 0; number < jobs; number++) {
    const job = Object.assign(new Job(), { kind: 'sync' });
    assert.equal(
      medium.begin(job, number, true, (error) => ended.push(`${number} ${error ?? 'well'}`)),
      false,
    );
  }
  const order: string[] = [];
  for (let left = jobs; left > 0; left--) {
    assert.equal(underWay.length, Math.min(left, DISK_THREADS));
    // One that fails makes room as well.
    const fails = left % 2 === 0;
    order.push(`${jobs - left} ${fails ? 'no' : 'well'}`);
    underWay.shift()!(fails ? new Error('no') : null);
    assert.deepEqual(ended, order);
  }
  assert.equal(underWay.length, 0);
});
