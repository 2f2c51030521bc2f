/**
 * A program gives every kind of descriptor that Linux has to every call of ours that takes one
 * (tests/c/fdkinds), and the file that it calls itself: what the call takes is taken, what is no open file is
 * EBADF, and anything else is one errno with a sentence that names it. The server has no more open afterwards
 * than it had before. So it is under `run` and `serve`, root's and a plain user's.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ForeignFilesystem } from '../../testkit/foreign-filesystem.js';
import { besideUser, mounter, type Runner, Running, self, until, user } from '../../testkit/processes.js';
import { launchMode } from '../launcher-process.js';

const devices = ['dsa,mdevs=3', 'edu', 'edu', 'virtio-net', 'virtio-net'].flatMap((device) => [
  '--device',
  device,
]);

/** A server, and the program, which is the command of a run. */
interface Scene {
  readonly server: Running;
  readonly program: Running;
}

function run(runner: Runner, program: readonly [string, ...string[]]): Scene {
  const [file, ...args] = program;
  const server = Running.ioasid(['run', ...devices, '--', file, '/dev', ...args], runner);
  return { server, program: server };
}

async function serve(
  t: TestContext,
  runner: Runner,
  program: readonly [string, ...string[]],
): Promise<Scene> {
  const above = mkdtempSync(join(tmpdir(), 'ioasid-kinds-'));
  t.after(() => rmSync(above, { recursive: true }));
  chmodSync(above, 0o777);
  const folder = join(above, 'dev');
  const server = Running.ioasid(['serve', ...devices, folder], runner);
  await server.says(join(folder, 'vhost-vdpa-1'));
  const [file, ...args] = program;
  const command = [file, folder, ...args];
  return { server, program: new Running(runner === self ? command : besideUser(server.pid, command)) };
}

async function check(t: TestContext, { server, program }: Scene, foreign: ForeignFilesystem | undefined) {
  await program.says('open');
  await foreign?.silence();
  const held = () => readdirSync(`/proc/${server.pid}/fd`).length;
  const round = async (number: number) => {
    program.process.stdin.write('\n');
    await until(() => program.output.match(/^done$/gm)?.length === number, 'a round is done');
  };
  await round(1);
  const before = held();
  await round(2);
  await until(() => held() <= before, 'the server has no more open than before');
  const kinds = /^(.*): not on this system$/gm;
  const missing = new Set([...program.output.matchAll(kinds)].map(([, kind]) => kind!));
  t.diagnostic(`kinds that this system has not: ${[...missing].join(', ') || 'none'}`);
  assert.ok(missing.size < 12, [...missing].join(', '));
  const wrong = program.output.replace(kinds, '').replace(/^(open|done|ioasid: .*)?\n/gm, '');
  assert.equal(wrong, '');
  program.process.stdin.end();
  assert.deepEqual(await program.ended, { status: 0, signal: null }, program.output);
  if (server !== program) server.kill('SIGTERM');
  assert.deepEqual(await server.ended, { status: 0, signal: null }, server.output);
}

test('each call that takes a descriptor takes its own kinds, and refuses all others', async (t) => {
  const root = self.skip || (launchMode() === 'root' ? false : 'needs root');
  const mounting = mounter();
  const ways: readonly [string, Runner, skip: string | false][] = [
    ['run', self, self.skip],
    ['serve', self, root],
    ["a plain user's run", user, user.skip],
    ["a plain user's serve", mounting, mounting.skip],
  ];
  for (const [name, runner, skip] of ways)
    await t.test(name, { skip: skip || missingCompiler(), timeout: 60_000 }, async (t) => {
      // A plain user cannot mount a filesystem: then there is one kind less.
      const foreign = process.geteuid?.() === 0 ? new ForeignFilesystem(t) : undefined;
      const program = [testProgram('fdkinds'), ...(foreign === undefined ? [] : [foreign.file])] as const;
      const scene = name.endsWith('run') ? run(runner, program) : await serve(t, runner, program);
      await check(t, scene, foreign);
    });
});
