/**
 * Enabling and disabling a device and its work queues, by the rules and errnos of Linux's driver, and the
 * device's own.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { finish } from '../file/work.js';
import { Machine } from '../machine/machine.js';
import { descriptor, idxdScene, statusIn, workspace } from '../testkit/idxd-scene.js';
import { refused } from '../testkit/refused.js';
import type { IdxdDevice } from './device.js';
import { Trouble } from './state.js';
import type { IdxdWq } from './wq.js';

const SUCCESS = 1;

/** Work queue `id` configured as a program does it, of `size` descriptors in group 0. */
function configure(device: IdxdDevice, id = 0, size = 16): IdxdWq {
  const wq = device.wqs[id]!;
  wq.setGroup(0);
  wq.setSize(size, device.claimedSize);
  wq.setPriority(10);
  wq.setThreshold(size);
  wq.setType('user');
  wq.setName(`queue ${id}\n`);
  wq.setDriverName('user\n');
  device.engines[0]!.setGroup(0);
  return wq;
}

/** Nothing is changed by what is refused. */
function stateOf({ enabled, wqs, engines, life }: IdxdDevice): unknown {
  const queues = wqs.map(({ enabled: on, group, size, threshold, minor }) => [
    on,
    group,
    size,
    threshold,
    minor,
  ]);
  return [enabled, queues, engines.map(({ group }) => group), life.authorized];
}

test('a device that nobody has configured has no files, and is enabled only once something is', async () => {
  const { machine, device, process } = await idxdScene('');
  assert.equal(machine.nodes.filter(({ path }) => path.startsWith('vfio/devices')).length, 0);
  refused(() => process.open('dsa/wq0.0'), 'ENOENT');
  const before = stateOf(device);
  refused(() => finish(device.enable()), 'ENXIO', /no work queue of dsa0 is in a group/);
  assert.equal(device.commandStatus, Trouble.NONE_CONFIGURED);
  device.wqs[0]!.setGroup(0);
  device.wqs[0]!.setType('user');
  refused(() => finish(device.enable()), 'ENXIO', /no engine/);
  device.wqs[0]!.setGroup(-1);
  assert.deepEqual(stateOf(device), before);
});

test('a device and a work queue that are configured are enabled, in this order, and do work', async () => {
  const { device, process } = await idxdScene('');
  const wq = configure(device);
  refused(() => finish(device.enableWq(wq)), 'ENXIO', /dsa0 is disabled/);
  finish(device.enable());
  refused(() => process.open('dsa/wq0.0'), 'ENOENT');
  finish(device.enableWq(wq));
  assert.deepEqual([wq.name, wq.driverName, wq.type, wq.minor], ['queue 0', 'user', 'user', 0]);
  const memory = workspace(process);
  process.write(process.open('dsa/wq0.0'), descriptor({ opcode: 0, completion: memory.address }));
  assert.equal(statusIn(memory), SUCCESS);
  refused(() => finish(device.enable()), 'ENXIO', /enabled already/);
  refused(() => finish(device.enableWq(wq)), 'EBUSY', /enabled already/);
});

const lacking: readonly [
  what: string,
  spoil: (wq: IdxdWq) => unknown,
  errno: 'ENXIO' | 'ENODEV',
  status: number,
][] = [
  ['a group', (wq) => wq.setGroup(-1), 'ENXIO', Trouble.WQ_NO_GROUP],
  [
    'a name',
    (wq) => (['none', 'user'] as const).map((type) => wq.setType(type)),
    'ENXIO',
    Trouble.WQ_NO_NAME,
  ],
  ['the driver', (wq) => wq.setDriverName('dmaengine'), 'ENODEV', Trouble.WQ_NO_DRIVER_NAME],
  [
    'a threshold',
    (wq) => [true, false].map((mode) => wq.setDedicated(mode)),
    'ENXIO',
    Trouble.WQ_NO_THRESHOLD,
  ],
  // The device's own: specification, 9.2.12.
  ['a priority', (wq) => wq.setPriority(0), 'ENXIO', 0x23],
];

test('a shared work queue in a group that is for nobody keeps the device and others disabled', async () => {
  const { device } = await idxdScene('');
  const wq = configure(device);
  const other = configure(device, 1);
  other.setType('none');
  refused(() => finish(device.enable()), 'ENXIO', /wq0\.1 is shared and has no type/);
  assert.equal(device.commandStatus, Trouble.WQ_NO_SHARING);
  other.setDedicated(true);
  finish(device.enable());
  other.setDedicated(false);
  refused(() => finish(device.enableWq(wq)), 'EINVAL', /wq0\.1 is shared and has no type/);
});

