/**
 * Hot resets: of a bus behind a port, by whoever has all that is on it. On a root bus there are none, but who
 * asks wrongly is told so, as by vfio-pci.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Iommufd } from '../client/iommufd.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Machine } from '../machine/machine.js';
import { ContainerProgram } from '../testkit/container-program.js';
import { refused } from '../testkit/refused.js';
import { vfioFile } from '../testkit/vfio-file.js';
import { getU32 } from './struct.js';
import { vfioIoctls } from './vfio.js';
import { cdevIoctls } from './vfio-cdev.js';
import { groupedIoctls } from './vfio-group.js';
import { VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, VFIO_DEVICE_PCI_HOT_RESET } from './vfio-hot-reset.js';

const byCdev = { table: new Map([...vfioIoctls, ...cdevIoctls]) };
const byGroup = { table: groupedIoctls };

const FIRST = '0000:01:00.0';
const SECOND = '0000:01:00.1';
/** Two functions of one bus, one alone on its bus, and one on the root bus. */
const devices = [`edu,port=1,bdf=${FIRST}`, `edu,port=1,bdf=${SECOND}`, 'edu,port=1', 'edu'];
const LIVENESS = 0x04;

/** `count` ids, segment, bus and function in one word: what GET_PCI_HOT_RESET_INFO says with `argsz`. */
function ask(one: ContainerProgram, fd: number, argsz: number) {
  const { data } = one.call(fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, argsz);
  return wordsOf(data, 1, 2 + (argsz - 12) / 4);
}

function wordsOf(data: Uint8Array, first: number, count: number): number[] {
  return Array.from({ length: count }, (_, n) => getU32(data, 4 * (first + n)));
}

function hotReset(one: ContainerProgram, fd: number, ...groups: readonly number[]): number {
  const list = groups.map((group, n): [number, number] => [12 + 4 * n, group]);
  return one.call(fd, VFIO_DEVICE_PCI_HOT_RESET, 64, [[8, groups.length], ...list]).result;
}

/** A program with both functions of the bus open through their groups, and what is on the other buses. */
async function grouped() {
  const one = new ContainerProgram(await Machine.create({ devices }));
  const container = one.process.open('vfio/vfio');
  const groups = [1, 2, 3, 4].map((group) => one.process.open(`vfio/${group}`));
  for (const group of groups) one.join(group, container);
  one.plain(container, 0x3b66, 3);
  const [a, b, c, d] = groups as [number, number, number, number];
  const names = [FIRST, SECOND, '0000:6b:00.0', '0000:6a:01.0'];
  const files = groups.map((group, n) => one.device(group, names[n]));
  return { one, groups: { a, b, c, d }, files, open: files.map((fd) => new VfioDeviceFile(one.process, fd)) };
}

/** The same by their own files, of which the first `bound` are bound to one iommufd. */
async function byFiles(bound: number) {
  const one = new ContainerProgram(await Machine.create({ devices }));
  const open = [0, 1, 2].map((n) => VfioDeviceFile.open(one.process, `vfio${n}`));
  const iommufd = Iommufd.open(one.process);
  const ids = open.slice(0, bound).map((device) => device.bind(iommufd));
  return { one, open, ids };
}

