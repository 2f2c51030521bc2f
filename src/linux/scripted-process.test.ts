import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { testMachineCodes } from '../testkit/assembler.js';
import { Errno, Refusal } from './errno.js';
import { exec, exists } from './exec.js';
import { pipe } from './fd-passing.js';
import { libc } from './ffi.js';
import { scriptedCodes } from './scripted-code.js';
import { Gone, ScriptedProcess, type Step } from './scripted-process.js';

const AT_FDCWD = -100;
const SIGCHLD = 17;
const isKnown = process.platform === 'linux' && scriptedCodes[process.arch] !== undefined;
const skip = isKnown ? false : `no scripted process on ${process.platform} ${process.arch}`;

testMachineCodes(scriptedCodes);

/** A process with our standard streams, and `descriptors`. */
function started(t: TestContext, descriptors: readonly (readonly [number, number])[] = []): ScriptedProcess {
  const process = new ScriptedProcess({
    descriptors: new Map([[0, 0] as const, [1, 1] as const, [2, 2] as const, ...descriptors]),
    env: {},
    within: (program) => [program],
  });
  t.after(() => process.end());
  return process;
}

const folder = (path: string): Step => ({ call: 'chdir', args: [path], what: `there is no folder ${path}` });

test('a scripted process makes calls in their order, and says what each returned', { skip }, async (t) => {
  const process = started(t);
  const pair = Buffer.alloc(8);
  const results = await process.run([
    folder('/proc/self'),
    { call: 'socketpair', args: [1, 1, 0, pair], what: 'no socket pair' },
    { call: 'faccessat', args: [AT_FDCWD, 'status', 0], what: 'this is no folder of a process' },
  ]);
  assert.deepEqual(results, [0, 0, 0]);
  assert.equal(readlinkSync(`/proc/${process.pid}/cwd`), `/proc/${process.pid}`);
  for (const at of [0, 4])
    assert.match(readlinkSync(`/proc/${process.pid}/fd/${pair.readInt32LE(at)}`), /^socket:/);
});

test('an error ends a list, with its sentence, unless it is the one that may be', { skip }, async (t) => {
  const process = started(t);
  const missing = folder('/proc/nothing');
  await process.run([{ ...missing, despite: Errno.ENOENT }, folder('/')]);
  assert.equal(readlinkSync(`/proc/${process.pid}/cwd`), '/');
  await assert.rejects(process.run([{ ...missing, despite: Errno.EACCES }, folder('/proc')]), (error) => {
    assert.ok(error instanceof Refusal);
    assert.equal(error.errno, Errno.ENOENT);
    assert.match(error.message, /there is no folder \/proc\/nothing/);
    return true;
  });
  assert.equal(readlinkSync(`/proc/${process.pid}/cwd`), '/', 'what is behind the error is not done');
});

test('a new process goes on with a list of its own, while the first one does not', { skip }, async (t) => {
  const process = started(t);
  const status = Buffer.alloc(4);
  const child: Step[] = [folder('/proc'), { call: 'exit_group', args: [7], what: '' }];
  const results = await process.run([
    { call: 'clone', args: [SIGCHLD], what: 'no process', child },
    folder('/'),
    { call: 'wait4', args: [-1, status, 0, 0], what: 'no child' },
  ]);
  assert.ok(results[2]! > 0);
  assert.equal(status.readInt32LE(0), 7 << 8);
  assert.equal(readlinkSync(`/proc/${process.pid}/cwd`), '/');
});

test('a child whose call fails ends, when it has no socket to ask by', { skip }, async (t) => {
  const process = started(t);
  const status = Buffer.alloc(4);
  const child: Step[] = [
    { call: 'close', args: [process.own[0]!], what: '' },
    folder('/proc/nothing'),
    { call: 'exit_group', args: [0], what: '' },
  ];
  await process.run([
    { call: 'clone', args: [SIGCHLD], what: 'no process', child },
    { call: 'wait4', args: [-1, status, 0, 0], what: 'no child' },
  ]);
  assert.notEqual(status.readInt32LE(0), 0);
  await process.run([folder('/')]);
});

test('it becomes another program, of the same process id, with bytes as its arguments', {
  skip,
}, async (t) => {
  const [end, theirs] = pipe();
  t.after(() => libc().close(end));
  const process = started(t, [[9, theirs]]);
  libc().close(theirs);
  assert.equal(await exists(process, Buffer.from('/proc/nothing')), false);
  assert.equal(await exec(process, [Buffer.from('nothing-of-that-name')], []), Errno.ENOENT);
  const script = 'printf "%s %s %s" "$1" "$X" $$ >&9';
  const argv = ['sh', '-c', script, 'sh', 'one\xfftwo'].map((text) => Buffer.from(text, 'latin1'));
  const env = ['X=\xfe', 'PATH=/nowhere:/usr/bin:/bin'].map((text) => Buffer.from(text, 'latin1'));
  await assert.rejects(exec(process, argv, env), Gone);
  const bytes = Buffer.alloc(128);
  assert.equal(bytes.toString('latin1', 0, readSync(end, bytes)), `one\xfftwo \xfe ${process.pid}`);
});

test('a command is found behind what is no folder of the PATH, and files that may not be executed', {
  skip,
}, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ioasid-exec-'));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'true'), '', { mode: 0o644 });
  const process = started(t);
  const run = (path: string) => exec(process, [Buffer.from('true')], [Buffer.from(`PATH=${path}`)]);
  assert.equal(await run(`/nowhere:/proc/version:${directory}:/nowhere`), Errno.EACCES);
  assert.equal(await run('/nowhere:/proc/version'), Errno.ENOENT);
  await assert.rejects(run(`/nowhere:/proc/version:${directory}:/usr/bin:/bin`), Gone);
});

test('arguments that are too long are refused before anything is started', { skip }, async (t) => {
  const process = started(t);
  const argv = [Buffer.from('/bin/true'), Buffer.alloc(9 << 20, 0x61)];
  assert.equal(await exec(process, argv, []), Errno.E2BIG);
});

test('it ends with its socket, and no call is made any more', { skip }, async (t) => {
  const process = started(t);
  await process.run([folder('/')]);
  process.end();
  const ended = () =>
    !existsSync(`/proc/${process.pid}`) ||
    readFileSync(`/proc/${process.pid}/stat`, 'latin1').includes(') Z ');
  while (!ended()) await sleep(1);
  await assert.rejects(process.run([folder('/')]), Gone);
});
