/**
 * The files of event queues, as real programs read, write and poll them: tests/c/events.c, one task each,
 * under `ioasid run`.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ioasid, Running, runner, withoutFuse } from '../../testkit/processes.js';
import { launchMode } from '../launcher-process.js';

const tasks = {
  reads: 'a read never waits, takes whole records in their order, and knows no offsets',
  writes: 'a write is a list of answers, which ends with the first bad one',
  polls: 'a poll waits until there is an event',
  selects: 'so does a select',
  levels: 'a level-triggered epoll tells of events as long as they are not read',
  edges: 'an edge-triggered epoll tells of each arrival once',
  many: 'an event wakes all threads and processes that wait for it',
  life: 'what nobody answers is answered when the device goes, and the queue keeps its context',
} as const;

describe(`event queues as ${runner.name}`, { skip: runner.skip || missingCompiler() }, () => {
  for (const [task, rule] of Object.entries(tasks)) {
    it(rule, () => {
      const { status, stdout, stderr } = ioasid(
        ['run', '--iommu-test', '--device', 'edu', '--', testProgram('events'), task],
        runner,
      );
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: `${task} ok\n`, stderr: '' });
    });
  }
});

const withoutMount = withoutFuse || (launchMode() === 'root' ? false : 'mounting for all needs root here');

describe('event queues', { skip: withoutMount || missingCompiler() }, () => {
  it('are refused where no descriptor can be given: the reason names `run`; nothing is left', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ioasid-events-'));
    const server = Running.ioasid(['serve', '-v', '--device', 'edu', folder]);
    try {
      await server.says(`${folder}/iommu`);
      const { stdout } = spawnSync(testProgram('events'), ['refused'], {
        env: { ...process.env, FILES: folder },
        encoding: 'utf8',
      });
      assert.equal(stdout, 'refused ok\n');
      await server.says('ioasid run');
    } finally {
      server.kill('SIGINT');
      await server.ended;
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
