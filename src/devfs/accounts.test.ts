/** What a server holds for the files that are open is charged to who has opened them, and given back. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Account, type Pool } from '../linux/account.js';
import { Child } from '../testkit/child.js';
import { Cmd, ioctl, Mounted, mountingIsAllowed, until } from '../testkit/mounted.js';
import { openFiles } from './file-requests.js';
import { waitingBytes } from './set-aside.js';

const O_RDWR = 2;
const MIB = 2 ** 20;
const ENFILE = 23;
const timeout = 60_000;

if (mountingIsAllowed(import.meta.url)) {
  const opener = `user ${process.geteuid?.()}`;
  let mounted: Mounted;
  let child: Child;

  before(() => {
    mounted = new Mounted();
  });
  after(() => mounted.stop());
  beforeEach(() => {
    child = new Child();
  });
  afterEach(async () => {
    mounted.endWork();
    await child.kill();
    await until(() => Account.all().length === 0);
  });

  /** Does `act` while so many of `pool` are taken, by whoever opens files here. */
  const holding = async (pool: Pool, count: number, act: (account: Account) => Promise<void>) => {
    const account = Account.of(opener);
    account.take(pool, count);
    try {
      await act(account);
    } finally {
      account.give(pool, count);
    }
  };

  const open = (name: string) => child.call('open', mounted.path(name), O_RDWR, 0);

  test('who has opened all the files that he may is ENFILE, and again after a close is not', {
    timeout,
  }, async () => {
    const fd = await open('plain');
    assert.ok(fd >= 0);
    assert.deepEqual(Account.of(opener).holds, { 'open files': 1 });
    const rest = (openFiles.total * 3) / 4 - 1;
    await holding(openFiles, rest, async (account) => {
      assert.equal(await open('plain'), -ENFILE);
      const held = 'holds 196608 open files of the server, of at most 196608 that others leave';
      assert.equal(mounted.calls.at(-1)?.reason, `what ${opener} has opened ${held}`);
      await child.call('close', fd);
      await until(() => account.holds['open files'] === rest);
      assert.ok((await open('plain')) >= 0);
    });
  });

  test('who has as much waiting to be written as he may is ENOMEM; what waits is done, closes too', {
    timeout,
  }, async () => {
    // One file each: the kernel lets one write at a time be under way on an inode.
    const fds = [await open('plain'), await open('plain')] as const;
    const files = mounted.plain.files.slice(-2);
    const source = await child.map(MIB);
    const aside = (name: string, fd: number, ...rest: number[]) =>
      child.order<number>('callAside', name, fd, ...rest);
    const work = fds.map((fd) => aside('ioctl', fd, ioctl(0, Cmd.WORK, 0), 0));
    await until(() => files.every(({ working }) => working));
    const others = (waitingBytes.total * 3) / 4 - 2 * MIB;
    await holding(waitingBytes, others, async (account) => {
      const long = aside('pwrite', fds[0], source, MIB, 0);
      await until(() => account.holds['bytes of waiting calls']! > others);
      assert.equal(await aside('pwrite', fds[1], source, MIB, 0), -1);
      const { error, reason } = mounted.calls.at(-1)!;
      assert.equal(error, 'ENOMEM');
      assert.match(reason!, /^what user \d+ has opened holds \d+ bytes of waiting calls /);
      const short = aside('pwrite', fds[1], source, 100, 0);
      await until(() => child.threadsIn('pwrite') === 2);
      for (const fd of fds) await child.call('close', fd);
      for (const file of files) file.working = false;
      assert.deepEqual(await Promise.all([...work, long, short]), [0, 0, MIB, 100]);
      assert.equal(account.holds['bytes of waiting calls'], others);
    });
    await until(() => files.every(({ releases }) => releases === 1));
  });
}
