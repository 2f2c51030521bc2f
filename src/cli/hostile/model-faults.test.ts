/**
 * What a device model does wrong is the fault of its device, with real processes: it is told once, and the
 * others go on. (When a model keeps its thread the server ends: model-loops.test.ts.)
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { faulty, modelOfTests, runClient as run } from '../../testkit/faulty-model.js';
import { withoutFuse } from '../../testkit/processes.js';

const exits = modelOfTests('exits-at-import');

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
      assert.equal(stderr.split(`ioasid: the device model of vfio0 (${faulty}) failed: `).length, 2, stderr);
      assert.doesNotMatch(stderr, /node:|\/(lib|dist)\//);
      assert.doesNotMatch(stderr, /vfio[12] \(.*failed/);
      assert.match(stderr, stack);
    });
  }

  it('in a step fails as in an access', () => {
    const script = `const fd = open(0); write(fd, 1); later(() => read(fd));`;
    const { stdout, stderr } = run(script, ['-d', `${faulty},steps=yes`]);
    assert.equal(stdout, 'write 4\nread EIO\n');
    assert.match(stderr, /vfio0 \(.*,steps=yes\) failed: Error: thrown at once\n {4}at /);
  });

  it('by what its factory has left behind is found too', () => {
    const script = `const fds = [open(0), open(1)]; later(() => fds.forEach(read));`;
    const { status, stdout, stderr } = run(script, ['-d', `${faulty},loads=2`, '-d', faulty]);
    assert.deepEqual([status, stdout], [0, 'read EIO\nread 5a5a5a5a\n']);
    assert.match(stderr, /vfio0 \(.*,loads=2\) failed: Error: thrown by a timer\n/);
  });

  it('before there is a device ends run, by what it has thrown, as wrong usage', () => {
    const exited = 'process.exit was called, and a device model does not end the server';
    for (const [device, said] of [
      [`${faulty},loads=1`, `device "${faulty},loads=1": thrown at once`],
      [`${faulty},loads=7`, `device "${faulty},loads=7": ${exited}`],
      [exits, `device "${exits}" cannot be loaded: ${exited} (${exits}:2)`],
    ] as const) {
      const { status, stdout, stderr } = run('console.log(1)', ['-d', device, '-d', 'edu']);
      assert.deepEqual([status, stdout, stderr.split('\n')[0]], [125, '', `ioasid: ${said}`]);
    }
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
