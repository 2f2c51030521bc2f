/**
 * Real programs and work queues of Linux's idxd, `/dev/dsa/wqD.Q`. What is checked is in tests/c/idxd, a task
 * each, all in one run.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { compile, missingCompiler, testProgram } from '../../testkit/c-program.js';
import { bin, ioasid, type Result, runner } from '../../testkit/processes.js';

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

const document = readFileSync(new URL('../../../docs/idxd.md', import.meta.url), 'utf8');
const example = new URL('../../../examples/move.c', import.meta.url);

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

  it('docs/idxd.md shows examples/move.c, what it prints, and ls what it has', () => {
    const [, listing] = /^```c\n(.*?)```/ms.exec(document)!;
    assert.equal(listing, readFileSync(example, 'utf8'));
    const [, output] = /^\$ .*\n(.*?\n)```/m.exec(document)!;
    const move = compile('move.c', listing!);
    const moves = `"${move}" && "${move}" portal`;
    const script = `${moves} && exec 3<>/dev/dsa/wq0.0 && "${process.execPath}" "${bin}" ls`;
    const said = ioasid(['run', ...devices, '--', 'sh', '-c', script], runner).stdout;
    assert.equal(said.slice(0, 2 * output!.length), `${output}${output}`);
    assert.match(said, /dsa0 +dsa,idxd=1,ready=1 +\S+ +open in 1 file\n +may use PASID (\d+) of context/);
    assert.match(said, /PASID \d+ +all of process \d+ \(sh\) +authorized for 1 device/);
    assert.match(said, /dsa1 +.*not open/);
  });

  it('and nothing else is said', () => {
    assert.deepEqual([result.status, result.stderr], [0, '']);
  });
});
