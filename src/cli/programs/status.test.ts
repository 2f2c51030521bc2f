/**
 * What stat(2) says of device files under `run`: tests/c/status asks in each way, a task for each rule, and
 * programs that everybody has are asked.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ioasid, runner } from '../../testkit/processes.js';

const tasks = {
  calls: 'each call of the family says character device, with the number and without a size',
  mapping: 'to threads of a program too that maps the device while they ask, and to one that has',
  signals: 'no signal is lost that comes meanwhile, none comes that is blocked, and no call fails for one',
  stops: 'a program is stopped and goes on amid its calls, and its parent sees that and nothing else',
  ends: 'a program is killed amid its calls, or becomes another, and its parent sees that and nothing else',
  refusals: 'what the kernel refuses stays refused, and other files are what they are',
  debugged: 'who has a debugger is told of a regular file, and the debugger sees nothing',
} as const;

const skip = runner.skip || (process.arch === 'x64' ? false : `not on ${process.arch}`);

describe(`stat(2) of device files as ${runner.name}`, { skip }, () => {
  for (const [task, rule] of Object.entries(tasks)) {
    it(rule, { skip: missingCompiler() }, () => {
      const command = ['run', '--device', 'edu', '--', testProgram('status'), task];
      const { status, stdout, stderr } = ioasid(command, runner);
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: `${task} ok\n`, stderr: '' });
    });
  }

  it('stat, test and find see character devices, with the numbers that are in /sys', () => {
    const script = `
      cd /dev
      stat -c '%n %F %Hr:%Lr %s' ioasid iommu vfio/vfio vfio/1 vfio/devices/vfio0 vhost-vdpa-0 dsa/wq0.0
      test -c vfio/devices/vfio0 && ! test -f vfio/devices/vfio0 && find vfio -type c | sort
      cat /sys/bus/pci/devices/*/vfio-dev/vfio0/dev /sys/bus/dsa/devices/wq0.0/dsa!wq0.0/dev`;
    const devices = ['edu', 'virtio-net', 'dsa,idxd=1,ready=1'].flatMap((device) => ['--device', device]);
    const { status, stdout, stderr } = ioasid(['run', ...devices, '--', 'sh', '-c', script], runner);
    const expected = [
      'ioasid character special file 10:257 0',
      'iommu character special file 10:256 0',
      'vfio/vfio character special file 10:196 0',
      'vfio/1 character special file 509:0 0',
      'vfio/devices/vfio0 character special file 511:0 0',
      'vhost-vdpa-0 character special file 508:0 0',
      'dsa/wq0.0 character special file 510:0 0',
      ...['vfio/1', 'vfio/devices/vfio0', 'vfio/vfio', '511:0', '510:0', ''],
    ];
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: expected.join('\n'), stderr: '' });
  });
});
