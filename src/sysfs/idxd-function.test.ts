/** The PCI functions of DSAs that Linux's driver idxd has, alone and beside those of vfio-pci. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Machine } from '../machine/machine.js';
import { refused } from '../testkit/refused.js';
import { SysfsTree } from '../testkit/sysfs-tree.js';

const DSA = '0000:6a:01.0';
const DEVICE = `bus/pci/devices/${DSA}`;
const DRIVERS = 'bus/pci/drivers';
const [COMMAND, MSIX_CONTROL, MSIX_ENABLE] = [4, 0x4a, 0x8000];

async function scene(...devices: string[]) {
  const machine = await Machine.create({ devices });
  return { machine, tree: new SysfsTree(machine.sysfs) };
}

test('it has what a function of vfio-pci has that is the same hardware, and its own driver', async () => {
  const [{ tree }, { tree: other }] = [await scene('dsa,idxd=1'), await scene('dsa')];
  for (const name of ['vendor', 'device', 'class', 'modalias', 'numa_node', 'resource'])
    assert.equal(tree.read(`${DEVICE}/${name}`), other.read(`${DEVICE}/${name}`), name);
  const [own, vfio] = [tree.read(`${DEVICE}/uevent`), other.read(`${DEVICE}/uevent`)];
  assert.equal(own, vfio.replace('DRIVER=vfio-pci', 'DRIVER=idxd'));
  assert.match(own, /^DRIVER=idxd\n/);
  assert.deepEqual([tree.read(`${DEVICE}/enable`), tree.read(`${DEVICE}/dma_mask_bits`)], ['1', '64']);
});

test('links lead from the bus to it, to its driver, module, IOMMU and group, and back', async () => {
  const { tree } = await scene('dsa,idxd=1', 'dsa,idxd=1');
  for (const path of [
    DEVICE,
    `devices/pci0000:6a/${DSA}`,
    `${DEVICE}/driver/${DSA}`,
    `${DEVICE}/subsystem/devices/${DSA}`,
    `${DEVICE}/driver/module/drivers/pci:idxd/${DSA}`,
    `${DEVICE}/iommu/devices/${DSA}`,
    `${DEVICE}/iommu_group/devices/${DSA}`,
  ]) {
    assert.equal(tree.read(`${path}/vendor`), '0x8086', path);
    assert.equal(tree.read(`${path}/dsa0/subsystem/devices/dsa0/version`), '0x100', path);
  }
  assert.equal(tree.read('bus/pci/devices/0000:6a:02.0/dsa1/version'), '0x100');
  assert.deepEqual(tree.names(DRIVERS), ['idxd']);
});

test('beside functions of vfio-pci it is on the same bus, with a group and BARs of its own', async () => {
  const { tree, machine } = await scene('dsa,idxd=1', 'dsa', 'dsa,idxd=1', 'edu');
  const names = [1, 2, 3, 4].map((n) => `0000:6a:0${n}.0`);
  assert.deepEqual(tree.names('bus/pci/devices').sort(), names);
  assert.deepEqual(tree.names('class/iommu/dmar0/devices').sort(), names);
  const owned = (driver: string) => tree.names(`${DRIVERS}/${driver}`).filter((name) => names.includes(name));
  assert.deepEqual(
    [owned('vfio-pci'), owned('idxd')],
    [
      [names[1], names[3]],
      [names[0], names[2]],
    ],
  );
  const groups = machine.sysfs.flatMap(([path]) => (path.startsWith('kernel/iommu_groups/') ? path : []));
  assert.deepEqual(groups.flatMap((path) => tree.names(`${path}/devices`)).sort(), names);
  const bars = names.flatMap((name) => barsIn(tree.read(`bus/pci/devices/${name}/resource`)));
  assert.equal(bars.length, 7);
  bars.sort(([a], [b]) => a - b);
  for (const [n, [start]] of bars.entries()) assert.ok(n === 0 || start > bars[n - 1]![1], `BAR ${n}`);
});

/** First and last address of each BAR. */
function barsIn(resource: string): [first: number, last: number][] {
  const lines = resource.split('\n').map((line) => line.split(' ').map(Number));
  return lines.flatMap(([first, last, flags]) => (flags === 0 ? [] : [[first!, last!]]));
}

test('its configuration space has bus mastering and MSI-X on and BARs placed, and is only read', async () => {
  const { tree } = await scene('dsa,idxd=1');
  const config = tree.bytes(`${DEVICE}/config`);
  assert.deepEqual([config.length, tree.bytes(`${DEVICE}/config`, false).length], [4096, 64]);
  assert.equal(config.readUInt16LE(COMMAND), 0x406);
  assert.equal(config.readUInt16LE(MSIX_CONTROL), MSIX_ENABLE | 8);
  const [start] = tree.read(`${DEVICE}/resource`).split(' ');
  assert.equal((config.readBigUInt64LE(0x10) >> 4n) << 4n, BigInt(start!));
  const entry = tree.at(`${DEVICE}/config`);
  assert.ok(entry?.kind === 'binary');
  refused(() => entry.write(COMMAND, Uint8Array.of(0, 0)), 'EPERM');
  assert.deepEqual(tree.bytes(`${DEVICE}/config`), config);
});

test('its driver keeps it: it is neither unbound, nor bound again or to another, nor probed', async () => {
  const { tree } = await scene('dsa,idxd=1,ready=1', 'dsa');
  const vfio = '0000:6a:02.0';
  const before = tree.names(DEVICE);
  assert.equal(tree.write(`${DRIVERS}/idxd/unbind`, DSA), 'EOPNOTSUPP');
  assert.equal(tree.write(`${DRIVERS}/idxd/bind`, DSA), 'EBUSY');
  for (const file of ['bind', 'unbind']) {
    assert.equal(tree.write(`${DRIVERS}/vfio-pci/${file}`, DSA), 'ENODEV', file);
    assert.equal(tree.write(`${DRIVERS}/idxd/${file}`, vfio), 'ENODEV', file);
  }
  assert.equal(tree.write(`${DRIVERS}/vfio-pci/new_id`, '8086 0b25'), undefined);
  assert.equal(tree.write('bus/pci/drivers_probe', DSA), undefined);
  for (const text of ['vfio-pci', 'idxd', '\n'])
    assert.equal(tree.write(`${DEVICE}/driver_override`, text), 'EOPNOTSUPP', text);
  assert.equal(tree.read(`${DEVICE}/driver_override`), '(null)');
  for (const text of ['0', '1']) assert.equal(tree.write(`${DEVICE}/enable`, text), 'EBUSY', text);
  assert.deepEqual(tree.names(DEVICE), before);
  assert.ok(tree.names(`${DRIVERS}/idxd`).includes(DSA));
  assert.equal(tree.read('bus/dsa/devices/wq0.0/state'), 'enabled');
});
