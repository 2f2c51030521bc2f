/**
 * Real programs and work queues of Linux's idxd, `/dev/dsa/wqD.Q`. What is checked is in tests/c/idxd, a task
 * each, all in one run.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { missingCompiler, testProgram } from '../testkit/c-program.js';
import { ioasid, type Result, runner } from '../testkit/processes.js';

const devices = ['--device', 'dsa,idxd=1,ready=1', '--device', 'dsa,idxd=1,ready=1,mode=dedicated'];
const tasks = {
  writes: 'shared and dedicated work queues do what is written to their files',
  identity: 'the PASID and the privilege in a descriptor are not for the program to choose',
  lengths: 'whole descriptors are taken, up to the first that is refused',
  others: 'there is nothing to read, and no ioctl',
  dedicated: 'a dedicated work queue is open once: EBUSY',
  faults: 'holes and protected pages end a descriptor with their address',
  polled: 'poll tells of errors that no completion record can tell, and of nothing else',
  enqueues: 'a shared portal takes ENQCMD, whatever the processor',
  stores: 'a dedicated one takes MOVDIR64B, whatever the processor',
  batches: 'batches are taken, by the portal and by write',
  narrow: 'a portal is one page, and what is no store of 64 bytes is nothing to it',
  forked: 'a child can use what it opens and not what it was left',
  executed: 'nor can a program that was executed',
  killed: 'a program that dies with work outstanding keeps nobody',
  threads: 'threads have a file in common',
} as const;

const skip = runner.skip || missingCompiler() || (process.arch === 'x64' ? false : `not on ${process.arch}`);

describe(`/dev/dsa as ${runner.name}`, { skip }, () => {
  let result: Result;
  before(() => {
    result = ioasid(['run', ...devices, '--', testProgram('idxd'), ...Object.keys(tasks)], runner);
  });

  for (const [task, rule] of Object.entries(tasks))
    it(rule, () => {
      assert.ok(result.stdout.split('\n').includes(`${task} ok`), `${result.stdout}${result.stderr}`);
    });

  it('and nothing else is said', () => {
    assert.deepEqual([result.status, result.stderr], [0, '']);
  });
});
