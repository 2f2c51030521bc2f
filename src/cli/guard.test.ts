/** What a guard does that has been slow: a filesystem's number may be another server's when it looks. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { mountedDevice } from '../linux/fd-identity.js';
import { address, libc } from '../linux/ffi.js';
import { mountFuse } from '../linux/fuse-mount.js';
import { guardsOf, until, withoutFuse } from '../testkit/processes.js';
import { nameToGuard, newSource, startGuard } from './guard.js';

const MNT_DETACH = 2;
const request = new Uint8Array(2 ** 20 + 4096);
const skip = withoutFuse || (process.geteuid?.() === 0 ? false : 'needs root to mount a filesystem');

describe('a guard whose server is dead', { skip }, () => {
  /** Is the connection of a filesystem of the name `source` there when the guard of `guarded` has ended? */
  async function survives(source: string, guarded: string): Promise<boolean> {
    const folder = mkdtempSync(join(tmpdir(), 'ioasid-guard-'));
    const fuse = mountFuse(folder, { allowOther: true, source });
    try {
      const lifeline = startGuard({ source: guarded });
      assert.equal(guardsOf(process.pid).length, 1);
      nameToGuard(lifeline, mountedDevice(folder));
      closeSync(lifeline);
      await until(() => guardsOf(process.pid).length === 0, 'the end of the guard');
      // The first request, INIT, waits in a connection that lives.
      return libc().read(fuse, address(request), request.length) > 0;
    } finally {
      libc().umount2(folder, MNT_DETACH);
      libc().close(fuse);
      rmdirSync(folder);
    }
  }

  it('aborts the connection of its own filesystem', async () => {
    const source = newSource(process.pid);
    assert.equal(await survives(source, source), false);
  });

  it('leaves alone that of another, which has the number that it was told', async () => {
    assert.equal(await survives(newSource(process.pid), newSource(process.pid)), true);
  });
});

it('a guard that was killed before it was told what it guards ends nothing', async () => {
  const lifeline = startGuard({ source: newSource(process.pid) });
  for (const guard of guardsOf(process.pid)) process.kill(guard, 'SIGKILL');
  await until(() => guardsOf(process.pid).length === 0, 'the end of the guard');
  nameToGuard(lifeline, 1);
  closeSync(lifeline);
});
