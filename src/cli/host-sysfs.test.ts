import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasShown } from './host-sysfs.js';

/** A line of mountinfo. */
const mounted = (point: string, type: string) =>
  `31 23 0:28 / ${point} rw,relatime shared:1 - ${type} x rw\n`;
const host = mounted('/', 'ext4') + mounted('/sys', 'sysfs') + mounted('/sys/fs/cgroup', 'tmpfs');

test('what memory and servers hold of /sys where a run shows devices is of an outer run', () => {
  for (const point of ['/sys/class', '/sys/bus/pci', '/sys/devices/pci0000:00'])
    for (const type of ['tmpfs', 'fuse', 'fuse.ioasid'])
      assert.ok(hasShown(host + mounted(point, type)), `${type} at ${point}`);
});

test('what else is mounted in /sys is not of an outer run', () => {
  assert.ok(!hasShown(host));
  for (const [point, type] of [
    ['/sys/kernel/debug', 'debugfs'],
    ['/sys/fs/fuse/connections', 'fusectl'],
    ['/sys/devicesque', 'tmpfs'],
    ['/mnt/sys/class', 'tmpfs'],
    ['/system/class', 'fuse'],
  ] as const)
    assert.ok(!hasShown(host + mounted(point, type)), `${type} at ${point}`);
});
