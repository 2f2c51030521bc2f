import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { promisify } from 'node:util';
import {
  type Attribute,
  type BinaryAttribute,
  type Entry,
  type Folder,
  folderOf,
  type Link,
} from '../file/attributes.js';
import { Errno, refuse } from '../linux/errno.js';
import { Child } from '../testkit/child.js';
import { Cmd, ioctl, Mounted, mountingIsAllowed } from '../testkit/mounted.js';

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
const SEEK_SET = 0;

const timeout = 60_000;
const execute = promisify(execFile);

/**
 * A tree as a driver has one: a value, what cannot be read, what cannot be written, and what comes and goes.
 */
class Scene {
  value = 'one';
  shown = 0;
  readonly comes = new Map<string, Entry>();
  readonly size: Attribute = {
    kind: 'attribute',
    show: () => `${this.value} ${++this.shown}\n`,
    store: (text) => {
      if (!/^[a-z]+\n?$/.test(text)) refuse('EINVAL', `"${text}" is no word`);
      this.value = text.trim();
    },
  };
  readonly held = Buffer.from('0123456789');
  readonly bytes: BinaryAttribute = {
    kind: 'binary',
    mode: 0o640,
    size: this.held.length,
    read: (offset, target, { isAdmin }) => (isAdmin ? this.held.copy(target, 0, offset) : 0),
    write: (offset, source) => void this.held.set(source, offset),
  };
  #measure(text: string): void {
    this.value = `${text.length}`;
  }
  readonly root: Folder = folderOf([
    [
      'device',
      folderOf([
        ['size', this.size],
        ['state', { kind: 'attribute', show: () => 'enabled\n' }],
        ['minor', { kind: 'attribute', show: () => refuse('ENXIO', 'there is no minor') }],
        ['unbind', { kind: 'attribute', store: (text) => void this.comes.delete(text.trim()) }],
        ['large', { kind: 'attribute', store: (text) => this.#measure(text) }],
      ]),
    ],
    ['coming', { kind: 'folder', entries: () => this.comes }],
    ['link', { kind: 'link', target: 'device/state' }],
    ['bytes', this.bytes],
  ]);
}

if (mountingIsAllowed(import.meta.url)) {
  let scene: Scene;
  let mounted: Mounted;
  let child: Child;

  before(() => {
    scene = new Scene();
    mounted = new Mounted({ extra: [{ path: 'sys', kind: 'dir', folder: scene.root }] });
  });
  after(() => mounted.stop());
  beforeEach(() => {
    child = new Child();
    Object.assign(scene, { value: 'one', shown: 0 });
    scene.comes.clear();
  });
  afterEach(() => child.kill());

  const path = (name: string) => mounted.path(`sys/${name}`);
  const open = (name: string, flags: number) => child.call('open', path(name), flags, 0o600);
  const bytes = (text: string) => child.order<number>('buffer', Buffer.from(text, 'latin1'));

  async function read(fd: number, length = 100, offset = -1): Promise<string | number> {
    const at = await bytes(' '.repeat(length));
    const got = await (offset < 0
      ? child.call('read', fd, at, length)
      : child.call('pread', fd, at, length, offset));
    return got < 0 ? got : Buffer.from(await child.peek(at, got)).toString();
  }

  async function write(fd: number, text: string, offset = -1): Promise<number> {
    const at = await bytes(text);
    return offset < 0
      ? child.call('write', fd, at, text.length)
      : child.call('pwrite', fd, at, text.length, offset);
  }

  /** What a shell that works in the tree prints. */
  async function shell(script: string): Promise<string> {
    const { stdout } = await execute('sh', ['-c', script], {
      cwd: '/',
      env: { ...process.env, TREE: path('') },
    });
    return stdout;
  }

  test('a read from the beginning gets the value of that moment, one that goes on the rest of it', {
    timeout,
  }, async () => {
    const fd = await open('device/size', O_RDONLY);
    assert.equal(await read(fd, 3), 'one');
    scene.value = 'two';
    assert.equal(await read(fd), ' 1\n');
    assert.equal(await read(fd), '');
    assert.equal(await child.call('lseek', fd, 0, SEEK_SET), 0);
    assert.equal(await read(fd), 'two 2\n');
    assert.equal(await read(fd, 100, 4), '3\n');
    assert.equal(await read(fd, 100, 5000), '');
    assert.equal(await read(await open('device/minor', O_RDONLY)), -Errno.ENXIO);
    assert.equal(await read(await open('link', O_RDONLY)), 'enabled\n');
  });

  test('a write is one value, whatever its offset, and of a page at most', { timeout }, async () => {
    for (const flags of [O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_WRONLY | O_APPEND, O_WRONLY | O_CREAT]) {
      const fd = await open('device/size', flags);
      assert.equal(await write(fd, 'two\n'), 4);
      assert.equal(await write(fd, 'three'), 5);
      assert.equal(scene.value, 'three');
      assert.equal(await write(fd, 'four', 2 ** 30), 4);
      assert.equal(scene.value, 'four');
      assert.equal(await write(fd, ''), 0);
      assert.equal(await write(fd, 'five\0!!'), 7);
      assert.equal(scene.value, 'five');
    }
    const large = await open('device/large', O_WRONLY);
    assert.equal(await write(large, 'x'.repeat(100_000)), 4096);
    assert.equal(scene.value, '4096');
  });

  test('what a store refuses has changed nothing', { timeout }, async () => {
    const fd = await open('device/size', O_RDWR);
    for (const nonsense of ['1', ' ', '\0', '\n\n', 'two words', '\xff\xfe', '0'.repeat(5000), '-1'])
      assert.equal(await write(fd, nonsense), -Errno.EINVAL, nonsense);
    assert.equal(scene.value, 'one');
  });

  test('bytes are read and written at their offsets, up to their end, and have mode and size', {
    timeout,
  }, async () => {
    assert.equal(await shell('stat -c "%a %s" $TREE/bytes'), '640 10\n');
    const fd = await open('bytes', O_RDWR);
    assert.equal(await read(fd, 100, 6), '6789');
    assert.equal(await write(fd, 'abcd', 8), 2);
    assert.equal(await read(fd, 100, 10), '');
    assert.equal(await read(fd, 3, 7), '7ab');
  });

  test('nobody opens an attribute for what nobody may do, and there is no new one', { timeout }, async () => {
    for (const flags of [O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC])
      assert.equal(await open('device/state', flags), -Errno.EACCES);
    for (const flags of [O_RDONLY, O_RDWR]) assert.equal(await open('device/unbind', flags), -Errno.EACCES);
    assert.equal(await open('device/none', O_WRONLY), -Errno.ENOENT);
    assert.equal(await open('device/none', O_WRONLY | O_CREAT), -Errno.EACCES);
    for (const change of ['mkdir none', 'rm -f size', 'mv size none', 'ln -s size none', 'rmdir ../device'])
      assert.match(await shell(`cd $TREE/device && LC_ALL=C ${change} 2>&1; true`), /not permitted/, change);
  });

  test('the size of an attribute is a page, and stays one, whatever is done to it', { timeout }, async () => {
    const fd = await open('device/size', O_RDWR);
    assert.equal(await child.call('ftruncate', fd, 0), 0);
    assert.equal(await child.call('fsync', fd), 0);
    assert.equal(await child.call('fallocate', fd, 0, 0, 8192), -Errno.EOPNOTSUPP);
    assert.equal(await child.call('ioctl', fd, 0x5401, 0), -Errno.ENOTTY);
    assert.equal(await write(fd, 'far', 10_000), 3);
    assert.equal(
      await shell('cd $TREE && echo further >> device/size && stat -c "%s %a" device/*'),
      '4096 200\n4096 444\n4096 644\n4096 444\n4096 200\n',
    );
  });

  test('a name is there as long as what it stands for, and a shell that is in a folder stays in it', {
    timeout,
  }, async () => {
    const link: Link = { kind: 'link', target: '../device' };
    scene.comes.set('wq0.0', link);
    scene.comes.set('gone', folderOf([['pid', { kind: 'attribute', show: () => '7\n' }]]));
    assert.equal(
      await shell('cd $TREE/coming && cat wq0.0/state gone/pid && readlink wq0.0'),
      'enabled\n7\n../device\n',
    );
    const script = 'cd $TREE/coming/gone && echo gone > ../../device/unbind; ls ..; pwd';
    assert.equal(await shell(script), `wq0.0\n${path('coming/gone')}\n`);
    assert.equal(await child.call('access', path('coming/gone'), 0), -Errno.ENOENT);
    assert.equal(
      await shell('cd $TREE/device && cat state ../device/state && pwd'),
      `enabled\nenabled\n${path('device')}\n`,
    );
  });

  test('a listing shows each name that stays once, while others come and go', { timeout }, async () => {
    const staying = Array.from({ length: 500 }, (_, n) => `stays-${n}`);
    const fleeting = Array.from({ length: 500 }, (_, n) => `comes-${n}`);
    const attribute = (): Attribute => ({ kind: 'attribute', show: () => 'x\n' });
    for (const [n, name] of staying.entries()) {
      scene.comes.set(fleeting[n]!, attribute());
      scene.comes.set(name, attribute());
    }
    let lists = 0;
    const changing = setInterval(() => {
      for (const name of fleeting) if (!scene.comes.delete(name)) scene.comes.set(name, attribute());
      lists++;
    });
    for (let round = 0; round < 20 || lists < 20; round++) {
      const names = (await readdir(path('coming'))).filter((name) => name.startsWith('stays'));
      assert.deepEqual(names.sort(), [...staying].sort());
    }
    clearInterval(changing);
  });

  test('a program may hold 10,000 attributes open', { timeout }, async () => {
    const fd = await child.order<number>('closeAllAndOpen', path('device/size'), 10_000);
    // One that was not opened would have closed everything, standard streams and all.
    assert.equal(await read(fd), 'one 1\n');
  });

  test('an attribute means nothing to a device', { timeout }, async () => {
    const device = await child.call('open', mounted.path('plain'), O_RDWR, 0);
    const one = await open('device/size', O_RDONLY);
    for (const fd of [one, await open('device/size', O_RDONLY)])
      assert.equal(await child.call('ioctl', device, ioctl(0, Cmd.PRESENTED, 0), fd), -Errno.EINVAL);
    assert.equal(await read(one), 'one 1\n');
  });
}
