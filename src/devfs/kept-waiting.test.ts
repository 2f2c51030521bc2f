/** Who has kept the server waiting by memory that is late has others served before he can again. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { keptByAccesses } from '../linux/access-cost.js';
import { canHaveHelpers } from '../linux/patient-helper.js';
import { servesAlone } from '../linux/process-memory.js';
import { Child, PAGE } from '../testkit/child.js';
import { helpersOf } from '../testkit/helper-processes.js';
import { Cmd, ioctl, Mounted, mountingIsAllowed } from '../testkit/mounted.js';

const O_RDWR = 2;
/** Each takes a tenth of the time that one opener may keep a server waiting. */
const ROUNDS = 5;
const [SYS_ioctl, SYS_setuid] = process.arch === 'arm64' ? [29, 146] : [16, 105];

/** Returns when `child` is in ioctl(2): its request has been sent, and nobody has answered it. */
function untilItCalls({ pid }: Child): void {
  while (!readFileSync(`/proc/${pid}/syscall`, 'latin1').startsWith(`${SYS_ioctl} `));
}

if (mountingIsAllowed(import.meta.url)) {
  const skip = canHaveHelpers() ? false : 'no helper process here';
  test('of one opener no call is begun after one whose memory was late, before others are served', {
    skip,
  }, async (t) => {
    servesAlone(false);
    t.after(() => servesAlone(true));
    const mounted = new Mounted();
    const [late, next, other] = [new Child(), new Child(), new Child()];
    t.after(async () => {
      for (const child of [late, next, other]) await child.kill();
      await mounted.stop();
    });
    assert.equal(await other.call('syscall', SYS_setuid, 65534, 0, 0), 0);
    const calls: (() => Promise<number>)[] = [];
    for (const child of [late, next, other]) {
      const fd = await child.call('open', mounted.path('plain'), O_RDWR, 0);
      const at = await child.map(PAGE);
      const double = () => child.call('ioctl', fd, ioctl(0, Cmd.DOUBLE, 0), at);
      assert.equal(await double(), 0);
      calls.push(double);
    }
    const round = async () => {
      mounted.forgetCalls();
      const kept = keptByAccesses();
      for (const helper of helpersOf(process.pid)) process.kill(helper, 'SIGSTOP');
      const answers = [late, next, other].map((child, n) => {
        const answer = calls[n]!();
        untilItCalls(child);
        return answer;
      });
      assert.deepEqual((await Promise.all(answers)).slice(1), [0, 0]);
      assert.ok(keptByAccesses() > kept);
      return mounted.calls.map(({ pid }) => pid);
    };
    const fair = [late, other, next].map(({ pid }) => pid);
    // What has come is looked at for 10 ms before calls that wait begin: time to see both, but for a process
    // that gets no processor then.
    let order: readonly (number | undefined)[] = [];
    for (let n = 0; n < ROUNDS && order.join() !== fair.join(); n++) order = await round();
    assert.deepEqual(order, fair);
  });
}
