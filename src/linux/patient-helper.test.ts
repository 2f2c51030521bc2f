/**
 * How long helpers are waited for in one piece of work, and what that comes to. For each access:
 * remote-reach.test.ts.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { effortOfAccesses, keptByAccesses } from './access-cost.js';
import { Account } from './account.js';
import { heldDescriptors } from './held-descriptors.js';
import { Sys } from './helper-process.js';
import { canHaveHelpers, endHelpedPiece, PatientHelper, waitingTime } from './patient-helper.js';

/** Asks helpers for an opener who holds something. */
function openerOf(t: TestContext, name: string) {
  const account = Account.of(name);
  account.take(heldDescriptors, 1);
  t.after(() => account.give(heldDescriptors, 1));
  const patient = new PatientHelper(account, 'it');
  const ask = () => {
    const helper = patient.ready;
    if (helper === undefined) return patient.shortfall;
    helper.put(0, Sys.close, -1);
    return patient.do(helper, 1) ? 'come' : patient.shortfall;
  };
  /** Whoever would be asked next does not answer before it is continued. */
  const stop = async () => {
    while (patient.ready === undefined) await sleep(1);
    const { pid } = patient.ready;
    process.kill(pid, 'SIGSTOP');
    return pid;
  };
  /** For how many ms it has kept us, asleep, of those that are not free again. */
  const kept = () => account.share(waitingTime).used;
  return { ask, stop, kept };
}

test('in one piece of work an opener is waited for 100 ms in all, whether its memory comes or not', {
  skip: canHaveHelpers() ? false : 'no helper process here',
}, async (t) => {
  const [one, other] = [openerOf(t, 'one'), openerOf(t, 'other')];
  // Late, if the machine is not so busy that it is early, or too late.
  while (one.kept() === 0) {
    const late = spawn('sh', ['-c', `sleep 0.04; kill -CONT ${await one.stop()}`]);
    assert.match(one.ask()!, /^come$| within 100 ms$/);
    await once(late, 'close');
  }
  await one.stop();
  const [, left] = one.ask()!.match(/^the memory of it has not come within (\d+) ms$/)!;
  assert.ok(Number(left) < 100, left);
  await one.stop();
  assert.equal(one.ask(), 'the memory of it has not come within 1 ms');
  await other.stop();
  assert.equal(other.ask(), 'the memory of it has not come within 100 ms', 'another opener is not');
  endHelpedPiece();
  await one.stop();
  assert.equal(one.ask(), 'the memory of it has not come within 10 ms', 'nor one that did not come before');
});

test('short waits for helpers are effort, and keep us for as long as they come to together', {
  skip: canHaveHelpers() ? false : 'no helper process here',
}, (t) => {
  const { ask } = openerOf(t, 'brief');
  const [effort, kept, began] = [effortOfAccesses(), keptByAccesses(), performance.now()];
  while (keptByAccesses() < kept + 3) assert.equal(ask(), 'come');
  const ms = performance.now() - began;
  assert.ok(ms > keptByAccesses() - kept - 1, `${ms} ms`);
  assert.ok(effortOfAccesses() - effort > 2 * 1024);
});
