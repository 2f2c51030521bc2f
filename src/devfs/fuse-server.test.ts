import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Errno } from '../linux/errno.js';
import { identifyDescriptor, mountedDevice } from '../linux/fd-identity.js';
import { Child } from '../testkit/child.js';
import { Cmd, ioctl, Mounted, mountingIsAllowed, until } from '../testkit/mounted.js';

const O_RDWR = 2;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const O_PATH = 0o10000000;
const MS_BIND = 4096;
const MNT_FORCE = 1;
const MNT_DETACH = 2;
const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;
const BOTH = 3;
const READ = 2;
const WRITE = 1;
const NONE = 0;

const timeout = 60_000;
const PRESENTED = ioctl(NONE, Cmd.PRESENTED, 0);

if (mountingIsAllowed(import.meta.url)) {
  let mounted: Mounted;
  let child: Child;

  before(() => {
    mounted = new Mounted({
      extra: [
        { path: 'placeholder', kind: 'file' },
        { path: 'empty', kind: 'dir' },
        { path: 'link', kind: 'symlink', target: 'sub/dir' },
      ],
    });
  });
  after(() => mounted.stop());
  beforeEach(() => {
    child = new Child();
    mounted.forgetCalls();
  });
  // What it had open is released, so that the next test hears of its own files alone.
  afterEach(async () => {
    await child.kill();
    const files = [...mounted.plain.files, ...mounted.flushing.files];
    await until(() => files.every(({ releases }) => releases > 0));
  });

  const open = async (name: string, flags = O_RDWR) => {
    const fd = await child.call('open', mounted.path(name), flags, 0);
    assert.ok(fd >= 0, `open ${name}: ${fd}`);
    return fd;
  };
  const lastFile = (node = mounted.plain) => node.files.at(-1)!;
  const bytesOf = (...bytes: number[]) => child.order<number>('buffer', Uint8Array.from(bytes));

  test('each open makes one open file, which copies in any process share, and which is released once', {
    timeout,
  }, async () => {
    const before = mounted.plain.files.length;
    const fd = await open('plain');
    const file = lastFile();
    const dup = await child.call('fcntl', fd, 0, 0);
    const other = new Child();
    const pidfd = await other.call('syscall', SYS_pidfd_open, child.pid, 0, 0);
    const copy = await other.call('syscall', SYS_pidfd_getfd, pidfd, fd, 0);
    assert.equal(await other.call('ioctl', copy, PRESENTED, copy), file.number);
    assert.equal(await child.call('ioctl', dup, PRESENTED, dup), file.number);
    await child.call('close', fd);
    await child.call('close', dup);
    assert.equal(await other.call('ioctl', copy, PRESENTED, copy), file.number);
    assert.equal(file.releases, 0);
    await other.call('close', copy);
    await until(() => file.releases > 0);
    assert.equal(file.releases, 1);
    assert.equal(mounted.plain.files.length, before + 1);
    await other.kill();
  });

  test('a process that is killed has closed its files', { timeout }, async () => {
    await open('plain');
    await open('sub/dir/flushing');
    await child.kill();
    await until(() => lastFile().releases === 1 && lastFile(mounted.flushing).releases === 1);
  });

  test('what was closed has been released before the next open, however much it was', {
    timeout,
  }, async () => {
    const count = 200;
    await child.call('close', await child.order<number>('closeAllAndOpen', mounted.path('plain'), count));
    const calls = mounted.calls
      .filter(({ call }) => call === 'open' || call === 'release')
      .map(({ call }) => call);
    assert.deepEqual(calls.slice(0, 2 * count + 1), [
      ...Array(count).fill('open'),
      ...Array(count).fill('release'),
      'open',
    ]);
  });

  test('a caller may be killed in the middle of its own ioctl', { timeout }, async () => {
    const fd = await open('plain');
    void child.call('ioctl', fd, ioctl(NONE, Cmd.KILL, 0), 0);
    await until(() => lastFile().releases === 1);
  });

  test('every close of a file that flushes is told, of others none', { timeout }, async () => {
    const plain = await open('plain');
    const flushing = await open('sub/dir/flushing');
    for (const fd of [plain, flushing]) await child.call('close', await child.call('fcntl', fd, 0, 0));
    assert.equal(lastFile().flushes, 0);
    assert.equal(lastFile(mounted.flushing).flushes, 1);
  });

  test('an ioctl carries its struct in and out, and a result', { timeout }, async () => {
    const fd = await open('plain');
    const at = await bytesOf(1, 2, 3, 4);
    assert.equal(await child.call('ioctl', fd, ioctl(BOTH, Cmd.ADD, 4), at), 4);
    assert.deepEqual([...(await child.peek(at, 4))], [2, 3, 4, 5]);
    assert.equal(await child.call('ioctl', fd, ioctl(WRITE, Cmd.ADD, 4), at), 4);
    assert.deepEqual([...(await child.peek(at, 4))], [2, 3, 4, 5]);
    assert.equal(await child.call('ioctl', fd, ioctl(READ, Cmd.ADD, 4), at), 4);
    assert.deepEqual([...(await child.peek(at, 4))], [1, 1, 1, 1]);
    assert.equal(await child.call('ioctl', fd, ioctl(NONE, Cmd.ADD, 4), at), 0);
    const large = await child.order<number>('buffer', new Uint8Array(16383).fill(7));
    assert.equal(await child.call('ioctl', fd, ioctl(BOTH, Cmd.ADD, 16383), large), 16383);
    assert.ok((await child.peek(large, 16383)).every((byte) => byte === 8));
  });

  test("an ioctl without a struct reads and writes its caller's memory", { timeout }, async () => {
    const fd = await open('plain');
    const at = await bytesOf(21);
    assert.equal(await child.call('ioctl', fd, ioctl(NONE, Cmd.DOUBLE, 0), at), 0);
    assert.deepEqual([...(await child.peek(at, 1))], [42]);
    for (const wrong of [0, 8, 2 ** 47, 2 ** 52]) {
      assert.equal(await child.call('ioctl', fd, ioctl(NONE, Cmd.DOUBLE, 0), wrong), -Errno.EFAULT);
    }
    assert.equal(await child.call('ioctl', fd, ioctl(NONE, Cmd.PID, 0), 0), child.pid);
  });

  test('an ioctl that goes on in slices has its own argument, whatever calls come meanwhile', {
    timeout,
  }, async () => {
    const fd = await open('plain');
    const file = lastFile();
    const result = child.call('ioctl', fd, ioctl(NONE, Cmd.WORK, 0), 7);
    await until(() => file.working);
    const other = new Child();
    const otherFd = await other.call('open', mounted.path('plain'), O_RDWR, 0);
    assert.equal(await other.call('ioctl', otherFd, ioctl(NONE, Cmd.PID, 0), 8), other.pid);
    await other.kill();
    file.working = false;
    assert.equal(await result, 7);
  });

  test('unknown ioctls, refusals with ENOSYS and bugs end that call only', { timeout }, async (t) => {
    const log = t.mock.method(console, 'error', () => {});
    const fd = await open('plain');
    const outcomes = [];
    for (const nr of [200, 0xff, Cmd.NOT_IMPLEMENTED, Cmd.BUG, Cmd.BUG]) {
      outcomes.push(await child.call('ioctl', fd, ioctl(NONE, nr, 0), 12345));
    }
    assert.deepEqual(outcomes, [-Errno.ENOTTY, -Errno.ENOTTY, -Errno.EOPNOTSUPP, -Errno.EIO, -Errno.EIO]);
    assert.equal(log.mock.callCount(), 1);
    assert.match(
      String(log.mock.calls[0]!.arguments[0]),
      /ioctl on plain failed inside ioasid: TypeError: a bug\n +at /,
    );
    assert.equal(await child.call('ioctl', fd, PRESENTED, fd), lastFile().number);
  });

  test('reads and writes arrive with their offset, however large', { timeout }, async () => {
    const fd = await open('plain');
    const offset = 7 * 2 ** 40 + 4;
    const at = await bytesOf(104, 105);
    assert.equal(await child.call('pwrite', fd, at, 2, offset), 2);
    assert.deepEqual(lastFile().written, { offset, bytes: 'hi' });
    const text = `at ${offset}`;
    assert.equal(await child.call('pread', fd, at, 100, offset), text.length);
    assert.equal(Buffer.from(await child.peek(at, text.length)).toString(), text);
  });

  test('every call is recorded with who made it, its result, and why it was refused', {
    timeout,
  }, async () => {
    const fd = await open('plain');
    await child.call('ioctl', fd, ioctl(NONE, 200, 0), 0);
    const [opening, refused] = mounted.calls;
    const { call, path, tid, result } = opening!;
    assert.deepEqual([call, path, tid, result], ['open', 'plain', child.pid, 0]);
    assert.deepEqual([refused!.call, refused!.tid, refused!.error], ['ioctl', child.pid, 'ENOTTY']);
    assert.equal(refused!.reason, `no ioctl ${ioctl(NONE, 200, 0)}`);
  });

  test('a caller without `ioasid run` gets no new descriptor: EOPNOTSUPP, and the file is released', {
    timeout,
  }, async () => {
    const fd = await open('plain');
    assert.equal(await child.call('ioctl', fd, ioctl(NONE, Cmd.INSTALL, 0), 0), -Errno.EOPNOTSUPP);
    assert.match(mounted.calls.at(-1)!.reason!, /`ioasid run`/);
    assert.equal(lastFile().made?.releases, 1);
  });

  test('names cannot be made, removed or changed, and files have no size that could be', {
    timeout,
  }, async () => {
    assert.equal(await child.call('open', mounted.path('new'), O_RDWR | O_CREAT, 0o600), -Errno.EPERM);
    assert.equal(await child.call('open', mounted.path('absent'), O_RDWR, 0), -Errno.ENOENT);
    assert.equal(await child.call('open', mounted.path('placeholder'), O_RDWR, 0), -Errno.ENXIO);
    const fd = await open('plain', O_RDWR | O_CREAT | O_TRUNC);
    assert.equal(await child.call('ftruncate', fd, 0), -Errno.EINVAL);
    assert.equal(await child.call('fsync', fd), -Errno.EINVAL);
    assert.equal(await child.call('fallocate', fd, 0, 0, 4096), -Errno.ENODEV);
    assert.equal(await child.call('ioctl', fd, PRESENTED, fd), lastFile().number);
  });

  test('a file means itself when it is presented, under any of its descriptors, and no other', {
    timeout,
  }, async () => {
    const a = await open('plain');
    const first = lastFile().number;
    const b = await open('plain');
    const device = await open('sub/dir/flushing');
    const dup = await child.call('fcntl', a, 0, 0);
    assert.equal(await child.call('ioctl', device, PRESENTED, a), first);
    assert.equal(await child.call('ioctl', device, PRESENTED, dup), first);
    assert.equal(await child.call('ioctl', device, PRESENTED, b), lastFile().number);
    assert.equal(await child.call('ioctl', device, PRESENTED, device), lastFile(mounted.flushing).number);
  });

  test('no descriptor: EBADF; one that only names a file of ours: EBADF; anything else: EINVAL', {
    timeout,
  }, async () => {
    const fd = await open('plain');
    const pathOnly = await open('plain', O_PATH);
    const sameInode = await child.call('open', `/proc/self/fd/${fd}`, O_PATH, 0);
    const directory = await open('', 0);
    const outcomes = [];
    for (const presented of [999, -1, 2 ** 31 - 1, pathOnly, sameInode, directory, 0, 1, 2]) {
      outcomes.push(await child.call('ioctl', fd, PRESENTED, presented));
    }
    const { EBADF, EINVAL } = Errno;
    assert.deepEqual(outcomes, [-EBADF, -EBADF, -EBADF, -EBADF, -EBADF, -EINVAL, -EINVAL, -EINVAL, -EINVAL]);
  });

  test('a regular file with the same inode number, and a file of another server with it, are refused', {
    timeout,
  }, async (t) => {
    const [one, other] = [new Mounted(), new Mounted()];
    t.after(() => child.kill().then(() => Promise.all([one.stop(), other.stop()])));
    const tmpfs = mounted.path('empty');
    assert.equal(await child.call('mount', 'tmpfs', tmpfs, 'tmpfs', 0, ''), 0);
    const inodeOf = (fd: number) => identifyDescriptor(child.pid, fd)!.inode;
    let files = 0;
    const ours = () => child.call('open', one.path('plain'), O_RDWR, 0);
    const strangers = [
      () => child.call('open', other.path('plain'), O_RDWR, 0),
      () => child.call('open', `${tmpfs}/${files++}`, O_RDWR | O_CREAT, 0o600),
    ];
    // All count their inodes up from 1, and an open may take two: whoever is behind opens the next.
    for (const make of strangers) {
      let [fd, stranger] = [await ours(), await make()];
      while (inodeOf(fd) !== inodeOf(stranger)) {
        const behind = inodeOf(fd) < inodeOf(stranger);
        await child.call('close', behind ? fd : stranger);
        if (behind) fd = await ours();
        else stranger = await make();
      }
      assert.equal(await child.call('ioctl', fd, PRESENTED, stranger), -Errno.EINVAL);
    }
    assert.equal(await child.call('umount2', tmpfs, MNT_DETACH), 0);
  });

  test('the device number of a mount is known without asking its server', { timeout }, async () => {
    const fd = await open('plain');
    assert.equal(mountedDevice(mounted.directory), identifyDescriptor(child.pid, fd)!.device);
  });

  test('files that share an inode are told apart: reopened through /proc, or opened through a bind mount', {
    timeout,
  }, async () => {
    for (const node of [mounted.plain, mounted.flushing]) {
      const a = await open(node.path);
      const first = lastFile(node).number;
      const b = await child.call('open', `/proc/self/fd/${a}`, O_RDWR, 0);
      const second = lastFile(node).number;
      assert.notEqual(first, second);
      assert.equal(await child.call('ioctl', a, PRESENTED, a), first);
      assert.equal(await child.call('ioctl', a, PRESENTED, b), second);
      const both = await child.order<number>('buffer', new Uint8Array(Int32Array.of(a, b).buffer));
      assert.equal(
        await child.call('ioctl', b, ioctl(NONE, Cmd.PRESENTED_TWO, 0), both),
        first * 100 + second,
      );
      const pathOnly = await child.call('open', `/proc/self/fd/${a}`, O_PATH, 0);
      assert.equal(await child.call('ioctl', a, PRESENTED, pathOnly), -Errno.EBADF);
      await child.call('close', b);
    }
    const bound = mounted.path('placeholder');
    assert.equal(await child.call('mount', mounted.path('plain'), bound, '', MS_BIND, ''), 0);
    const c = await child.call('open', bound, O_RDWR, 0);
    const third = lastFile().number;
    const d = await child.call('open', bound, O_RDWR, 0);
    assert.equal(await child.call('ioctl', d, PRESENTED, c), third);
    assert.equal(await child.call('ioctl', c, PRESENTED, d), lastFile().number);
    assert.equal(await child.call('umount2', bound, MNT_DETACH), 0);
  });

  test('the open files of a nonce round are released when the caller has closed them: no copy is left', {
    timeout,
  }, async () => {
    const a = await open('plain');
    const first = lastFile();
    const b = await child.call('open', `/proc/self/fd/${a}`, O_RDWR, 0);
    assert.equal(await child.call('ioctl', b, PRESENTED, a), first.number);
    await child.call('close', a);
    await until(() => first.releases === 1);
  });

  test('a descriptor that another thread swaps during the call means one of its files', {
    timeout,
  }, async () => {
    const a = await open('plain');
    const first = lastFile().number;
    const b = await open('plain');
    const second = lastFile().number;
    const device = await open('sub/dir/flushing');
    const swapped = await child.call('fcntl', a, 0, 0);
    await child.order('swap', swapped, a, b);
    const rounds = await Promise.all(
      Array.from({ length: 2000 }, () => child.call('ioctl', device, PRESENTED, swapped)),
    );
    assert.deepEqual(new Set(rounds), new Set([first, second]));
  });

  test('what is mounted over a placeholder stays, whatever is looked up and however the nodes change', {
    timeout,
  }, async () => {
    const bound = mounted.path('placeholder');
    assert.equal(await child.call('mount', '/dev/null', bound, '', MS_BIND, ''), 0);
    mounted.server.update([mounted.plain]);
    assert.equal(await child.call('open', mounted.path('sub/dir/flushing'), O_RDWR, 0), -Errno.ENOENT);
    mounted.server.update([mounted.plain, mounted.flushing]);
    await open('link/flushing');
    const at = await bytesOf(1);
    assert.equal(await child.call('write', await child.call('open', bound, 1, 0), at, 1), 1);
    assert.equal(await child.call('umount2', bound, MNT_DETACH), 0);
  });

  test('when the connection is aborted every open file is released and serving ends', {
    timeout,
  }, async (t) => {
    const other = new Mounted();
    t.after(() => child.kill().then(() => other.stop()));
    const fd = await child.call('open', other.path('plain'), O_RDWR, 0);
    assert.ok(fd >= 0);
    assert.equal(await child.call('umount2', other.directory, MNT_FORCE), -Errno.EBUSY);
    await other.ended;
    assert.equal(lastFile(other.plain).releases, 1);
  });

  test('a server that exits while it asks itself about a descriptor does exit, and lets its callers go', {
    timeout,
  }, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ioasid-devfs-'));
    const server = fork(new URL('../testkit/exiting-server.js', import.meta.url), [directory]);
    const exit = new Promise((resolve) => server.once('exit', resolve));
    await new Promise((resolve) => server.once('message', resolve));
    const a = await child.call('open', join(directory, 'plain'), O_RDWR, 0);
    const b = await child.call('open', `/proc/self/fd/${a}`, O_RDWR, 0);
    assert.ok((await child.call('ioctl', b, PRESENTED, a)) < 0);
    assert.equal(await exit, 3);
    assert.equal(await child.call('umount2', directory, MNT_DETACH), 0);
    rmdirSync(directory);
  });
}
