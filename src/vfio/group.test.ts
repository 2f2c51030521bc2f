import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { finish } from '../file/work.js';
import { IommufdContext } from '../iommufd/context.js';
import { Machine } from '../machine/machine.js';
import { refused } from '../testkit/refused.js';
import { VfioGroup } from './group.js';
import { IommufdContainer } from './iommufd-container.js';
import { Type1Container } from './type1-container.js';

for (const name of ['close', 'unsetContainer'] as const)
  test(`a group that leaves its container by ${name} uses it until that is done`, async () => {
    const machine = await Machine.create({ devices: ['edu'] });
    const program = new InProcess(machine, { run: false });
    const open = (path: RegExp) => machine.nodes.find((node) => path.test(node.path))!.open(program).object;
    const group = open(/^vfio\/\d+$/);
    const container = open(/^vfio\/vfio$/);
    assert.ok(group instanceof VfioGroup && container instanceof Type1Container);
    group.setContainer(container);
    const work = group[name]();
    assert.ok(group.uses().includes(container), 'what is claimed for the work');
    finish(work);
    assert.ok(!group.uses().includes(container));
  });

/** A program that has opened a device through its group, in a container of `path`. */
async function opened(devices: string[], path: string) {
  const machine = await Machine.create({ devices });
  const program = new InProcess(machine);
  const open = (path: string) => machine.nodes.find((node) => node.path === path)!.open(program).object;
  const [group, object] = [open('vfio/1') as VfioGroup, open(path)];
  if (object instanceof Type1Container) {
    group.setContainer(object);
    object.setIommu(1n);
  } else if (object instanceof IommufdContext) group.setContainer(new IommufdContainer(object));
  return { group, open, closeDevice: finish(group.openDevice(program.pid)) };
}

test('an iommufd lets a group go whose device is open, and the group can be opened again', async () => {
  const { group, open, closeDevice } = await opened(['edu'], 'iommu');
  finish(group.close());
  assert.equal(group.device.bound, true);
  assert.equal(group.viable, false);
  assert.equal(open('vfio/1'), group);
  assert.equal(group.container, undefined);
  finish(closeDevice());
  assert.equal(group.device.bound, false);
  assert.equal(group.viable, true);
});

test('files of its device keep a group in a type1 container', async () => {
  const { group, open, closeDevice } = await opened(['edu'], 'vfio/vfio');
  finish(group.close());
  refused(() => open('vfio/1'), 'EBUSY', /open already/);
  finish(closeDevice());
  assert.equal(open('vfio/1'), group);
});

test('behind the name of a function there may be spaces, and nothing else', async () => {
  const { group } = await opened(['edu'], 'vfio/vfio');
  const { deviceName, device } = group;
  for (const end of ['', ' ', '   ']) assert.equal(group.find(deviceName + end), device);
  for (const end of ['\n', '0', '.']) refused(() => group.find(deviceName + end), 'ENODEV');
  for (const end of [' vf_token=x', ' option=1 ']) refused(() => group.find(deviceName + end), 'EINVAL');
});

test('a mediated device has a group, viable at all times, and a UUID for its name there', async () => {
  for (const path of ['iommu', 'vfio/vfio']) {
    const { group, closeDevice } = await opened(['dsa,mdevs=2'], path);
    assert.equal(group.deviceName, '00000000-0000-0000-0000-000000000000');
    assert.equal(group.find(group.deviceName), group.device);
    for (const end of [' ', ' vf_token=x']) refused(() => group.find(`${group.deviceName}${end}`), 'ENODEV');
    assert.equal(group.device.bound, true);
    assert.equal(group.viable, true);
    finish(closeDevice());
    assert.equal(group.device.bound, false);
  }
});
