/** Timers of device models with real processes. What an alarm is set to: alarm.test.ts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { modelOfTests, runClient } from '../testkit/faulty-model.js';
import { ioasid, withoutFuse } from '../testkit/processes.js';

const directory = mkdtempSync(join(tmpdir(), 'ioasid-time-'));
after(() => rmSync(directory, { recursive: true }));

it('a timer comes in a server that hears of nothing else', { skip: withoutFuse }, () => {
  const file = join(directory, 'came');
  // Nothing in the loop is a call on the server.
  const script = `
    const fd = open(0);
    write(fd, 30);
    const word = new Int32Array(new SharedArrayBuffer(4));
    while (!fs.existsSync(${JSON.stringify(file)})) Atomics.wait(word, 0, 0, 5);
    console.log('came');
  `;
  const { stdout, stderr } = runClient(script, [
    '-d',
    `${modelOfTests('timer')},file=${file}`,
    '--time',
    'scale=10',
  ]);
  assert.equal(stdout, 'write 4\ncame\n', stderr);
});

it('--time takes a scale above 0', () => {
  const { status, stderr } = ioasid(['run', '--time', 'scale=0', '--', 'true']);
  assert.equal(status, 125);
  assert.match(stderr, /It is scale=N, and N is above 0/);
});
