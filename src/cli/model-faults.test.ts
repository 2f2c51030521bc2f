/**
 * What a device model does wrong is the fault of its device, with real processes: the others go on, and the
 * server ends only when a model keeps its thread.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  childrenOf,
  ioasid,
  isAlive,
  mountsBelow,
  Running,
  until,
  withoutFuse,
} from '../testkit/processes.js';

const faulty = fileURLToPath(new URL('../../tests/models/faulty.js', import.meta.url));
const devices = ['-d', faulty, '-d', faulty, '-d', 'edu'];

/** Opens devices by number, with memory space and bus mastering on; says what becomes of each access. */
const prelude = `
  const fs = require('node:fs');
  const open = (n) => {
    const fd = fs.openSync(\`\${process.argv[1]}/vfio/devices/vfio\${n}\`, 'r+');
    fs.writeSync(fd, Uint8Array.of(6, 0), 0, 2, 7 * 2 ** 40 + 4);
    return fd;
  };
  const say = (what, call) => {
    try { console.log(what, call()); } catch (error) { console.log(what, error.code); }
  };
  const write = (fd, what) => say('write', () => fs.writeSync(fd, Uint8Array.of(what, 0, 0, 0), 0, 4, 0));
  const read = (fd) => say('read', () => {
    const bytes = Buffer.alloc(4);
    fs.readSync(fd, bytes, 0, 4, 0);
    return bytes.toString('hex');
  });
  const later = (then) => setTimeout(then, 100);
`;

const client = (script: string, dev = '/dev') => [process.execPath, '-e', prelude + script, dev];
const run = (script: string, device: readonly string[] = devices) =>
  ioasid(['run', ...device, '--', ...client(script)]);

/** Does the wrong thing number `what`, then looks at all three devices. */
const provoke = (what: number) =>
  run(`const fds = [0, 1, 2].map(open); write(fds[0], ${what}); later(() => fds.forEach(read));`);

/** What the other two give: one of the same module, and edu its identification. */
const others = ['read 5a5a5a5a', 'read ed000001'];

/** By the number of what is done: what the stack begins with, and whether the write itself is EIO. */
const faults: readonly [what: number, stack: RegExp, atOnce: boolean][] = [
  [1, /Error: thrown at once\n {4}at /, true],
  [2, /Error: thrown by a timer\n {4}at /, false],
  [3, /Error: thrown by a microtask\n {4}at /, false],
  [4, /Error: thrown by a promise\n {4}at /, false],
  [5, /undefined\n/, false],
  [6, /TypeError: writeBar returned a promise/, true],
  [7, /Error: process.exit was called, and a device model does not end the server\n {4}at /, true],
  [8, /Error: process.exit was called, and a device model does not end the server\n {4}at /, false],
  [12, /Error: process.abort was called, and a device model does not end the server\n {4}at /, false],
];

describe('a device model that fails', { skip: withoutFuse }, () => {
  for (const [what, stack, atOnce] of faults) {
    it(`has its device answer EIO, is told once, and the others go on: ${stack.source}`, () => {
      const { status, stdout, stderr } = provoke(what);
      assert.deepEqual(
        stdout.trim().split('\n'),
        [atOnce ? 'write EIO' : 'write 4', 'read EIO', ...others],
        stderr,
      );
      assert.equal(status, 0);
      assert.equal(stderr.split('ioasid: the device model of vfio0 failed: ').length, 2, stderr);
      assert.doesNotMatch(stderr, /vfio[12] failed/);
      assert.match(stderr, stack);
    });
  }

  it('in a step fails as in an access', () => {
    const script = `const fd = open(0); write(fd, 1); later(() => read(fd));`;
    const { stdout, stderr } = run(script, ['-d', `${faulty},steps=yes`]);
    assert.equal(stdout, 'write 4\nread EIO\n');
    assert.match(stderr, /vfio0 failed: Error: thrown at once\n {4}at /);
  });

  it('by what its factory has left behind is found too', () => {
    const script = `const fds = [open(0), open(1)]; later(() => fds.forEach(read));`;
    const { status, stdout, stderr } = run(script, ['-d', `${faulty},loads=timer`, '-d', faulty]);
    assert.deepEqual([status, stdout], [0, 'read EIO\nread 5a5a5a5a\n']);
    assert.match(stderr, /vfio0 failed: Error: thrown by a timer\n/);
  });

  it('works again when it is opened again', () => {
    const script = `const fd = open(0); write(fd, 1); fs.closeSync(fd); later(() => read(open(0)));`;
    assert.equal(run(script).stdout, 'write EIO\nread 5a5a5a5a\n');
  });

  it('cannot harm the server by the buffers that it is lent', () => {
    for (const what of [9, 10]) {
      const { status, stdout, stderr } = provoke(what);
      assert.deepEqual(
        [status, stdout.trim().split('\n')],
        [0, ['write 4', 'read 5a5a5a5a', ...others]],
        stderr,
      );
    }
  });
});

describe('a device model that loops', { skip: withoutFuse }, () => {
  const sentence = /ioasid: the server ends: writeBar of vfio0 has not returned for 2 s\n/;

  it('ends run after 2 s with status 125, by name, whatever signal came; nothing is left', async () => {
    const script = `const fd = open(0); console.log('now'); write(fd, 11);`;
    const command = ['sh', '-c', 'sleep 1000 & exec "$@"', 'sh', ...client(script)];
    const running = Running.ioasid(['run', ...devices, '--', ...command]);
    await running.says('now');
    const all = childrenOf(running.pid).flatMap((pid) => [pid, ...childrenOf(pid)]);
    running.kill('SIGTERM');
    assert.deepEqual(await running.ended, { status: 125, signal: null });
    assert.match(running.output, sentence);
    assert.doesNotMatch(running.output, /FUSE/);
    await until(() => !all.some(isAlive), `the end of processes ${all}`);
  });

  it('in a step is named as well', () => {
    const script = `write(open(0), 11); setTimeout(() => {}, 60_000);`;
    const { status, stderr } = run(script, ['-d', `${faulty},steps=yes`]);
    assert.equal(status, 125);
    assert.match(stderr, /the server ends: step of vfio0 has not returned for 2 s\n/);
  });

  it('ends serve the same way, and its folder is unmounted', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
    try {
      const server = Running.ioasid(['serve', ...devices, folder]);
      await server.says('vfio2');
      const [file, ...args] = client('write(open(0), 11)', folder);
      const program = spawn(file!, args, { stdio: 'ignore' });
      assert.deepEqual(await server.ended, { status: 125, signal: null });
      assert.match(server.output, sentence);
      await once(program, 'close');
      await until(() => mountsBelow(folder).length === 0, 'the folder to be unmounted');
      assert.deepEqual(readdirSync(folder), []);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
