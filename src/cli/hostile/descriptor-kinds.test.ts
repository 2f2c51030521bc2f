/**
 * A program gives every kind of descriptor that Linux has to every call of ours that takes one
 * (tests/c/fdkinds): what the call takes is taken, what is no open file is EBADF, and anything else is one
 * errno with a sentence that names it. The server has no more open afterwards than it had before.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ForeignFilesystem } from '../../testkit/foreign-filesystem.js';
import { Running, runner, until } from '../../testkit/processes.js';

const devices = ['dsa,mdevs=3', 'edu', 'edu', 'virtio-net', 'virtio-net'];

test('every call that takes a descriptor takes its own kinds, and refuses all others as they are', {
  skip: runner.skip || missingCompiler(),
  timeout: 60_000,
}, async (t) => {
  // A plain user cannot mount a filesystem: then there is one kind less.
  const foreign = process.geteuid?.() === 0 ? new ForeignFilesystem(t) : undefined;
  const command = ['--', testProgram('fdkinds'), ...(foreign === undefined ? [] : [foreign.file])];
  const options = devices.flatMap((device) => ['--device', device]);
  const server = Running.ioasid(['run', ...options, ...command], runner);
  t.after(() => server.kill('SIGKILL'));
  await server.says('open');
  await foreign?.silence();
  const held = () => readdirSync(`/proc/${server.pid}/fd`).length;
  const round = async (number: number) => {
    server.process.stdin.write('\n');
    await until(() => server.output.match(/^done$/gm)?.length === number, 'a round is done');
  };
  await round(1);
  const before = held();
  await round(2);
  await until(() => held() <= before, 'the server has no more open than before');
  const kinds = /^(.*): not on this system$/gm;
  const missing = new Set([...server.output.matchAll(kinds)].map(([, kind]) => kind!));
  t.diagnostic(`kinds that this system has not: ${[...missing].join(', ') || 'none'}`);
  assert.ok(missing.size < 10, [...missing].join(', '));
  const wrong = server.output.replace(kinds, '').replace(/^(open|done|ioasid: .*)?\n/gm, '');
  assert.equal(wrong, '');
  server.process.stdin.end();
  assert.deepEqual(await server.ended, { status: 0, signal: null }, server.output);
});
