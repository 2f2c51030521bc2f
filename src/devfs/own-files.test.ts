/** Whoever is asked: a server of ours that answers, and one of somebody else's that takes his time. */
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Account } from '../linux/account.js';
import { Errno, Refusal } from '../linux/errno.js';
import { identifyDescriptor, mountedDevice } from '../linux/fd-identity.js';
import { libc } from '../linux/ffi.js';
import { heldFlags } from '../linux/held-copy.js';
import { Child } from '../testkit/child.js';
import { ForeignFilesystem } from '../testkit/foreign-filesystem.js';
import { Cmd, ioctl, Mounted, mountingIsAllowed, until } from '../testkit/mounted.js';
import { OwnFiles } from './own-files.js';

const O_RDWR = 2;
const EPOLL_CTL_ADD = 1;
/** As those of libuv: EFD_NONBLOCK | EFD_CLOEXEC. */
const EFD_FLAGS = 0o2004000;
const timeout = 60_000;
const WORK = ioctl(0, Cmd.WORK, 0);

if (mountingIsAllowed(import.meta.url)) {
  let ours: Mounted;
  let theirs: Mounted;
  let child: Child;
  let own: OwnFiles;

  before(() => {
    [ours, theirs] = [new Mounted(), new Mounted()];
    child = new Child();
    own = new OwnFiles();
  });
  after(async () => {
    own.end();
    await child.kill();
    await Promise.all([ours.stop(), theirs.stop()]);
  });

  const open = (where: Mounted, name: string) => child.call('open', where.path(name), O_RDWR, 0);
  const ask = (account: Account, fd: number) => {
    const order = { tid: child.pid, fd, device: mountedDevice(ours.directory), nonce: 1 };
    return new Promise<number>((resolve) =>
      own.ask(account, order, (result) => {
        if (!(result instanceof Refusal)) own.close(result);
        resolve(result instanceof Refusal ? -result.errno : 0);
      }),
    );
  };

  test("whoever gets others' files copied, which he does not let be closed, has a limit; all others go on", {
    timeout,
  }, async () => {
    const [good, bad] = [await open(ours, 'plain'), await open(theirs, 'sub/dir/flushing')];
    const file = theirs.flushing.files.at(-1)!;
    const [one, other] = [Account.of('one'), Account.of('other')];
    // A close waits for its turn, which does not come as long as its file is at work.
    const working = child.order<number>('callAside', 'ioctl', bad, WORK, 0);
    await until(() => file.working);
    const outcomes: number[] = [];
    while (outcomes.at(-1) !== -Errno.EMFILE) outcomes.push(await ask(one, bad));
    assert.deepEqual(outcomes, [...Array(6).fill(-Errno.EINVAL), -Errno.EMFILE]);
    assert.deepEqual(one.holds, { 'swapped descriptors': 6 });
    assert.equal(await ask(one, good), -Errno.EMFILE);
    assert.equal(await ask(other, good), 0);
    await until(() => Object.keys(other.holds).length === 0);
    file.working = false;
    assert.equal(await working, 0);
    await until(() => Object.keys(one.holds).length === 0);
    assert.equal(await ask(one, good), 0);
    for (const fd of [good, bad]) await child.call('close', fd);
  });

  test("what is had of ours is closed while others' files that were copied are not", {
    timeout,
  }, async () => {
    const [good, bad] = [await open(ours, 'plain'), await open(theirs, 'sub/dir/flushing')];
    const [file, slow] = [ours.plain.files.at(-1)!, theirs.flushing.files.at(-1)!];
    const account = Account.of('one');
    const order = { tid: child.pid, fd: good, device: mountedDevice(ours.directory), nonce: 1 };
    const copy = await new Promise<Parameters<OwnFiles['close']>[0]>((resolve, reject) =>
      own.ask(account, order, (result) => (result instanceof Refusal ? reject(result) : resolve(result))),
    );
    const working = child.order<number>('callAside', 'ioctl', bad, WORK, 0);
    await until(() => slow.working);
    assert.equal(await ask(account, bad), -Errno.EINVAL);
    await child.call('close', good);
    own.close(copy);
    await until(() => file.releases === 1);
    slow.working = false;
    await working;
    await child.call('close', bad);
    await until(() => Object.keys(account.holds).length === 0);
  });

  test('what cannot be closed, as it is in a set that is locked, keeps a helper and no other question', {
    timeout,
  }, async (t) => {
    const foreign = new ForeignFilesystem(t);
    const [bad, good] = [await open(ours, 'plain'), await open(ours, 'plain')];
    const late = await child.call('open', foreign.file, O_RDWR, 0);
    const set = await child.call('epoll_create1', 0);
    const event = await child.order<number>('buffer', new Uint8Array(16).fill(1, 0, 1));
    assert.equal(await child.call('epoll_ctl', set, EPOLL_CTL_ADD, bad, event), 0);
    const [one, other] = [Account.of('one'), Account.of('other')];
    const order = { tid: child.pid, fd: bad, device: mountedDevice(ours.directory), nonce: 1 };
    const copy = await new Promise<Parameters<OwnFiles['close']>[0]>((resolve, reject) =>
      own.ask(one, order, (result) => (result instanceof Refusal ? reject(result) : resolve(result))),
    );
    await foreign.silence();
    child.order('callAside', 'epoll_ctl', set, EPOLL_CTL_ADD, late, event).catch(() => undefined);
    // What is told of the set waits for it too: a helper that looks is given up when it is locked.
    const seen = identifyDescriptor(child.pid, set);
    const opener = Account.of('who looks');
    while (heldFlags(opener, child.pid, set, seen) !== undefined) await sleep(1);
    await child.call('close', bad);
    own.close(copy);
    assert.equal(await ask(other, good), 0);
    await until(() => one.holds['swapped descriptors'] === 1);
    foreign.disconnect();
    await until(() => Object.keys(one.holds).length === 0 && Object.keys(opener.holds).length === 0);
    await child.call('close', good);
  });

  test("a thread that asks has no descriptor of a caller's, nor the connection", { timeout }, async () => {
    const account = Account.of('one');
    const fresh = new OwnFiles();
    const eventfd = libc().eventfd(0, EFD_FLAGS);
    const order = { tid: child.pid, fd: -1, device: 0, nonce: 1 };
    await new Promise((resolve) => fresh.ask(account, order, resolve));
    const tid = readdirSync('/proc/self/task').find((each) => fresh.calls(Number(each)));
    const has = (table: string) =>
      readdirSync(`/proc/self/${table}`).flatMap((fd) => {
        const name = link(`/proc/self/${table}/${fd}`);
        return name === '/dev/fuse' || fd === String(eventfd) ? [name] : [];
      });
    assert.deepEqual(new Set(has('fd')), new Set(['/dev/fuse', 'anon_inode:[eventfd]']));
    assert.deepEqual(has(`task/${tid}/fd`), []);
    fresh.end();
    libc().close(eventfd);
  });

  test('a server that ends waits until a thread that is to ask does not share its connection any more', {
    timeout,
  }, () => {
    const threads = readdirSync('/proc/self/task');
    const fresh = new OwnFiles();
    fresh.ask(Account.of('one'), { tid: child.pid, fd: -1, device: 0, nonce: 1 }, () => undefined);
    fresh.untilAlone();
    const alone = readdirSync('/proc/self/task')
      .filter((tid) => !threads.includes(tid))
      .map((tid) =>
        readdirSync(`/proc/self/task/${tid}/fd`).map((fd) => link(`/proc/self/task/${tid}/fd/${fd}`)),
      )
      .filter((files) => !files.includes('/dev/fuse'));
    assert.equal(alone.length, 1, 'it has left the table before it has said anything');
    fresh.end();
    fresh.untilAlone();
  });
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