test('the command status is that of the commands by which a file is opened and closed', async () => {
  const { device, process } = await idxdScene(',ready=1,mode=dedicated');
  refused(() => finish(device.enable()), 'ENXIO');
  assert.notEqual(device.commandStatus, 0);
  const fd = process.open('dsa/wq0.0');
  assert.equal(device.commandStatus, 0);
  refused(() => finish(device.enable()), 'ENXIO');
  process.close(fd);
  assert.equal(device.commandStatus, 0);
});

for (const [what, spoil, errno, status] of lacking)
  test(`a work queue without ${what} is ${errno}, and the command status says why`, async () => {
    const { device } = await idxdScene('');
    const wq = configure(device);
    configure(device, 1);
    finish(device.enable());
    spoil(wq);
    refused(() => finish(device.enableWq(wq)), errno);
    assert.deepEqual([wq.enabled, wq.minor, device.commandStatus], [false, undefined, status]);
    // A shared one that is for nobody, as it is now, would be in the way of the other.
    wq.setDedicated(true);
    finish(device.enableWq(device.wqs[1]!));
    assert.equal(device.commandStatus, 0);
  });

test('what the device does not take is ENXIO: a group without engines, sizes that are too many', async () => {
  const { device } = await idxdScene(',size=16');
  const wq = configure(device, 0, 8);
  device.wqs[1]!.setGroup(1);
  device.wqs[1]!.setType('user');
  refused(() => finish(device.enable()), 'ENXIO', /command 1 .* ends with status/);
  assert.equal(device.enabled, false);
  assert.notEqual(device.commandStatus, 0);
  device.wqs[1]!.setGroup(-1);
  finish(device.enable());
  finish(device.enableWq(wq));
});

test('a work queue that is disabled keeps its size and group, and nothing else', async () => {
  const { device } = await idxdScene('');
  const wq = configure(device);
  finish(device.enable());
  finish(device.enableWq(wq));
  finish(device.disableWq(wq));
  assert.deepEqual([wq.size, wq.group, wq.minor], [16, 0, undefined]);
  assert.deepEqual([wq.name, wq.type, wq.threshold, wq.priority], ['', 'none', 0, 0]);
  wq.setPriority(3);
  wq.setDedicated(true);
  wq.setName('again');
  finish(device.enableWq(wq));
  assert.deepEqual([wq.enabled, wq.enablings], [true, 2]);
});

test('a device that is disabled disables its work queues, and is as if never configured', async () => {
  const { device, process } = await idxdScene(',ready=1');
  const fd = process.open('dsa/wq0.0');
  finish(device.disable());
  const fresh = await idxdScene('');
  process.close(fd);
  assert.deepEqual(stateOf(device), stateOf(fresh.device));
  // Of what it had come up with nothing is left, either.
  configure(device);
  finish(device.enable());
  finish(device.enableWq(device.wqs[0]!));
  assert.equal(device.wqs.filter(({ enabled }) => enabled).length, 1);
});

test('a device that is ready has all of its work queues enabled for users, in the mode given', async () => {
  for (const mode of ['shared', 'dedicated']) {
    const { device } = await idxdScene(`,ready=1,wqs=3,size=30,mode=${mode}`);
    const shown = device.wqs.map((wq) => [wq.enabled, wq.type, wq.dedicated, wq.size, wq.name]);
    const queue = (id: number) => [true, 'user', mode === 'dedicated', 10, `wq0.${id}`];
    assert.deepEqual(shown, [0, 1, 2].map(queue));
    assert.deepEqual([device.claimedSize, device.commandStatus], [30, 0]);
  }
});

test('devices have numbers in the order of their arguments, and minor numbers in common', async () => {
  const devices = ['dsa,idxd=1,ready=1,wqs=2', 'edu', 'dsa,idxd=1,ready=1,wqs=1'];
  const machine = await Machine.create({ devices });
  assert.deepEqual(
    machine.idxd.flatMap(({ wqs }) => wqs.map(({ path, minor }) => [path, minor])),
    [
      ['wq0.0', 0],
      ['wq0.1', 1],
      ['wq1.0', 2],
    ],
  );
  assert.deepEqual(
    machine.devices.map(({ driver }) => driver.life.name),
    ['dsa0', 'vfio0', 'dsa1'],
  );
  const process = new InProcess(machine);
  for (const path of ['dsa/wq0.1', 'dsa/wq1.0', 'vfio/devices/vfio0']) process.open(path);
});

test('the driver is for a DSA that is whole', async () => {
  const make = (device: string) => Machine.create({ devices: [device] });
  await assert.rejects(make('edu,idxd=1'), /idxd is for a DSA \(8086:0b25\), not for 0x1234:0x11e8/);
  await assert.rejects(make('dsa,idxd=1,mdevs=2'), /whole, without mdevs/);
  await assert.rejects(
    make('virtio-net,idxd=1'),
    /virtio-net has no option "idxd" \(it has link, mac, pairs, mtu, bdf\)/,
  );
  await assert.rejects(make('dsa,idxd=2'), /idxd "2" is not 0 or 1/);
});
