import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Caller } from '../file/open-file.js';
import { finish } from '../file/work.js';
import { Iommu } from '../iommu/iommu.js';
import { vpasidOf } from '../iommu/pasid.js';
import { FakeHardware } from '../testkit/fake-hardware.js';
import { HWPT_PASID } from './hwpt.js';
import { IommufdSubsystem } from './subsystem.js';
import { UserData } from './user-data.js';

test('what it costs to detach a PASID does not depend on how many others are attached', () => {
  const context = new IommufdSubsystem(new Iommu()).open(1);
  const device = context.bind(new FakeHardware(context.iommu));
  const hwpt = finish(
    context.allocHwpt(device.id, context.allocIoas().id, HWPT_PASID, new UserData({} as Caller, 0, 0, 0)),
  );
  let looks = 0;
  Object.defineProperty(hwpt, 'faults', {
    get: () => {
      looks++;
      return undefined;
    },
  });
  const count = 1000;
  for (let pasid = 1; pasid <= count; pasid++) finish(device.attach(hwpt.id, vpasidOf(pasid)));
  looks = 0;
  finish(context.unbind(device));
  assert.equal(hwpt.users, 0);
  assert.ok(looks <= count, `the page table was asked ${looks} times`);
});
