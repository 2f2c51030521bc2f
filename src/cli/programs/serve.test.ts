import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  guardsOf,
  ioasid,
  isAlive,
  mountsBelow,
  Running,
  runner,
  until,
  withoutFuse,
} from '../../testkit/processes.js';
import { launchMode } from '../launcher-process.js';

const withoutMount = withoutFuse || (launchMode() === 'root' ? false : 'mounting for all needs root here');

const registerFile = new URL('../../testkit/register-file.js', import.meta.url).href;

describe('serve', { skip: withoutMount }, () => {
  const scratch = mkdtempSync(join(tmpdir(), 'ioasid-serve-'));
  after(() => rmSync(scratch, { recursive: true }));

  /** A server below `folder`, ready. */
  async function serving(folder: string): Promise<Running> {
    const running = Running.ioasid(['serve', '--device', 'edu', folder]);
    await running.says(`${folder}/vfio/devices/vfio0`);
    return running;
  }

  it('--ready-fd is told when the files are there; one that it was not given ends it', async () => {
    const [folder, ready] = [join(scratch, 'ready'), join(scratch, 'ready-fd')];
    const prefix = ['sh', '-c', 'exec 3>"$0"; exec "$@"', ready];
    const args = ['serve', '--device', 'edu', '--ready-fd', '3', folder];
    const running = Running.ioasid(args, { ...runner, prefix });
    await until(() => existsSync(ready) && readFileSync(ready, 'utf8') === '\n', 'the newline');
    closeSync(openSync(join(folder, 'ioasid'), 'r+'));
    running.kill('SIGINT');
    assert.deepEqual(await running.ended, { status: 0, signal: null });
    // The lowest that are free are Node's own in each of its processes.
    for (const fd of [3, 77]) {
      const { status, stderr } = ioasid(['serve', '--ready-fd', String(fd), folder]);
      assert.equal(status, 125);
      assert.match(stderr, new RegExp(`descriptor ${fd} of --ready-fd is none that ioasid was started with`));
    }
  });

  it('prints the paths of its files, and other processes can open them', async () => {
    const folder = join(scratch, 'a', 'b');
    const running = await serving(folder);
    assert.match(running.output, new RegExp(`^${folder}/ioasid$`, 'm'));
    assert.deepEqual(readdirSync(folder).sort(), ['ioasid', 'iommu', 'vfio']);
    closeSync(openSync(join(folder, 'ioasid'), 'r+'));
    running.kill('SIGINT');
    assert.deepEqual(await running.ended, { status: 0, signal: null });
  });

  it('ends with the npx that has started it, killed or not', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const folder = join(scratch, `npx-${signal}`);
      const npx = spawn('npx', ['--offline', 'ioasid', 'serve', '--device', 'edu', folder], {
        cwd: fileURLToPath(new URL('../../../', import.meta.url)),
        stdio: 'ignore',
      });
      await until(() => existsSync(join(folder, 'ioasid')), 'the server serves');
      npx.kill(signal);
      await until(() => !existsSync(folder), `the folder is gone after ${signal}`);
    }
  });

  it('unmounts and removes its folder at SIGINT, SIGTERM and SIGHUP', async () => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      const folder = join(scratch, signal);
      const running = await serving(folder);
      running.kill(signal);
      assert.equal((await running.ended).status, 0);
      assert.equal(existsSync(folder), false);
    }
  });

  it('keeps a folder that was there before', async () => {
    const folder = join(scratch, 'kept');
    mkdirSync(folder);
    const running = await serving(folder);
    running.kill('SIGINT');
    await running.ended;
    assert.deepEqual(readdirSync(folder), []);
  });

  it('leaves no mount and no process behind when it is killed, before and after a first open', async () => {
    for (const isOpened of [false, true]) {
      const folder = join(scratch, 'killed');
      const running = await serving(folder);
      if (isOpened) closeSync(openSync(join(folder, 'ioasid'), 'r+'));
      const guards = guardsOf(running.pid);
      assert.equal(guards.length, 1);
      running.kill('SIGKILL');
      await running.ended;
      await until(() => !guards.some(isAlive), 'the end of the guard');
      assert.deepEqual(mountsBelow(folder), []);
    }
  });

  it('has no thread that stands in for its own before a first open, but with a module', async () => {
    const [folder, module] = [join(scratch, 'threads'), join(scratch, 'model.mjs')];
    writeFileSync(module, `export { default } from ${JSON.stringify(registerFile)};`);
    const more = async (device: string) => {
      const running = Running.ioasid(['serve', '--device', device, folder]);
      await running.says(`${folder}/vfio/devices/vfio0`);
      const threads = () => readdirSync(`/proc/${running.pid}/task`).length;
      const before = threads();
      for (let times = 0; times < 2; times++) closeSync(openSync(join(folder, 'ioasid'), 'r+'));
      const after = threads();
      running.kill('SIGINT');
      assert.deepEqual(await running.ended, { status: 0, signal: null });
      return after - before;
    };
    assert.equal(await more('edu'), 1);
    assert.equal(await more(module), 0);
  });

  it('takes its mount away at a signal that comes as soon as that is there, without its guard', async () => {
    const folder = join(scratch, 'early');
    const running = Running.ioasid(['serve', '--device', 'edu', folder]);
    while (mountsBelow(folder).length === 0) await new Promise(setImmediate);
    running.kill('SIGTERM');
    for (const guard of guardsOf(running.pid)) process.kill(guard, 'SIGKILL');
    assert.deepEqual(await running.ended, { status: 0, signal: null });
    assert.deepEqual(mountsBelow(folder), []);
  });

  it('replaces the mount of a server that died together with its guard', async () => {
    const folder = join(scratch, 'stale');
    const first = await serving(folder);
    for (const guard of guardsOf(first.pid)) process.kill(guard, 'SIGKILL');
    first.kill('SIGKILL');
    await first.ended;
    assert.throws(() => readdirSync(folder), { code: 'ENOTCONN' });
    const second = await serving(folder);
    assert.deepEqual(readdirSync(folder).sort(), ['ioasid', 'iommu', 'vfio']);
    second.kill('SIGINT');
    assert.equal((await second.ended).status, 0);
  });

  it('is left alone by the guard of one that was killed before it, however late that comes', async () => {
    const folder = join(scratch, 'followed');
    const first = await serving(folder);
    const guards = guardsOf(first.pid);
    assert.equal(guards.length, 1);
    for (const guard of guards) process.kill(guard, 'SIGSTOP');
    first.kill('SIGKILL');
    await first.ended;
    const second = await serving(folder);
    for (const guard of guards) process.kill(guard, 'SIGCONT');
    await until(() => !guards.some(isAlive), 'the end of the guard');
    assert.deepEqual(readdirSync(folder).sort(), ['ioasid', 'iommu', 'vfio']);
    second.kill('SIGINT');
    assert.equal((await second.ended).status, 0);
  });

  it('refuses a folder that another server serves, and one with files in it', async () => {
    const folder = join(scratch, 'busy');
    const running = await serving(folder);
    const second = ioasid(['serve', '--device', 'edu', folder]);
    assert.equal(second.status, 125);
    assert.match(second.stderr, /another ioasid serves/);
    running.kill('SIGINT');
    await running.ended;

    const full = join(scratch, 'full');
    mkdirSync(full);
    writeFileSync(join(full, 'file'), '');
    const third = ioasid(['serve', '--device', 'edu', full]);
    assert.equal(third.status, 125);
    assert.match(third.stderr, /has files in it/);
  });
});
