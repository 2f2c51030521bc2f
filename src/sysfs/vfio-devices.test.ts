/** /sys of PCI functions, mediated devices and their files, as Linux 7.3 has it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { CONFIG_REGION, VfioDeviceFile } from '../client/vfio-device.js';
import { Machine } from '../machine/machine.js';
import { refusal } from '../testkit/refused.js';
import { SysfsTree } from '../testkit/sysfs-tree.js';

const EDU = 'bus/pci/devices/0000:6a:01.0';
const COMMAND = 4;
const BAR0 = 0x10;

async function scene(...devices: string[]) {
  const machine = await Machine.create({ devices });
  return { machine, process: new InProcess(machine), tree: new SysfsTree(machine.sysfs) };
}

test('a function has the attributes of Linux, in their formats', async () => {
  const { tree } = await scene('edu');
  const values = {
    vendor: '0x1234',
    device: '0x11e8',
    subsystem_vendor: '0x1af4',
    subsystem_device: '0x1100',
    revision: '0x10',
    class: '0x00ff00',
    modalias: 'pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00',
    irq: '0',
    enable: '0',
    numa_node: '0',
    driver_override: 'vfio-pci',
    dma_mask_bits: '32',
  };
  for (const [name, value] of Object.entries(values)) assert.equal(tree.read(`${EDU}/${name}`), value, name);
  assert.equal(
    tree.read(`${EDU}/uevent`),
    'DRIVER=vfio-pci\nPCI_CLASS=FF00\nPCI_ID=1234:11E8\nPCI_SUBSYS_ID=1AF4:1100\n' +
      'PCI_SLOT_NAME=0000:6a:01.0\nMODALIAS=pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00',
  );
  const first = '0x0000000080000000 0x00000000800fffff 0x0000000000040200';
  assert.deepEqual(tree.read(`${EDU}/resource`).split('\n').slice(0, 2), [first, `${zero} ${zero} ${zero}`]);
});
const zero = `0x${'0'.repeat(16)}`;

test('links lead from the bus to a function, to its driver, its group and its file, and back', async () => {
  const { tree } = await scene('edu', 'edu,bdf=0000:3b:00.1');
  const vendor = '0x1234';
  for (const path of [
    EDU,
    'devices/pci0000:3b/0000:3b:00.1',
    'bus/pci/drivers/vfio-pci/0000:3b:00.1',
    `${EDU}/driver/0000:3b:00.1`,
    `${EDU}/subsystem/devices/0000:6a:01.0`,
    `${EDU}/iommu_group/devices/0000:6a:01.0`,
    'kernel/iommu_groups/2/devices/0000:3b:00.1',
    'class/vfio-dev/vfio1/device',
    'dev/char/511:0/device',
    `${EDU}/iommu/devices/0000:3b:00.1`,
    'class/iommu/dmar0/subsystem/dmar0/devices/0000:3b:00.1',
    'module/vfio_pci/drivers/pci:vfio-pci/module/drivers/pci:vfio-pci/0000:6a:01.0',
  ])
    assert.equal(tree.read(`${path}/vendor`), vendor, path);
  assert.deepEqual(tree.names('class/vfio-dev'), ['vfio0', 'vfio1']);
  assert.deepEqual(tree.names('dev/char'), ['511:0', '511:1']);
  assert.equal(tree.read(`${EDU}/vfio-dev/vfio0/dev`), '511:0');
  assert.equal(tree.read('dev/char/511:1/uevent'), 'MAJOR=511\nMINOR=1\nDEVNAME=vfio/devices/vfio1');
  assert.equal(tree.read('class/vfio-dev/vfio0/subsystem/vfio1/dev'), '511:1');
});

test('mediated devices are below their function, on a bus of their own', async () => {
  const { tree } = await scene('dsa,mdevs=2');
  const [first, second] = [0, 1].map((n) => `00000000-0000-0000-0000-00000000000${n}`);
  assert.deepEqual(tree.names('bus/mdev/devices'), [first, second]);
  assert.deepEqual(tree.names('devices/pci0000:6a/0000:6a:01.0'), [first, second]);
  assert.deepEqual(tree.names(`bus/mdev/devices/${second}/iommu_group/devices`), [second]);
  assert.equal(tree.read(`bus/mdev/devices/${second}/vfio-dev/vfio1/dev`), '511:1');
});

test('an administrator reads configuration space, with its BARs placed, others its header', async () => {
  const { tree } = await scene('dsa', 'edu');
  const config = tree.bytes(`${EDU}/config`);
  assert.deepEqual([config.length, tree.bytes(`${EDU}/config`, false).length], [4096, 64]);
  const [start] = tree.read(`${EDU}/resource`).split(' ');
  const address = (config.readBigUInt64LE(BAR0) >> 4n) << 4n;
  assert.equal(`0x${address.toString(16).padStart(16, '0')}`, start);
  const other = tree.bytes('bus/pci/devices/0000:6a:02.0/config');
  assert.equal(other.readUInt32LE(BAR0), 0x80000000);
});

test('what is written to configuration space its file reads, but BARs stay where they are', async () => {
  const { tree, process } = await scene('edu');
  const entry = tree.at(`${EDU}/config`);
  assert.ok(entry?.kind === 'binary');
  const before = tree.bytes(`${EDU}/config`);
  const all = Buffer.from(before).fill(0xff, BAR0, 0x28);
  all[COMMAND] = 6;
  entry.write(0, all);
  const device = VfioDeviceFile.open(process, 'vfio0');
  assert.equal(device.read32(CONFIG_REGION, COMMAND) & 7, 6);
  before[COMMAND] = 6;
  assert.deepEqual(tree.bytes(`${EDU}/config`), before);
});

test('a function is enabled while it is open, and reset by a 1 and nothing else', async () => {
  const { tree, process } = await scene('edu');
  const device = VfioDeviceFile.open(process, 'vfio0');
  assert.equal(tree.read(`${EDU}/enable`), '1');
  for (const text of ['', '0', '2', 'x', '1 1'])
    assert.equal(tree.write(`${EDU}/reset`, text), 'EINVAL', text);
  device.close();
  assert.equal(tree.write(`${EDU}/reset`, '0x1\n'), undefined);
});

test('driver_override is a name on a line, and nothing is (null)', async () => {
  const { tree } = await scene('edu');
  const path = `${EDU}/driver_override`;
  for (const [written, shown] of [
    ['e1000\n', 'e1000'],
    ['', '(null)'],
    ['a b\nc', 'a b'],
    ['\n', '(null)'],
  ] as const) {
    assert.equal(tree.write(path, written), undefined);
    assert.equal(tree.read(path), shown);
  }
  assert.equal(tree.write(path, 'x'.repeat(4095)), 'EINVAL');
});

test('an event may be asked for as Linux has it, and is refused otherwise', async () => {
  const { tree } = await scene('edu');
  const uuid = '01234567-89ab-cdef-0123-456789abcdef';
  for (const text of ['add', 'change\n', `remove ${uuid}`, `bind ${uuid} A=1 B=x\n`])
    assert.equal(tree.write(`${EDU}/uevent`, text), undefined, text);
  for (const text of ['', '\n', 'adds', 'add ', 'add 1', `add ${uuid} A`])
    assert.equal(tree.write(`${EDU}/uevent`, text), 'EINVAL', text);
  assert.equal(
    refusal(() => tree.read('class/vfio-dev/vfio0/uevent')),
    undefined,
  );
});

test('a vDPA device is on its bus, with its driver, and its file below it and by its number', async () => {
  const { tree } = await scene('virtio-net', 'edu');
  assert.deepEqual(tree.names('bus/vdpa/devices'), ['vdpa0']);
  for (const path of ['bus/vdpa/devices/vdpa0', 'bus/vdpa/drivers/vhost_vdpa/vdpa0', 'devices/vdpa0'])
    assert.equal(tree.read(`${path}/vhost-vdpa-0/dev`), '508:0', path);
  assert.equal(tree.read('bus/vdpa/devices/vdpa0/driver/vdpa0/uevent'), 'DRIVER=vhost_vdpa');
  assert.equal(tree.read('dev/char/508:0/uevent'), 'MAJOR=508\nMINOR=0\nDEVNAME=vhost-vdpa-0');
  assert.deepEqual(tree.names('dev/char'), ['511:0', '508:0']);
});
