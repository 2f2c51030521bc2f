/**
 * ioctls that return a new descriptor, by real programs under a real launcher, with a device file that makes
 * descriptors.
 *
 * What is checked is in tests/c/newfd, one task each; the server is src/testkit/new-fd-server.ts.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { quote, type Runner, runner, self } from '../../testkit/processes.js';

const server = fileURLToPath(new URL('../../testkit/new-fd-server.js', import.meta.url));
const PATIENCE_MS = 60_000;

const tasks = {
  one: 'the caller gets a descriptor, close-on-exec, of the file that was made; its last close releases it',
  refusals: 'a call that is refused, or whose struct is out of reach, leaves no descriptor',
  elsewhere: 'the same ioctls on other files mean what they always mean',
  kept: 'of files that were closed nothing is kept in memory',
  full: 'a caller without room for a descriptor gets EMFILE, and nothing stays',
  threads: 'threads make files at the same time, each its own',
  forks: 'parent and child share what was made before the fork, and nothing after it',
  killed: 'a caller killed by the server in the middle of a call leaves nothing',
  shot: 'a caller killed at any moment leaves nothing',
  signals: 'signals neither repeat a call nor lose its descriptor',
  swapped: 'a descriptor whose meaning another thread keeps changing is one or the other',
  reopened: 'a file opened several times by one inode is told apart',
} as const;

/** Runs a program below the server, or below as many servers as `depth` says. */
function run(
  runner: Runner,
  command: readonly string[],
  depth = 1,
): { status: number | null; stdout: string; stderr: string } {
  const servers = Array.from({ length: depth }, () => [process.execPath, server]).flat();
  const [file, ...args] = [...runner.prefix, ...servers, ...command];
  return spawnSync(file!, args, { encoding: 'utf8', timeout: PATIENCE_MS, killSignal: 'SIGKILL' });
}

function passes(runner: Runner, program: string, task: string, depth = 1): void {
  const { status, stdout, stderr } = run(runner, [program, task], depth);
  assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: `${task} ok\n`, stderr: '' });
}

describe(`new descriptors as ${runner.name}`, { skip: runner.skip || missingCompiler() }, () => {
  for (const [task, rule] of Object.entries(tasks))
    it(rule, () => passes(runner, testProgram('newfd'), task));

  it('static programs get them too', () => {
    for (const task of ['one', 'threads', 'shot'])
      passes(runner, testProgram('newfd', { linkage: 'static' }), task);
  });

  it('a run inside a run serves its own, at any depth, and the outer ones theirs', () => {
    for (const task of ['one', 'threads', 'shot']) passes(runner, testProgram('newfd'), task, 2);
    passes(runner, testProgram('newfd'), 'one', 3);
    const { stdout } = run(runner, [
      'sh',
      '-c',
      `${quote([process.execPath, server, testProgram('newfd'), 'one'])}; ${testProgram('newfd')} one`,
    ]);
    assert.equal(stdout, 'one ok\none ok\n');
  });

  it('set-user-id programs are none the worse for it', () => {
    const { stdout } = run(runner, ['grep', 'NoNewPrivs', '/proc/self/status']);
    assert.equal(stdout, spawnSync('grep', ['NoNewPrivs', '/proc/self/status'], { encoding: 'utf8' }).stdout);
  });

  it('the command has no descriptor that it would not have had', () => {
    const { stdout } = run(runner, ['sh', '-c', 'ls -l /proc/$$/fd']);
    assert.doesNotMatch(stdout, /seccomp|fuse/);
  });
});

describe('new descriptors', { skip: self.skip || missingCompiler() }, () => {
  it('a handler that breaks answers EIO, and the next call is served', () => {
    const { status, stdout, stderr } = run(self, [testProgram('newfd'), 'bug']);
    assert.deepEqual([status, stdout], [0, 'bug ok\n']);
    assert.match(stderr, /told to break/);
  });
});
