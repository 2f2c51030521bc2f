import assert from 'node:assert/strict';
import { spawn as nodeSpawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { seize } from './attach.js';
import { Errno, Refusal } from './errno.js';
import { pipe } from './fd-passing.js';
import { address, libc } from './ffi.js';
import { goOn, whyNotTraceable } from './ptrace.js';
import { spawn } from './spawn.js';
import { Change, WaitStates } from './wait-states.js';

/** The end of a shell that runs `script`. */
async function endOf(script: string, fds = new Map<number, number>()): Promise<readonly [number, number]> {
  const states = new WaitStates();
  const pid = spawn(['sh', '-c', script], process.env, fds);
  return await new Promise((resolve) => {
    const look = setInterval(() => states.look(), 5);
    states.watch(pid, (change, status) => {
      clearInterval(look);
      resolve([change, status]);
    });
  });
}

test('the end of a process is told once, as exit status or as signal', async () => {
  assert.deepEqual(await endOf('exit 7'), [Change.EXITED, 7]);
  assert.deepEqual(await endOf('kill -9 $$'), [Change.KILLED, 9]);
});

test('the end of a child of child_process is not taken from it, and hides nobody', async () => {
  const foreign = nodeSpawn('sh', ['-c', 'exit 3']);
  const exit = once(foreign, 'exit');
  // It is dead, and stands before ours, until Node gets a turn.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  const states = new WaitStates();
  const pid = spawn(['true'], process.env, new Map());
  const seen: number[] = [];
  states.watch(pid, (change) => seen.push(change));
  while (seen.length === 0) {
    states.look();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }
  assert.deepEqual(seen, [Change.EXITED]);
  assert.deepEqual(await exit, [3, null]);
});

test('a process has the descriptors that were named for it, under the numbers that were named', async () => {
  const [reads, writes] = pipe();
  await endOf('echo hello >&7; ls /proc/self/fd >&7', new Map([[7, writes]]));
  libc().close(writes);
  const said = Buffer.alloc(256);
  const length = libc().read(reads, address(said), said.length);
  libc().close(reads);
  const lines = said.toString('latin1', 0, length).trim().split('\n');
  assert.equal(lines[0], 'hello');
  assert.ok(lines.includes('7'), lines.join(' '));
});

test('a program that is not there is ENOENT', () => {
  assert.throws(
    () => spawn(['/nonexistent/program'], {}, new Map()),
    (error: unknown) => error instanceof Refusal && error.errno === Errno.ENOENT,
  );
});

const canTrace = whyNotTraceable() ?? false;

test('stops of the thread that stopped last are followed, each is told once', {
  skip: canTrace,
}, async () => {
  const states = new WaitStates();
  const script = 'trap : USR1; while :; do kill -USR1 $$; done';
  const pid = spawn(['sh', '-c', script], process.env, new Map());
  const told = { stops: 0, ends: 0 };
  states.watchStops(pid, (change) => {
    if (change === Change.TRAPPED) {
      told.stops++;
      goOn(pid, 0);
    } else told.ends++;
  });
  seize(pid);
  let [followed, calls] = [0, 0];
  const between = () => ++calls > 0;
  for (let all = true; followed < 200; all = states.look(1)) {
    const before = told.stops;
    const some = states.follow(16, between);
    assert.equal(told.stops - before, some);
    assert.ok(some <= 16);
    followed += some;
    if (all && some === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  process.kill(pid, 'SIGKILL');
  while (told.ends === 0) states.look();
  assert.equal(calls, followed, 'others are served after each');
  assert.deepEqual([told.ends, states.follow(16, between)], [1, 0]);
});
