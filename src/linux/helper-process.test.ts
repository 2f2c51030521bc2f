import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { testMachineCodes } from '../testkit/assembler.js';
import { Errno } from './errno.js';
import { check, libc } from './ffi.js';
import { helperCodes } from './helper-code.js';
import { HelperProcess, Sys } from './helper-process.js';
import { OUR_PIDFD } from './helper-start.js';
import { canHaveHelpers } from './patient-helper.js';

const FUTEX_WAIT = 0;
const FALLOCATE = process.arch === 'arm64' ? 47 : 285;
const PATIENCE_MS = 20;
const skip = canHaveHelpers() ? false : `no helper process on ${process.platform} ${process.arch}`;

testMachineCodes(helperCodes);

test('a helper does system calls in their order, with files and memory that it shares with us', {
  skip,
}, (t) => {
  const helper = new HelperProcess();
  t.after(() => helper.kill());
  const file = check(libc().memfd_create('file', 1), 'no memfd');
  t.after(() => libc().close(file));
  helper.put(0, Sys.pidfd_getfd, OUR_PIDFD, file, 0);
  assert.notEqual(helper.do(1, PATIENCE_MS), -1);
  const there = helper.result(0);
  assert.ok(there > 2, `${there}`);
  helper.data.set([1, 2, 3, 4]);
  helper.put(0, Sys.pwrite, there, helper.dataAt, 4, 2 ** 33);
  helper.put(1, Sys.pread, there, helper.dataAt + 8, 3, 2 ** 33 + 1);
  helper.put(2, Sys.close, there);
  helper.put(3, Sys.close, there);
  assert.notEqual(helper.do(4, PATIENCE_MS), -1);
  assert.deepEqual(
    [0, 1, 2, 3].map((index) => helper.result(index)),
    [4, 3, 0, -Errno.EBADF],
  );
  assert.deepEqual([...helper.data.subarray(8, 12)], [2, 3, 4, 0]);
});

test('a helper does nothing behind a call that returns less than is required of it', { skip }, (t) => {
  const helper = new HelperProcess();
  t.after(() => helper.kill());
  const file = check(libc().memfd_create('file', 1), 'no memfd');
  t.after(() => libc().close(file));
  helper.put(0, Sys.pidfd_getfd, OUR_PIDFD, file, 0);
  helper.do(1, PATIENCE_MS);
  const there = helper.result(0);
  const calls = (...required: readonly number[]) => {
    required.forEach((least, index) => {
      helper.put(index, Sys.pwrite, there, helper.dataAt, 4, 4 * index);
      helper.require(index, least);
    });
    helper.put(required.length, Sys.pwrite, -1, helper.dataAt, 4, 0);
    helper.put(required.length + 1, Sys.pwrite, there, helper.dataAt, 4, 0);
    assert.notEqual(helper.do(required.length + 2, PATIENCE_MS), -1);
    return helper.returned(required.length + 2);
  };
  assert.equal(calls(4, 4), 4, 'nothing is required of the last two, one of which fails');
  assert.equal(calls(4, 5, 4), 2);
  assert.equal(helper.result(1), 4);
  helper.put(0, Sys.pwrite, -1, helper.dataAt, 4, 0);
  helper.require(0, 1);
  helper.put(1, Sys.pwrite, there, helper.dataAt, 4, 0);
  assert.notEqual(helper.do(2, PATIENCE_MS), -1);
  assert.equal(helper.returned(2), 1);
  assert.equal(helper.result(0), -Errno.EBADF);
});

test('a helper that is killed has done what came before the call that it slept in', { skip }, () => {
  const helper = new HelperProcess();
  helper.put(0, Sys.close, -1);
  helper.put(1, Sys.futex, helper.dataAt, FUTEX_WAIT, 0, 0);
  helper.put(2, Sys.close, -1);
  assert.equal(helper.do(3, PATIENCE_MS), -1);
  assert.equal(helper.returned(3), 1);
});

test('a helper has no descriptor but its own three', { skip }, (t) => {
  const helper = new HelperProcess();
  t.after(() => helper.kill());
  helper.put(0, Sys.close, -1);
  assert.notEqual(helper.do(1, PATIENCE_MS), -1);
  assert.deepEqual(readdirSync(`/proc/${helper.pid}/fd`), ['0', '1', '2']);
});

test('a helper that sleeps on is killed, answers nothing more, and is gone soon', { skip }, async () => {
  const helper = new HelperProcess();
  // Nobody wakes it: a word of the data, which is 0 and stays so.
  helper.put(0, Sys.futex, helper.dataAt, FUTEX_WAIT, 0, 0);
  assert.equal(helper.do(1, PATIENCE_MS), -1);
  assert.ok(helper.dead);
  assert.equal(helper.do(1, PATIENCE_MS), -1);
  while (!helper.ended) await sleep(1);
  assert.equal(existsSync(`/proc/${helper.pid}`), false);
});

test('a helper that computes on is killed as well, and one that computes is counted', { skip }, async (t) => {
  const file = check(libc().memfd_create('file', 1), 'no memfd');
  t.after(() => libc().close(file));
  /** Pages of a file are made, which takes some 0.3 ms for each MiB. */
  const make = (helper: HelperProcess, bytes: number, patience: number) => {
    helper.put(0, Sys.pidfd_getfd, OUR_PIDFD, file, 0);
    assert.notEqual(helper.do(1, PATIENCE_MS), -1);
    helper.put(0, FALLOCATE, helper.result(0), 0, 0, bytes);
    return helper.do(1, patience);
  };
  const patient = new HelperProcess();
  t.after(() => patient.kill());
  assert.ok(make(patient, 2 ** 28, 10_000) >= 10);
  const helper = new HelperProcess();
  assert.equal(make(helper, 2 ** 33, PATIENCE_MS), -1);
  assert.ok(helper.dead);
  while (!helper.ended) await sleep(1);
  libc().ftruncate(file, 0);
});

test('a helper ends with the process that has started it, whatever ends that', { skip }, async () => {
  const module = JSON.stringify(new URL('helper-process.js', import.meta.url).href);
  const script = `
    import { HelperProcess, Sys } from ${module};
    const helper = new HelperProcess();
    helper.put(0, Sys.close, -1);
    helper.do(1, 1000);
    console.log(helper.pid);
    process.kill(process.pid, 'SIGKILL');`;
  const { stdout, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  assert.equal(signal, 'SIGKILL');
  const pid = Number(stdout);
  assert.ok(pid > 0, stdout);
  while (existsSync(`/proc/${pid}`)) await sleep(1);
});
