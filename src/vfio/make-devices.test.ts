import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DeviceHost, DeviceModel } from '../devices/device-model.js';
import { PasidSpace } from '../ioasid/pasid-space.js';
import { Iommu } from '../iommu/iommu.js';
import { FakeModel, withoutPasids } from '../testkit/fake-model.js';
import { refused } from '../testkit/refused.js';
import type { VfioDevice } from './device.js';
import { makeDevices } from './make-devices.js';

const RID = '0000:6a:01.0';

function twoMdevs(iommu: Iommu): VfioDevice[] {
  const mdev = { max: 2, create: (_index: number, host: DeviceHost) => new FakeModel(host) };
  const make = (host: DeviceHost) => Object.assign(new FakeModel(host), { mdev });
  return makeDevices(iommu, new PasidSpace(), { rid: RID, make, mdevs: 2, firstIndex: 3 });
}

describe('cutting a function into mediated devices', () => {
  it('offers the mediated devices in place of the function, under its requester id', () => {
    const [first, second] = twoMdevs(new Iommu());
    assert.deepEqual([first!.name, first!.life.rid, first!.life.mediated], ['vfio3', RID, true]);
    assert.deepEqual([second!.name, second!.life.rid, second!.life.mediated], ['vfio4', RID, true]);
  });

  it('is refused for models that cannot be cut, for too many, and without PASIDs: EINVAL', () => {
    const cut = (make: (host: DeviceHost) => DeviceModel, mdevs: number) =>
      makeDevices(new Iommu(), new PasidSpace(), { rid: RID, make, mdevs, firstIndex: 0 });
    const mdev = { max: 2, create: (_index: number, host: DeviceHost) => new FakeModel(host) };
    refused(() => cut((host) => new FakeModel(host), 1), 'EINVAL', /cannot be cut/);
    refused(
      () => cut((host) => Object.assign(new FakeModel(host), { mdev }), 3),
      'EINVAL',
      /into 2 .* not 3/,
    );
    refused(
      () => cut((host) => Object.assign(new FakeModel(host, withoutPasids), { mdev }), 1),
      'EINVAL',
      /no PASID capability/,
    );
  });

  it('refuses a requester id that is taken: EEXIST', () => {
    const iommu = new Iommu();
    twoMdevs(iommu);
    const make = (host: DeviceHost) => new FakeModel(host);
    const request = { rid: RID, make, mdevs: 0, firstIndex: 9 };
    refused(() => makeDevices(iommu, new PasidSpace(), request), 'EEXIST');
  });
});
