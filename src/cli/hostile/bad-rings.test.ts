/**
 * Bad rings, messages and calls on a file of vhost-vdpa, by a C program (tests/c/badrings.c): each ends as
 * virtio says, and another disk of the same server goes on after each.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ioasid, runner } from '../../testkit/processes.js';

const brokenRings = [
  'a loop',
  'a head past the table',
  'a next past the table',
  'an index far ahead',
  '4 GiB and more',
  'no place for a status',
  'write before read',
  'indirect and next',
  'a ring nowhere',
  'a ring unmapped',
  'a ring cut off',
];

test('a bad ring needs a reset, a bad buffer is an error, a bad call changes nothing: others go on', {
  skip: runner.skip || missingCompiler(),
}, (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ioasid-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const disks = ['bad.img', 'other.img'].flatMap((name) => {
    const path = join(directory, name);
    writeFileSync(path, '');
    truncateSync(path, 1 << 20);
    return ['-d', `virtio-blk,file=${path}`];
  });
  const program = [testProgram('badrings'), '/dev/vhost-vdpa-0', '/dev/vhost-vdpa-1'];
  const { status, stdout } = ioasid(['run', ...disks, '--', ...program], runner);
  assert.deepEqual(stdout.trim().split('\n'), [
    ...brokenRings.map((name) => `${name}: needs a reset, errors 1, configuration 1`),
    'a buffer nowhere: status 1',
    'a header cut short: status 1',
    'wrong messages: 0 taken',
    'a ring that moves: -1 EINVAL',
    'past the configuration: 0 read',
    "a dead owner's disk: works",
  ]);
  assert.equal(status, 0);
});
