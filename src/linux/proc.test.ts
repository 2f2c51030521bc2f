import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { after, test } from 'node:test';
import { missingCompiler, testProgram } from '../testkit/c-program.js';
import { Child } from '../testkit/child.js';
import { refused } from '../testkit/refused.js';
import { commandName, notTraceable, processOfThread, threadsOfUser } from './proc.js';

const child = new Child();
after(() => child.kill());

test('a thread belongs to its process, asked once or again', async () => {
  const tid = await child.order<number>('thread');
  for (let i = 0; i < 2; i++) {
    assert.equal(processOfThread(tid), child.pid);
    assert.equal(processOfThread(child.pid), child.pid);
  }
});

test('a thread that has gone is refused, even when it was known', async () => {
  const mortal = new Child();
  await mortal.map(4096);
  assert.equal(processOfThread(mortal.pid), mortal.pid);
  await mortal.kill();
  refused(() => processOfThread(mortal.pid), 'ESRCH');
  assert.equal(commandName(mortal.pid), '?');
});

const LAST_PID = '/proc/sys/kernel/ns_last_pid';
const chooses = process.getuid?.() === 0 && existsSync(LAST_PID);

test('a number that was a process belongs to whose thread it is now', {
  skip: missingCompiler() || (chooses ? false : `no number can be chosen here (${LAST_PID})`),
}, async (t) => {
  const program = spawn(testProgram('numbered'), { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => program.kill());
  // Somebody else may have a number first.
  for (let answer = 'no'; answer !== 'yes'; ) {
    const before = spawn('sleep', ['1000']);
    assert.equal(processOfThread(before.pid!), before.pid);
    before.kill();
    await once(before, 'exit');
    program.stdin.write(`${before.pid}\n`);
    answer = String((await once(program.stdout, 'data'))[0]).trim();
    if (answer === 'yes') assert.equal(processOfThread(before.pid!), program.pid);
    else assert.equal(answer, 'no');
  }
});

const skip = process.getuid?.() !== 0 && 'only root starts processes of another user';

test('the threads of a user are those of all processes that run as he does', { skip }, async (t) => {
  // A user of this process alone: the same test may run elsewhere on the machine.
  const uid = 40_000 + (process.pid % 20_000);
  assert.equal(threadsOfUser(uid), 0);
  const script = "process.stdin.resume(); console.log('ready');";
  const both = ['', ''].map(() => spawn(process.execPath, ['-e', script], { uid, cwd: '/' }));
  t.after(() => both.map((each) => each.kill()));
  await Promise.all(both.map((each) => once(each.stdout, 'data')));
  const threads = both.map(({ pid }) => readdirSync(`/proc/${pid}/task`).length);
  assert.ok(threads.every((count) => count > 1));
  assert.equal(threadsOfUser(uid), threads[0]! + threads[1]!);
});

test('a name has no control characters', async () => {
  const name = await child.order<number>('buffer', Buffer.from('a\x1b[31m\nb\0'));
  const PR_SET_NAME = 15;
  await child.call('prctl', PR_SET_NAME, name, 0, 0, 0);
  assert.equal(commandName(child.pid), 'a?[31m?b');
});

test('the reason for what may not be traced names the rule', () => {
  const refusal = notTraceable(1, 'the memory');
  assert.equal(refusal.code, 'EPERM');
  assert.match(refusal.reason, /^the memory of process 1 is out of reach: .+; `ioasid doctor` explains/);
});
