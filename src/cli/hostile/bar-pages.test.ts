/**
 * Programs that have pages of a BAR themselves: memory, and doorbells while the device works. What is checked
 * is in tests/c/barpages, one task each; the device is testkit/ringing-device.ts.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ioasid, runner } from '../../testkit/processes.js';

const tasks = {
  beside: 'memory costs no stop, and registers beside it in one BAR are trapped',
  same: 'the file, the device and every mapping have the same bytes',
  read_only: 'who has opened the device for reading cannot write',
  decode_off: 'without memory space they are SIGBUS in every process, and then as they were',
  asleep: 'in low power they, and registers, are SIGBUS, and then as they were',
  decode_later: 'what is mapped without memory space is there with it',
  moved: 'they can be moved, cut, covered and inherited',
  reset: 'a reset leaves the mapping, with what the device makes of its memory',
  closed: 'when the device is closed they are gone, and the next has others',
  thief: 'a program that gets at the file of the memory, and cuts it, harms its own device alone',
  last: 'the last value stored into a doorbell always arrives',
  fast: 'while the device works doorbells cost no stop',
  both: 'doorbells can be rung by the file, too',
} as const;

const skip = runner.skip || missingCompiler() || (process.arch === 'x64' ? false : `not on ${process.arch}`);

describe(`pages of mapped BARs as ${runner.name}`, { skip }, () => {
  const device = fileURLToPath(new URL('../../testkit/ringing-device.js', import.meta.url));
  for (const [task, rule] of Object.entries(tasks)) {
    it(rule, () => {
      const command = ['run', '--device', device, '--', testProgram('barpages'), task];
      const { status, stdout, stderr } = ioasid(command, runner);
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: `${task} ok\n`, stderr: '' });
    });
  }
});
