import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { Ioasid } from '../client/ioasid.js';
import { Iommufd } from '../client/iommufd.js';
import { CONFIG_REGION, VfioDeviceFile } from '../client/vfio-device.js';
import { finish } from '../file/work.js';
import { Machine } from '../machine/machine.js';
import { refused } from '../testkit/refused.js';
import type { VfioDevice } from '../vfio/device.js';
import { IommufdContainer } from '../vfio/iommufd-container.js';
import { VFIO_DEVICE_GET_INFO } from './vfio.js';

const CONFIG_OFFSET = CONFIG_REGION * 2 ** 40;

async function setUp(bindFirst: boolean) {
  const machine = await Machine.create({ devices: ['edu', 'dsa,mdevs=1'], bindFirst });
  const transport = new InProcess(machine);
  return { machine, transport, device: VfioDeviceFile.open(transport, 'vfio0') };
}

/** Why a device file that is not bound refuses. */
const UNBOUND = /only after BIND_IOMMUFD/;

/** Everything that a program may try on a device file, but for what opens it. */
function everything({ transport, device }: Awaited<ReturnType<typeof setUp>>): (() => unknown)[] {
  return [
    () => device.info(),
    () => device.regionInfo(0),
    () => device.irqInfo(0),
    () => device.setEventfds(1, 0, [-1]),
    () => device.reset(),
    () => device.attach(1),
    () => device.detach(),
    () => device.revoke(1),
    () => transport.ioctl(device.fd, 0x3bff, new Uint8Array(64)),
    () => transport.pread(device.fd, CONFIG_OFFSET, new Uint8Array(4)),
    () => transport.pwrite(device.fd, CONFIG_OFFSET + 4, Uint8Array.of(6, 0)),
  ];
}

test('with bind-first a device file answers EINVAL until it is bound, and works from then on', async () => {
  const world = await setUp(true);
  const { transport, device } = world;
  for (const attempt of everything(world)) refused(attempt, 'EINVAL', UNBOUND);
  const iommufd = Iommufd.open(transport);
  assert.throws(() => device.bind(-1), /negative/, 'a refused bind opens nothing');
  refused(() => device.info(), 'EINVAL', UNBOUND);
  device.bind(iommufd);
  assert.equal(device.info().regions, 9);
  device.enable();
  device.attach(iommufd.ioasAlloc());
  device.detach();
  assert.equal(device.read32(0, 0) & 0xff, 0xed);
  device.close();
  const again = VfioDeviceFile.open(transport, 'vfio0');
  refused(() => again.info(), 'EINVAL', UNBOUND);
});

test('with bind-first AUTHORIZE opens a device file too, and it stays open when all is revoked', async () => {
  const { transport, device } = await setUp(true);
  const ioasid = Ioasid.open(transport);
  const pasid = ioasid.alloc();
  refused(() => device.authorize(ioasid, pasid + 1), 'ENOENT');
  refused(() => device.info(), 'EINVAL', UNBOUND);
  device.authorize(ioasid, pasid);
  device.revoke(pasid);
  assert.equal(device.info().regions, 9);
  const mdev = VfioDeviceFile.open(transport, 'vfio1');
  refused(() => mdev.info(), 'EINVAL', UNBOUND);
  mdev.bind(Iommufd.open(transport));
  assert.equal(mdev.info().regions, 9);
});

test('with bind-first a file is open any number of times; the device is of who has bound it', async () => {
  const { transport, device } = await setUp(true);
  const other = VfioDeviceFile.open(transport, 'vfio0');
  const iommufd = Iommufd.open(transport);
  device.bind(iommufd);
  refused(() => other.bind(iommufd), 'EINVAL', /bound through another open/);
  refused(() => other.info(), 'EINVAL', UNBOUND);
  const ioasid = Ioasid.open(transport);
  refused(() => other.authorize(ioasid, ioasid.alloc()), 'EINVAL', /bound through another open/);
  other.close();
  assert.equal(device.info().regions, 9, 'another open that is closed takes nothing away');
  const third = VfioDeviceFile.open(transport, 'vfio0');
  device.close();
  refused(() => third.info(), 'EINVAL', UNBOUND);
  third.bind(iommufd);
  assert.equal(third.info().regions, 9);
});

test('a second BIND of an open file is EINVAL, whatever it names', async () => {
  for (const bindFirst of [false, true]) {
    const { transport, device } = await setUp(bindFirst);
    device.bind(Iommufd.open(transport));
    for (const fd of [999, device.fd])
      refused(() => device.bind(fd), 'EINVAL', /bound to an iommufd already/);
    if (!bindFirst) continue;
    const other = VfioDeviceFile.open(transport, 'vfio0');
    refused(() => other.bind(999), 'EBADF');
    refused(() => other.bind(device.fd), 'EBADFD');
  }
});

test('with bind-first a bind that fails leaves the device to others', async () => {
  const { transport, device, machine } = await setUp(true);
  const other = VfioDeviceFile.open(transport, 'vfio0');
  assert.throws(() => device.bind(999));
  assert.equal(machine.devices[0]!.driver.life.holder, undefined);
  other.bind(Iommufd.open(transport));
  refused(() => device.info(), 'EINVAL', UNBOUND);
});

test('with bind-first BIND is EBUSY while the group of the device is open', async () => {
  const { transport, device, machine } = await setUp(true);
  machine.groups[0]!.open(1);
  refused(() => device.bind(Iommufd.open(transport)), 'EBUSY', /group of vfio0 is open/);
  finish(machine.groups[0]!.close());
  device.bind(Iommufd.open(transport));
});

test('with bind-first a device that is had through its group is bound already', async () => {
  const { machine } = await setUp(true);
  const [group] = machine.groups;
  finish((machine.devices[0]!.driver as VfioDevice).close());
  const context = machine.iommufd.open(1);
  context.nameCompatIoas(context.allocIoas().id);
  group!.open(1);
  group!.setContainer(new IommufdContainer(context));
  finish(group!.openDevice(1));
  assert.equal(machine.devices[0]!.driver.life.granted, true);
});

test('without it all of VFIO works from the open on', async () => {
  const { transport, device } = await setUp(false);
  assert.equal(device.info().regions, 9);
  refused(() => transport.ioctl(device.fd, 0x3bff, new Uint8Array(64)), 'ENOTTY');
  const info = new Uint8Array(24);
  info[0] = 24;
  transport.ioctl(device.fd, VFIO_DEVICE_GET_INFO, info);
  device.enable();
  assert.equal(device.read32(0, 0) & 0xff, 0xed);
});
