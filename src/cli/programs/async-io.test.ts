/**
 * Asynchronous I/O on device files (tests/c/async.c), under `ioasid run`. Where the kernel has no io_uring
 * for the caller, its error stands for it.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ioasid, runner } from '../../testkit/processes.js';

describe(`asynchronous reads as ${runner.name}`, { skip: runner.skip || missingCompiler() }, () => {
  it('of a device file give what pread gives, by libaio and by io_uring', () => {
    const args = ['run', '--device', 'edu', '--', testProgram('async'), '/dev/vfio/devices/vfio0'];
    const { status, stdout } = ioasid(args, runner);
    assert.equal(status, 0);
    const [pread, aio, uring] = stdout
      .trim()
      .split('\n')
      .map((line) => line.replace(/^\S+ /, ''));
    assert.equal(pread, '4 bytes, vendor 1234');
    assert.equal(aio, pread);
    assert.ok(uring === pread || /^(EPERM|ENOSYS)$/.test(uring!), uring);
  });
});
