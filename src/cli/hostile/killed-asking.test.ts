/**
 * A server is killed while a thread of its own waits for it: for the answer to a nonce, or to the close of a
 * copy. It is a plain user's, whose guard can abort nothing: no fusectl is mounted.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NONCE_CMD } from '../../devfs/fuse-wire.js';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { Scene } from '../../testkit/kill-scene.js';
import { mounter } from '../../testkit/processes.js';

const KILLS = 8;
const PATIENCE_MS = 1000 * Number(process.env.IOASID_PATIENCE ?? 20);
/** ioctl and close (asm/unistd.h). */
const numbers = process.arch === 'x64' ? { ioctl: 16, close: 3 } : { ioctl: 29, close: 57 };
/** Each kind has a device of its own. */
const devices = Array.from({ length: 9 }, () => ['--device', 'edu']).flat();

/** Is a thread of process `pid`, which has been stopped, in a call that the process itself has to answer? */
function asks(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).some((tid) => {
    const [number, , argument] = readFileSync(`/proc/${pid}/task/${tid}/syscall`, 'latin1').split(' ');
    return (
      Number(number) === numbers.close || (Number(number) === numbers.ioctl && Number(argument) === NONCE_CMD)
    );
  });
}

/** Stops process `pid` at such a moment. */
async function stopAsking(pid: number): Promise<void> {
  for (;;) {
    process.kill(pid, 'SIGSTOP');
    await sleep(1);
    if (asks(pid)) return;
    process.kill(pid, 'SIGCONT');
    await sleep(Math.random() * 5);
  }
}

const runner = mounter();

test('a server that is killed while its own thread waits for it ends, and leaves nothing', {
  skip: runner.skip || missingCompiler(),
  timeout: 60_000 + KILLS * 10_000,
}, async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'ioasid-asking-'));
  chmodSync(root, 0o777);
  t.after(() => rmSync(root, { recursive: true }));
  for (let number = 1; number <= KILLS; number++) {
    const scratch = join(root, String(number));
    mkdirSync(scratch);
    chmodSync(scratch, 0o777);
    const program = [testProgram('restless'), 'reopened', 'swapped'] as const;
    const scene = new Scene({ runner, devices, program, folder: `${scratch}.dev`, scratch });
    await scene.busy();
    await stopAsking(scene.pid);
    process.kill(scene.pid, 'SIGKILL');
    await scene.end(`kill ${number}`, PATIENCE_MS, ['server', 'guard']);
    await scene.kill(`kill ${number}`, PATIENCE_MS);
    assert.deepEqual(await scene.leftovers(PATIENCE_MS), []);
  }
});
