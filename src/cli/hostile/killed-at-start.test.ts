/** A command is killed while a thread of its server starts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { childrenOf } from '../../testkit/descendants.js';
import { Running, runner } from '../../testkit/processes.js';

/** Half of what a start may take (devfs/own-files.ts): a server that waits for itself waits as long. */
const PATIENCE_MS = 15_000;
/** Opens and closes of blank files are under way all the time; `reopened` needs the thread. */
const tasks = ['queues', 'queues', 'queues', 'queues', 'reopened'];
const devices = ['edu', 'edu', 'dsa,ready=1'].flatMap((device) => ['--device', device]);

test('a run ends though its command is killed while a thread starts, and the pool waits for the server', {
  skip: runner.skip || missingCompiler(),
}, async () => {
  const command = ['run', ...devices, '--', testProgram('restless'), '/dev', ...tasks];
  for (let delay = 30; delay < 90; delay += 3) {
    const run = Running.ioasid(command, runner, { UV_THREADPOOL_SIZE: '1' });
    await run.says('busy');
    await sleep(delay);
    const [launched] = childrenOf(run.pid);
    const others = childrenOf(launched!);
    process.kill(launched!, 'SIGKILL');
    const ended = await Promise.race([run.ended, sleep(PATIENCE_MS, 'it goes on', { ref: false })]);
    for (const pid of others) process.kill(pid, 'SIGKILL');
    await run.ended;
    assert.notEqual(ended, 'it goes on', `killed ${delay} ms after it was busy`);
  }
});