describe('hot reset of a bus behind a port', () => {
  it('tells which devices it resets, by their groups', async () => {
    const { one, files } = await grouped();
    const [first = -1, , alone = -1, root = -1] = files;
    assert.deepEqual(ask(one, first, 28), [0, 2, 1, 0x00010000, 2, 0x01010000]);
    assert.deepEqual(ask(one, alone, 20), [0, 1, 3, 0x006b0000]);
    refused(() => ask(one, first, 27), 'ENOSPC', /2 devices are reset with vfio0/);
    assert.deepEqual(wordsOf(one.left, 1, 2), [0, 2], 'how many there are is told');
    refused(() => ask(one, root, 28), 'ENODEV');
  });

  it('needs the groups of all of them, each a group, and no more than there are devices', async () => {
    const { one, groups, files } = await grouped();
    const { a, b, c } = groups;
    const [first = -1] = files;
    const wrong = [[a], [b], [c], [a, a], [a, c], [a, b, c], [a, first], [first, a]];
    for (const list of wrong) refused(() => hotReset(one, first, ...list), 'EINVAL');
    refused(() => hotReset(one, first, a, 999), 'EBADF');
    assert.equal(hotReset(one, first, b, a), 0);
  });

  it('resets all that is on the bus, and nothing else; configuration space stays', async () => {
    const { one, groups, files, open } = await grouped();
    for (const device of open) {
      device.enable();
      device.write32(0, LIVENESS, 5);
    }
    hotReset(one, files[1]!, groups.a, groups.b);
    const live = open.map((device) => device.read32(0, LIVENESS));
    assert.deepEqual(
      live.map((value) => value === ~5 >>> 0),
      [false, false, true, true],
    );
    for (const device of open) assert.equal(device.read(7, 4, 1)[0], 6);
  });

  it('is by their own files for whoever has bound all of them to one iommufd', async () => {
    const owned = await byFiles(2);
    const [a, b] = owned.ids;
    const fd = owned.open[0]!.fd;
    assert.deepEqual(ask(owned.one, fd, 28), [3, 2, a, 0x00010000, b, 0x01010000]);
    assert.equal(hotReset(owned.one, fd), 0);
    const partly = await byFiles(1);
    const first = partly.open[0]!.fd;
    assert.deepEqual(ask(partly.one, first, 28), [1, 2, partly.ids[0], 0x00010000, 0xffffffff, 0x01010000]);
    refused(() => hotReset(partly.one, first), 'EINVAL', /vfio1 would be reset too/);
    partly.open[1]!.bind(Iommufd.open(partly.one.process));
    refused(() => hotReset(partly.one, first), 'EINVAL', /vfio1 would be reset too/);
    assert.equal(ask(partly.one, first, 28)[4], 0xffffffff, 'what another iommufd has is not owned');
  });

  it('is one of conventional PCI, too, for a function that is alone on its bus', async () => {
    const strict = { devices: [...devices, 'edu,port=1'], strict: true };
    const one = new ContainerProgram(await Machine.create(strict));
    const iommufd = Iommufd.open(one.process);
    const resettable = [0, 2, 3].map((n) => {
      const device = VfioDeviceFile.open(one.process, `vfio${n}`);
      device.bind(iommufd);
      return device.info().flags & 1;
    });
    assert.deepEqual(resettable, [0, 1, 0]);
  });
});

describe('hot reset of a root bus', () => {
  it('of a well-formed request is ENODEV: there is neither bus nor slot', () => {
    for (const table of [byCdev, byGroup]) {
      const { ioctl } = vfioFile(table);
      refused(() => ioctl(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 12, 0, 0), 'ENODEV');
      refused(() => ioctl(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 11, 0, 0), 'EINVAL');
      refused(() => ioctl(VFIO_DEVICE_PCI_HOT_RESET, 11, 0, 0), 'EINVAL');
      refused(() => ioctl(VFIO_DEVICE_PCI_HOT_RESET, 16, 1, 1, 5), 'EINVAL', /flags 0x1/);
    }
  });

  it('names groups when the device was opened through its group, and none otherwise', () => {
    const [cdev, group] = [vfioFile(byCdev), vfioFile(byGroup)];
    refused(() => group.ioctl(VFIO_DEVICE_PCI_HOT_RESET, 12, 0, 0), 'EINVAL', /has to be named/);
    refused(() => group.ioctl(VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, 5), 'ENODEV');
    refused(() => cdev.ioctl(VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, 5), 'EINVAL', /takes no 1 groups/);
    refused(() => cdev.ioctl(VFIO_DEVICE_PCI_HOT_RESET, 12, 0, 0), 'ENODEV');
  });

  it('of a mediated device is unknown', () => {
    const { ioctl } = vfioFile({ ...byCdev, mediated: true });
    refused(() => ioctl(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 12, 0, 0), 'ENOTTY');
    refused(() => ioctl(VFIO_DEVICE_PCI_HOT_RESET, 12, 0, 0), 'ENOTTY');
  });
});
