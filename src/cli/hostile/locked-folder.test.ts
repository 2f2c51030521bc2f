/**
 * Who lists a folder into memory that does not come has the folder locked, as long as he likes: nobody can
 * make or remove something there, and no signal ends who tries. A server that has made its own folder ends
 * all the same, and leaves a process of its behind that removes it then. In a folder of ours nobody would
 * open a path while it is locked and somebody makes something there, so others list none that is not
 * `--listed`.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { canHaveHelpers } from '../../linux/patient-helper.js';
import { Child, PAGE } from '../../testkit/child.js';
import { ForeignFilesystem } from '../../testkit/foreign-filesystem.js';
import { until } from '../../testkit/mounted.js';
import { guardsOf, Running, withoutFuse } from '../../testkit/processes.js';

const PROT_READ_WRITE = 3;
const MAP_PRIVATE = 2;
const O_DIRECTORY = 0o200000;
const [SYS_getdents64, SYS_setuid] = process.arch === 'arm64' ? [61, 146] : [217, 105];
const EACCES = 13;

const withoutRoot = process.geteuid?.() === 0 ? false : 'needs root to mount a filesystem';
const skip = withoutFuse || withoutRoot || (canHaveHelpers() ? false : 'no helper process here');

/** Locks `folder`. @returns what lets it go. */
async function lock(t: TestContext, folder: string): Promise<() => void> {
  const foreign = new ForeignFilesystem(t);
  const child = new Child();
  t.after(() => child.kill());
  const file = await child.call('open', foreign.file, 2, 0);
  // Past its end nobody is asked for a page.
  assert.equal(await child.call('pwrite', file, await child.map(PAGE), 64, 0), 64);
  const page = await child.call('mmap', 0, PAGE, PROT_READ_WRITE, MAP_PRIVATE, file, 0);
  const listed = await child.call('open', folder, O_DIRECTORY, 0);
  await foreign.silence();
  void child.call('syscall', SYS_getdents64, listed, page, PAGE);
  await foreign.readTaken();
  return () => foreign.disconnect();
}

describe('a server that has made its folder, below one that somebody has locked', { skip }, () => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const)
    it(`ends by ${signal}, and its folder is removed when it can be`, async (t) => {
      const above = mkdtempSync(join(tmpdir(), 'ioasid-locked-'));
      t.after(() => rmSync(above, { recursive: true }));
      const folder = join(above, 'made');
      const server = Running.ioasid(['serve', '--device', 'edu', folder]);
      await server.says(join(folder, 'vfio/1'));
      const unlock = await lock(t, above);
      server.kill(signal);
      const { status } = await server.ended;
      if (signal === 'SIGTERM') {
        assert.equal(status, 125);
        await server.says(`the folder ${folder} is not removed yet: somebody keeps the one above it locked`);
      }
      await until(() => !readFileSync('/proc/mounts', 'utf8').includes(folder));
      assert.ok(existsSync(folder));
      unlock();
      await until(() => !existsSync(folder));
    });
});

it('a server that is to make its folder in one that somebody has locked says so, and leaves none', {
  skip,
}, async (t) => {
  const above = mkdtempSync(join(tmpdir(), 'ioasid-locked-'));
  t.after(() => rmSync(above, { recursive: true }));
  const folder = join(above, 'made');
  const unlock = await lock(t, above);
  const server = Running.ioasid(['serve', '--device', 'edu', folder]);
  const { pid } = server;
  assert.equal((await server.ended).status, 125);
  assert.equal(
    server.output,
    `ioasid: the folder ${folder} is not made yet: somebody keeps the one above it locked\n`,
  );
  // Its guard waits to remove what it waits to make, and who looks for it now waits behind both.
  await until(() => guardsOf(pid).length === 0);
  unlock();
  await until(() => !existsSync(folder));
});

it('in the folders of a server others open files, and list none that is not --listed', {
  skip,
}, async (t) => {
  const above = mkdtempSync(join(tmpdir(), 'ioasid-unlisted-'));
  chmodSync(above, 0o755);
  const folder = join(above, 'made');
  for (const [options, others] of [
    [[], -EACCES],
    [['--listed'], 0],
  ] as const) {
    const server = Running.ioasid(['serve', ...options, '--device', 'dsa,mdevs=1', folder]);
    const other = new Child();
    t.after(() => other.kill());
    await server.says(join(folder, 'vfio/1'));
    assert.equal(await other.call('syscall', SYS_setuid, 65534, 0, 0), 0);
    for (const below of ['', 'vfio', 'vfio/devices']) {
      assert.notDeepEqual(readdirSync(join(folder, below)), [], 'its owner lists it');
      const opened = await other.call('open', join(folder, below), O_DIRECTORY, 0);
      assert.equal(Math.min(opened, 0), others, below);
    }
    for (const path of ['ioasid', 'vfio/1', 'vfio/devices/vfio0'])
      assert.ok((await other.call('open', join(folder, path), 2, 0)) >= 0, path);
    await other.kill();
    server.kill('SIGTERM');
    assert.equal((await server.ended).status, 0);
  }
  rmdirSync(above);
});
