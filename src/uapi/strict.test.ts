/** What `--strict` turns on, beside the portals that are cut (vfio/bars.test.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { Iommufd } from '../client/iommufd.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { finished } from '../file/work.js';
import { BufferMemory } from '../iommu/memory.js';
import { Machine } from '../machine/machine.js';
import { FakeCaller, MEMORY_AT } from '../testkit/fake-caller.js';
import { refused } from '../testkit/refused.js';
import { iommufdTable } from './iommufd.js';

const IOAS_MAP_FILE = 0x3b8f;

test('strict has bind-first in it', async () => {
  const transport = new InProcess(await Machine.create({ devices: ['edu'], strict: true }));
  const device = VfioDeviceFile.open(transport, 'vfio0');
  refused(() => device.info(), 'EINVAL', /only after BIND_IOMMUFD/);
  device.bind(Iommufd.open(transport));
  assert.equal(device.info().regions, 9);
});

test('strict has edu of conventional PCI in it, which cannot be reset', async () => {
  for (const strict of [false, true]) {
    const transport = new InProcess(await Machine.create({ devices: ['edu'], strict }));
    const device = VfioDeviceFile.open(transport, 'vfio0');
    device.bind(Iommufd.open(transport));
    if (strict) refused(() => device.reset(), 'EINVAL', /conventional PCI/);
    else device.reset();
  }
});

test('strict maps no file on a disk into an IOAS, and lets go of it', async () => {
  for (const strict of [false, true]) {
    const iommufd = (await Machine.create({ devices: [], strict })).iommufd.open(1);
    const caller = new FakeCaller();
    const memory = Object.assign(new BufferMemory(new Uint8Array(4096)), { onDisk: true });
    let held = 1;
    memory.close = () => void held--;
    caller.fileMemory = () => ({ memory, offset: 0 });
    const request = [40, 6, iommufd.allocIoas().id, 7, 0, 0, 4096, 0, 0, 0];
    for (const [n, word] of request.entries()) caller.view.setUint32(4 * n, word, true);
    const map = () =>
      iommufdTable.get(IOAS_MAP_FILE)!.handle(iommufd, caller, {
        cmd: IOAS_MAP_FILE,
        arg: MEMORY_AT,
        data: new Uint8Array(),
      });
    if (strict) refused(() => finished(map()), 'EINVAL', /is on a disk/);
    else assert.equal(finished(map()), 0);
    assert.equal(held, strict ? 0 : 1);
  }
});
