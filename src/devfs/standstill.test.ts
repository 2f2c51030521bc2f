import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Opcode } from './fuse-wire.js';
import { callInWords, describeStandstill, progress } from './standstill.js';

const paths: Readonly<Record<number, string>> = { 21: '/proc/4711/mem', 22: '/dev/shm/x' };
const said = (syscall: string, wchan = '0') =>
  describeStandstill({ syscall, wchan }, (fd) => paths[fd] ?? '?');
const [PREAD, CLOSE, VM_READV] = process.arch === 'x64' ? [17, 3, 310] : [67, 57, 270];

test('what a thread is on is said by whose memory, file or process it is, and where', () => {
  const arguments_ = (fd: number) => `0x${fd.toString(16)} 0x7f00 0x40 0x2000 0x0 0x0 0x7ffc 0x7fa1`;
  assert.equal(
    said(`${PREAD} ${arguments_(21)}`),
    'it is in pread of 64 bytes at 0x2000 of the memory of process 4711',
  );
  assert.equal(said(`${PREAD} ${arguments_(22)}`), 'it is in pread of 64 bytes at 0x2000 of /dev/shm/x');
  assert.equal(said(`${CLOSE} ${arguments_(22)}`), 'it is in close of /dev/shm/x');
  assert.equal(said(`${VM_READV} ${arguments_(4711)}`), 'it is in process_vm_readv of process 4711');
  assert.equal(said('9999 0x0'), 'it is in system call 9999');
  assert.equal(said('-1 0x7ffc 0x7fa1'), 'it touches memory that is mapped into it');
  assert.equal(said('running'), 'it computes');
});

test('a wait for a FUSE filesystem is said, with the way out, and any other by its name', () => {
  assert.match(
    said('-1 0x0 0x0', 'request_wait_answer'),
    /^it touches .*, and waits for a FUSE filesystem: /,
  );
  assert.match(said('-1 0x0 0x0', 'request_wait_answer'), /fuse\/connections\/N\/abort/);
  assert.match(said('-1 0x0 0x0', 'handle_userfault'), /, and waits in the kernel's handle_userfault$/);
});

test('the call that it is for is named, with who has made it, and the model whose DMA it is', () => {
  const name = readFileSync('/proc/self/comm', 'latin1').trim();
  const request = ` in IOCTL of thread ${process.pid} (${name})`;
  assert.equal(callInWords(Opcode.IOCTL, process.pid, undefined), request);
  assert.equal(
    callInWords(Opcode.IOCTL, process.pid, 'step of vfio0'),
    `${request}, in a DMA in step of vfio0`,
  );
  assert.equal(callInWords(0, 0, 'step of vfio0'), ' in a DMA in step of vfio0');
  assert.equal(callInWords(0, 0, undefined), '');
});

test('the main thread is told by another one', async () => {
  const module = JSON.stringify(new URL('standstill.js', import.meta.url).href);
  // Until it stands still it may be on anything.
  const code = `import(${module}).then(({ standstill }) => {
    const { parentPort, workerData } = require('node:worker_threads');
    const end = Date.now() + 20_000;
    let said;
    do said = standstill();
    while (!said.startsWith('it is in system call ') && Date.now() < end);
    parentPort.postMessage(said);
    Atomics.store(workerData, 0, 1);
    Atomics.notify(workerData, 0);
  })`;
  const done = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(code, { eval: true, workerData: done });
  const answer = new Promise((resolve) => worker.once('message', resolve));
  Atomics.wait(done, 0, 0);
  assert.match(String(await answer), /^it is in system call \d+(, and waits in the kernel's \w+)?$/);
});

test('the time that the main thread has computed grows while it does, and then it does not wait', () => {
  const before = progress().computed;
  let now = progress();
  for (; now.computed - before < 50; now = progress()) assert.equal(now.waits, false);
});

test('a thread that waits is told from one that computes, by another one', async () => {
  const module = JSON.stringify(new URL('standstill.js', import.meta.url).href);
  const code = `import(${module}).then(({ progress }) => {
    const { workerData } = require('node:worker_threads');
    while (!progress().waits);
    Atomics.store(workerData, 0, 1);
    Atomics.notify(workerData, 0);
  })`;
  const done = new Int32Array(new SharedArrayBuffer(4));
  new Worker(code, { eval: true, workerData: done });
  assert.notEqual(Atomics.wait(done, 0, 0, 60_000), 'timed-out');
});
