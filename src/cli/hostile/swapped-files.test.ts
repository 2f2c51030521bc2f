/**
 * A program puts a file of another FUSE file system in the place of a descriptor just while the server copies
 * it, and the server of that file system answers nobody (tests/c/swaps.c). Whoever closes a copy waits as
 * long as that one likes, and no signal ends it: so it is nobody who is missed.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { canHaveHelpers } from '../../linux/patient-helper.js';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { childrenOf } from '../../testkit/descendants.js';
import { ForeignFilesystem } from '../../testkit/foreign-filesystem.js';
import { isAlive, mountsBelow, Running, until, withoutFuse } from '../../testkit/processes.js';

const SWAPPED = 3;
const END_MS = 5000;
const skip =
  withoutFuse ||
  missingCompiler() ||
  (process.geteuid?.() === 0 ? false : 'needs root to mount a filesystem') ||
  (canHaveHelpers() ? false : 'no helper process here');

/** Does process `pid` wait in the kernel, and for no signal? */
function waits(pid: number): boolean {
  try {
    return /\) D /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test(`a server that ${signal} ends is gone in time, whatever file was put in the place of another`, {
    skip,
    timeout: 120_000,
  }, async (t) => {
    const foreign = new ForeignFilesystem(t, { flushes: true });
    const folder = mkdtempSync(join(tmpdir(), 'ioasid-swapped-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const server = Running.ioasid(['serve', '--device', 'edu', folder]);
    const context = join(folder, 'ioasid');
    await server.says(context);
    const program = new Running([testProgram('swaps'), context, foreign.file, String(SWAPPED)]);
    await program.says('open');
    await foreign.silence();
    program.process.stdin.write('\n');
    await program.says(`${SWAPPED} of `);
    // Each was killed, and may have to get a processor to find that it waits on.
    let waiting: readonly number[] = [];
    const allWait = () => {
      waiting = childrenOf(server.pid).filter(waits);
      return waiting.length === SWAPPED;
    };
    await until(allWait, `their wait, ${program.output}`);

    server.kill(signal);
    const late = sleep(END_MS).then(() => assert.fail(`the server has not ended in ${END_MS} ms`));
    await Promise.race([server.ended, late]);
    await until(() => mountsBelow(folder).length === 0, 'nothing is mounted any more');
    assert.ok(waiting.every(isAlive), 'that server is silent still');
    foreign.disconnect();
    await until(() => !waiting.some(isAlive), 'the helpers have ended');
  });
}
