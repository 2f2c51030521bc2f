/** Binding and unbinding of PCI functions by sysfs, as drivers/base and drivers/pci of Linux 7.3 have it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InProcess } from '../client/in-process.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import type { Attribute } from '../file/attributes.js';
import { finished, isWork, type Work } from '../file/work.js';
import { Machine } from '../machine/machine.js';
import { refusal, refused } from '../testkit/refused.js';
import { SysfsTree } from '../testkit/sysfs-tree.js';

const [FIRST, SECOND] = ['0000:6a:01.0', '0000:6a:02.0'];
const DRIVER = 'bus/pci/drivers/vfio-pci';
const OVERRIDE = `bus/pci/devices/${FIRST}/driver_override`;

async function scene() {
  const machine = await Machine.create({ devices: ['edu', 'edu'] });
  const process = new InProcess(machine, { run: false });
  const tree = new SysfsTree(machine.sysfs);
  const bound = () => tree.names(DRIVER).filter((name) => name.startsWith('0000'));
  return { machine, process, tree, bound };
}

test('a function that is unbound has neither driver nor files; bound it has them', async () => {
  const { tree, machine, bound } = await scene();
  const present = () => machine.nodes.flatMap(({ path, present }) => (present?.() === false ? path : []));
  assert.deepEqual(present(), []);
  assert.equal(tree.write(`${DRIVER}/unbind`, `${FIRST}\n`), undefined);
  assert.deepEqual(bound(), [SECOND]);
  assert.deepEqual(present(), ['vfio/devices/vfio0', 'vfio/1']);
  const names = tree.names(`bus/pci/devices/${FIRST}`);
  assert.ok(!names.includes('driver') && !names.includes('vfio-dev') && names.includes('iommu_group'));
  assert.doesNotMatch(tree.read(`bus/pci/devices/${FIRST}/uevent`), /DRIVER/);
  assert.deepEqual([tree.names('class/vfio-dev'), tree.names('dev/char')], [['vfio1'], ['511:1']]);
  assert.equal(tree.write(`${DRIVER}/bind`, FIRST), undefined);
  assert.deepEqual([bound(), present()], [[FIRST, SECOND], []]);
  assert.equal(tree.read(`bus/pci/devices/${FIRST}/driver/${FIRST}/vfio-dev/vfio0/dev`), '511:0');
});

test('what has it already, knows it not, or is not there is refused with the errno of Linux', async () => {
  const { tree, bound } = await scene();
  assert.equal(tree.write(`${DRIVER}/bind`, FIRST), 'EBUSY');
  for (const name of ['', '0000:6a:03.0', FIRST.slice(5), `${FIRST} `, `${FIRST}\n\n`])
    for (const file of [`${DRIVER}/bind`, `${DRIVER}/unbind`, 'bus/pci/drivers_probe'])
      assert.equal(tree.write(file, name), 'ENODEV', `"${name}" > ${file}`);
  assert.equal(tree.write(`${DRIVER}/unbind`, FIRST), undefined);
  assert.equal(tree.write(`${DRIVER}/unbind`, FIRST), 'ENODEV');
  assert.deepEqual(bound(), [SECOND]);
});

test('driver_override names the only driver; without it vfio-pci takes what it is told', async () => {
  const { tree, bound } = await scene();
  const probe = () => tree.write('bus/pci/drivers_probe', FIRST);
  tree.write(`${DRIVER}/unbind`, FIRST);
  for (const other of ['e1000', '\n']) {
    tree.write(OVERRIDE, other);
    assert.equal(tree.write(`${DRIVER}/bind`, FIRST), 'ENODEV', other);
    assert.deepEqual([probe(), bound()], [undefined, [SECOND]], other);
  }
  assert.equal(tree.write(`${DRIVER}/new_id`, '1234 11e8'), undefined);
  assert.deepEqual(bound(), [FIRST, SECOND]);
  tree.write(`${DRIVER}/unbind`, FIRST);
  assert.equal(tree.write(`${DRIVER}/remove_id`, '1234 11e8'), undefined);
  assert.equal(tree.write(`${DRIVER}/bind`, FIRST), 'ENODEV');
  tree.write(OVERRIDE, 'vfio-pci');
  assert.deepEqual([probe(), bound()], [undefined, [FIRST, SECOND]]);
});

test('ids that a driver is told of are hexadecimal, of vendor and device at least', async () => {
  const { tree } = await scene();
  const add = (text: string) => tree.write(`${DRIVER}/new_id`, text);
  const remove = (text: string) => tree.write(`${DRIVER}/remove_id`, text);
  for (const text of ['', 'x', '8086', '8086 x', '-1 -1']) {
    assert.equal(add(text), 'EINVAL', text);
    assert.equal(remove(text), 'EINVAL', text);
  }
  assert.equal(add('8086 0b25 1 2 080000 ffff00 1'), 'EINVAL');
  assert.equal(remove('8086 0b25'), 'ENODEV');
  assert.equal(add('0x8086 0b25 1 2\n'), undefined);
  assert.equal(add('8086 b25 1 2'), 'EEXIST');
  assert.equal(add('8086 b25 1 3'), undefined);
  assert.equal(remove('8086 b25 1 4'), 'ENODEV');
  assert.equal(remove('8086 b25'), undefined);
  assert.equal(add('8086 b25 1 2'), undefined);
});

test('a driver may be told of 1024 ids', async () => {
  const { tree } = await scene();
  for (let n = 0; n < 1024; n++)
    assert.equal(tree.write(`${DRIVER}/new_id`, `1 ${n.toString(16)}`), undefined);
  assert.equal(tree.write(`${DRIVER}/new_id`, '2 0'), 'ENOMEM');
});

test('a function that is open is asked for (REQ), bound until it is closed, opened by nobody', async () => {
  const { tree, process, machine, bound } = await scene();
  const device = VfioDeviceFile.open(process, 'vfio0');
  const eventfd = process.createEventfd();
  device.setEventfds(4, 0, [eventfd.fd]);
  const unbinding = unbind(tree, FIRST);
  assert.equal(unbinding.next().value, 'interruptibly');
  assert.equal(eventfd.take(), 1);
  assert.deepEqual(bound(), [FIRST, SECOND]);
  assert.equal(unbinding.next().done, false);
  refused(() => machine.groups[0]!.open(1), 'ENODEV');
  assert.equal(tree.write(`${DRIVER}/bind`, FIRST), 'EBUSY');
  device.close();
  assert.deepEqual([unbinding.next().done, bound()], [true, [SECOND]]);
  refused(() => VfioDeviceFile.open(process, 'vfio0'), 'ENOENT');
});

test('a function is bound while its group is open, and one that is bound again ends the wait', async () => {
  const { tree, machine, bound } = await scene();
  const [group] = machine.groups;
  group!.open(1);
  const unbinding = unbind(tree, FIRST);
  assert.equal(unbinding.next().value, 'interruptibly');
  for (const _ of group!.close());
  assert.deepEqual(bound(), [SECOND]);
  assert.equal(tree.write(`${DRIVER}/bind`, FIRST), undefined);
  assert.equal(unbinding.next().done, true);
  assert.deepEqual(bound(), [FIRST, SECOND]);
});

test('a function is enabled by hand only while no driver has it', async () => {
  const { tree } = await scene();
  const enable = (text: string) => tree.write(`bus/pci/devices/${FIRST}/enable`, text);
  assert.deepEqual([enable('x'), enable('1')], ['EINVAL', 'EBUSY']);
  tree.write(`${DRIVER}/unbind`, FIRST);
  assert.deepEqual([enable('0'), enable('1'), enable('1')], ['EIO', undefined, undefined]);
  assert.equal(tree.read(`bus/pci/devices/${FIRST}/enable`), '2');
  assert.deepEqual([enable('0'), enable('0'), enable('0')], [undefined, undefined, 'EIO']);
});

test('whatever is written is a value or is refused, and what is refused has changed nothing', async () => {
  const { tree, machine } = await scene();
  const files = machine.sysfs.flatMap(([path]) => attributesBelow(tree, path));
  const writable = files.filter(([, { store }]) => store !== undefined);
  assert.ok(writable.length >= 16, `${writable.length}`);
  const values = () => files.map(([path, { show }]) => `${path}=${show?.()}`).join();
  const words = ['0', '1', '-1', '0x10', 'vfio-pci', '(null)', 'add', FIRST, SECOND, '1234 11e8', '8086'];
  const text = fc.oneof(
    fc.constantFrom(...words, ...words.map((word) => `${word}\n`)),
    fc.uint8Array({ maxLength: 80 }).map((raw) => Buffer.from(raw).toString('latin1')),
    fc.bigInt(-(2n ** 65n), 2n ** 65n).map(String),
  );
  fc.assert(
    fc.property(fc.constantFrom(...writable), text, ([, { store }], raw) => {
      const before = values();
      const [written] = raw.split('\0', 1);
      if (refusal(() => finished(store!(written!))) !== undefined) assert.equal(values(), before);
    }),
    { numRuns: 1000 },
  );
});

/** All attributes in the folder at `path`, those of PCI functions that are bound now among them. */
function attributesBelow(tree: SysfsTree, path: string): [path: string, attribute: Attribute][] {
  return tree.names(path).flatMap((name): [string, Attribute][] => {
    const entry = tree.at(`${path}/${name}`);
    if (entry?.kind === 'folder') return attributesBelow(tree, `${path}/${name}`);
    return entry?.kind === 'attribute' ? [[`${path}/${name}`, entry]] : [];
  });
}

function unbind(tree: SysfsTree, name: string): Work<void> {
  const { store } = tree.at(`${DRIVER}/unbind`) as Attribute;
  const work = store!(name);
  assert.ok(isWork(work));
  return work;
}
