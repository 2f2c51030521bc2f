/**
 * Threads of a server start while all threads of Node's pool wait: for a disk, or for the server itself. And
 * where something has begun the pool before the server could say how many disks there are.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { missingCompiler, testProgram } from '../testkit/c-program.js';
import { Running, runner, until } from '../testkit/processes.js';

/**
 * Loaded by a server before all else. From the start of `thread` on its pool waits, until somebody opens
 * `fifo`.
 */
const blocking = (thread: string, fifo: string) => `
  const threads = require('node:worker_threads');
  const { Worker } = threads;
  threads.Worker = class extends Worker {
    constructor(script, options) {
      if (script.includes(${JSON.stringify(thread)}))
        require('node:fs').open(${JSON.stringify(fifo)}, () => console.error('the pool is free'));
      super(script, options);
    }
  };
`;

/** A run that says or tells `works`, though its pool waits from the start of `thread` on. */
async function works(thread: string, args: (lines: string) => readonly string[], works: string) {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
  const [fifo, hook, lines] = [join(folder, 'fifo'), join(folder, 'hook.cjs'), join(folder, 'lines')];
  try {
    execFileSync('mkfifo', [fifo]);
    writeFileSync(hook, blocking(thread, fifo));
    writeFileSync(lines, '');
    const env = { UV_THREADPOOL_SIZE: '1', NODE_OPTIONS: `--require ${hook}` };
    const run = Running.ioasid(['run', ...args(lines)], runner, env);
    await until(() => `${run.output}${readFileSync(lines, 'latin1')}`.includes(works), works);
    assert.doesNotMatch(run.output, /the pool is free/);
    closeSync(openSync(fifo, 'r+'));
    await run.says('the pool is free');
    run.kill('SIGTERM');
    await run.ended;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const opening = ['--', 'sh', '-c', ': </dev/ioasid; echo opened; exec sleep 600'];
/** A file is opened twice by one inode: which of the two is meant has to be asked. */
const reopening = () => ['--', testProgram('restless'), '/dev', 'reopened'];
const devices = ['edu', 'edu', 'dsa'].flatMap((device) => ['--device', device]);

describe('a thread starts though no thread of the pool is free', { skip: runner.skip }, () => {
  it('that stands in', () => works('devfs/stand-in-thread', () => opening, 'opened'));

  it('that tells', () =>
    works('cli/telling-thread', (lines) => ['--trace', '-o', lines, ...opening], 'open("/dev/ioasid")'));

  it('that shows', () => works('cli/inspector-thread', () => ['--inspect', ...opening], 'inspect it at'));

  it('that asks files of ours', { skip: missingCompiler() }, () =>
    works(
      'devfs/own-files-thread',
      (lines) => [...devices, '--trace', '-o', lines, ...reopening()],
      'no more authorized for',
    ),
  );
});

describe('a pool that has begun before a server knows of its disks', { skip: runner.skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
  after(() => rmSync(folder, { recursive: true }));
  const hook = join(folder, 'hook.mjs');
  writeFileSync(hook, `import { readFile } from 'node:fs/promises'; await readFile('/proc/self/stat');`);
  const disks = ['one', 'two'].map((name) => join(folder, name));
  for (const disk of disks) writeFileSync(disk, Buffer.alloc(512));
  const args = [...disks.flatMap((disk) => ['--device', `virtio-blk,file=${disk}`]), '--', 'true'];
  const shared = 'disks share 4 threads with all else, which Node had started before';

  for (const [what, env, said] of [
    [
      'is told, and what helps',
      { NODE_OPTIONS: `--import ${hook}` },
      `ioasid: ${shared}: with UV_THREADPOOL_SIZE=12 each has its own\n`,
    ],
    ['is not told where that was done', { NODE_OPTIONS: `--import ${hook}`, UV_THREADPOOL_SIZE: '12' }, ''],
    ['is not told where it has not', { NODE_OPTIONS: '' }, ''],
  ] as const)
    it(what, async () => {
      const run = Running.ioasid(['run', ...args], runner, env);
      assert.equal((await run.ended).status, 0);
      assert.equal(run.output, said);
    });
});
