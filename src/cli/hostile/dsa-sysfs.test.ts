/** /sys/bus/dsa under `ioasid run`: configured by a shell, and the host's /sys none the wiser. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bin, ioasid, runner, shell } from '../../testkit/processes.js';

const DEVICE = ['run', '--device', 'dsa,idxd=1'];
const configure =
  'cd /sys/bus/dsa/devices && cd -P wq0.0 && echo 0 > group_id && echo 16 > size && echo 8 > threshold && ' +
  'echo 10 > priority && echo user > type && echo app > name && echo user > driver_name && ' +
  'echo 0 > ../engine0.0/group_id && cd /sys/bus/dsa/drivers && ';
const listHost =
  'ls /sys/bus /sys/devices /sys/module; find /sys/bus/pci /sys/devices/pci* -maxdepth 2 | sort';

describe(`/sys/bus/dsa as ${runner.name}`, { skip: runner.skip }, () => {
  const inside = (script: string) => ioasid([...DEVICE, '--', 'sh', '-c', script], runner);

  it('configures and enables a work queue, whose file is there until it is disabled', () => {
    const { status, stdout, stderr } = inside(
      `${configure} echo dsa0 > idxd/bind && echo wq0.0 > user/bind && ls /dev/dsa user && ` +
        'cat ../devices/wq0.0/state && pwd -P && cd user/wq0.0 && pwd -P && echo wq0.0 > driver/unbind && ' +
        'ls /dev/dsa && cat state size',
    );
    const folder = '/sys/devices/pci0000:6a/0000:6a:01.0/dsa0/wq0.0';
    const listed = '/dev/dsa:\nwq0.0\n\nuser:\nbind\nunbind\nwq0.0\n';
    const expected = `${listed}enabled\n/sys/bus/dsa/drivers\n${folder}\ndisabled\n16\n`;
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: expected, stderr: '' });
  });

  it('is the only thing that writes reach: /sys is outside as it was', () => {
    const before = shell(listHost).stdout;
    const nonsense =
      'for f in /sys/bus/dsa/devices/*/* /sys/bus/dsa/drivers/*/*; do echo nonsense > $f; done';
    inside(`${nonsense} 2>/dev/null; ${configure} echo dsa0 > idxd/bind`);
    assert.equal(shell(listHost).stdout, before);
  });

  it('of an outer run is not seen in an inner one', () => {
    const script =
      'ls -d /sys/bus/dsa /sys/devices/pci0000:6a/0000:6a:01.0/dsa0 2>&1 | grep -c cannot; ls /dev/.sys/bus';
    const inner = [process.execPath, bin, 'run', '--device', 'edu', '--', 'sh', '-c', script];
    assert.equal(ioasid([...DEVICE, '--', ...inner], runner).stdout, '2\npci\n');
  });
});
