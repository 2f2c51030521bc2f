/**
 * Memory that its owner has unmapped, and memory whose owner has exited: what devices still reach of it,
 * through each of Linux's ABIs. What is done is in tests/c/held.c.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ioasid, runner } from '../../testkit/processes.js';

const [KEPT, GONE] = ['mapped yes unmapped yes exited yes', 'mapped yes unmapped no exited no'];

/** Of what has no descriptor, only root can get one. */
const withoutDescriptor = runner.name === 'root' ? KEPT : GONE;
const expected = {
  anonymous: withoutDescriptor,
  tmpfs: withoutDescriptor,
  memfd: KEPT,
  'read-only': KEPT,
  private: GONE,
};

const folder = mkdtempSync(join(tmpdir(), 'ioasid-held-'));
after(() => rmSync(folder, { recursive: true }));
const disk = join(folder, 'disk');
writeFileSync(disk, '');
truncateSync(disk, 1 << 20);
chmodSync(folder, 0o777);
chmodSync(disk, 0o666);

describe(`memory without its owner, as ${runner.name}`, { skip: runner.skip || missingCompiler() }, () => {
  for (const [kind, rule] of [
    ['type1', 'a type1 container keeps what is shared and can be opened, with the rights of its mapping'],
    ['iommufd', 'so does an IOAS with a domain'],
    ['iotlb', 'and so does the IOTLB of a vDPA device'],
  ] as const) {
    it(rule, () => {
      const devices = ['--device', 'edu,bdf=0000:3b:00.0', '--device', `virtio-blk,file=${disk}`];
      const { status, stdout, stderr } = ioasid(['run', ...devices, '--', testProgram('held'), kind], runner);
      const lines = Object.entries(expected).map(([memory, what]) => `${memory}: ${what}\n`);
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: lines.join(''), stderr: '' });
    });
  }
});
