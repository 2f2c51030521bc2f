/** Descriptors that only a nonce identifies, of files that are busy meanwhile. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Account } from '../linux/account.js';
import { Child } from '../testkit/child.js';
import { Cmd, ioctl, Mounted, mountingIsAllowed, until } from '../testkit/mounted.js';

const O_RDWR = 2;
const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;
const NONE = 0;

const timeout = 60_000;
const PRESENTED = ioctl(NONE, Cmd.PRESENTED, 0);

if (mountingIsAllowed(import.meta.url)) {
  let mounted: Mounted;
  let child: Child;
  let working: Child;
  let presenting: Child;

  before(() => {
    mounted = new Mounted();
  });
  after(() => mounted.stop());
  beforeEach(() => {
    [child, working, presenting] = [new Child(), new Child(), new Child()];
  });
  afterEach(() => {
    mounted.endWork();
    return Promise.all([child.kill(), working.kill(), presenting.kill()]);
  });

  const lastFile = (node = mounted.plain) => node.files.at(-1)!;

  test('who presents a descriptor does not wait for others that present one of a busy file', {
    timeout,
  }, async () => {
    const busy = await working.call('open', mounted.path('plain'), O_RDWR, 0);
    const file = lastFile();
    const idle = await child.call('open', `/proc/${working.pid}/fd/${busy}`, O_RDWR, 0);
    const { number } = lastFile();
    const pidfd = await presenting.call('syscall', SYS_pidfd_open, working.pid, 0, 0);
    const copy = await presenting.call('syscall', SYS_pidfd_getfd, pidfd, busy, 0);
    const other = await presenting.call('open', mounted.path('plain'), O_RDWR, 0);
    const work = working.call('ioctl', busy, ioctl(NONE, Cmd.WORK, 0), 0);
    await until(() => file.working);
    // Each has a copy of the descriptor.
    const presented = Array.from({ length: 4 }, () =>
      presenting.order<number>('callAside', 'ioctl', other, PRESENTED, copy),
    );
    await until(() => Account.of(`user ${process.geteuid?.()}`).holds.descriptors === 4);
    assert.equal(await child.call('ioctl', idle, PRESENTED, idle), number);
    file.working = false;
    assert.deepEqual([await work, ...(await Promise.all(presented))], [0, ...Array(4).fill(file.number)]);
  });

  test('nor does he for a file that is busy when our copy of it is closed', { timeout }, async () => {
    const busy = await working.call('open', mounted.path('sub/dir/flushing'), O_RDWR, 0);
    const file = lastFile(mounted.flushing);
    const idle = await child.call('open', `/proc/${working.pid}/fd/${busy}`, O_RDWR, 0);
    const { number } = lastFile(mounted.flushing);
    const pidfd = await presenting.call('syscall', SYS_pidfd_open, working.pid, 0, 0);
    const copy = await presenting.call('syscall', SYS_pidfd_getfd, pidfd, busy, 0);
    const other = await presenting.call('open', mounted.path('plain'), O_RDWR, 0);
    const work = () => working.order<number>('callAside', 'ioctl', busy, ioctl(NONE, Cmd.WORK, 0), 0);
    const first = work();
    await until(() => file.working);
    const presented = presenting.order<number>('callAside', 'ioctl', other, PRESENTED, copy);
    await until(() => presenting.threadsIn('ioctl') === 1);
    // Descriptors are asked about in turn: what he presents is known now, and his call is before the second.
    assert.equal(await child.call('ioctl', idle, PRESENTED, idle), number);
    const second = work();
    await until(() => working.threadsIn('ioctl') === 2);
    // What came before has been looked at when this is answered.
    assert.equal(
      await child.call(
        'ioctl',
        await child.call('open', mounted.path('plain'), O_RDWR, 0),
        ioctl(NONE, Cmd.PID, 0),
        0,
      ),
      child.pid,
    );
    file.working = false;
    assert.deepEqual([await first, await presented], [0, file.number]);
    await until(() => file.working);
    assert.equal(await child.call('ioctl', idle, PRESENTED, idle), number);
    file.working = false;
    assert.equal(await second, 0);
  });
}
