import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DeviceHost, DeviceModel, PciDescription } from '../devices/device-model.js';
import { finished } from '../file/work.js';
import { PasidSpace } from '../ioasid/pasid-space.js';
import { IoasidSubsystem } from '../ioasid/subsystem.js';
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { everything, FakeModel, withoutPasids } from '../testkit/fake-model.js';
import { refused } from '../testkit/refused.js';
import { CONFIG_REGION, type VfioDevice } from './device.js';
import { makeDevices } from './make-devices.js';

const RID = '0000:6a:01.0';
const DATA = Uint8Array.of(1, 2, 3, 4);

/** Two mdevs of one parent, open and with bus mastering on, and one context. */
function setUp(mdevPci: PciDescription = everything, parentPci: PciDescription = everything) {
  const iommu = new Iommu();
  const models: FakeModel[] = [];
  const factory = (host: DeviceHost): DeviceModel => {
    const create = (_index: number, mdevHost: DeviceHost) => {
      const model = new FakeModel(mdevHost, mdevPci);
      models.push(model);
      return model;
    };
    return Object.assign(new FakeModel(host, parentPci), { mdev: { max: 2, create } });
  };
  const system = new IoasidSubsystem(iommu);
  const devices = makeDevices(iommu, system.pasids, {
    rid: RID,
    factory,
    options: {},
    mdevs: 2,
    firstIndex: 3,
  });
  for (const device of devices) {
    device.life.open(1);
    device.writeRegion(CONFIG_REGION, 4, Uint8Array.of(6, 0));
  }
  const context = system.open(1);
  const pasid = () => {
    const number = context.alloc(0, 0);
    const bytes = new Uint8Array(4096);
    context.map({ pasid: number, length: 4096n, access: READ | WRITE, iova: 0n }, 0n, {
      memory: new BufferMemory(bytes),
      offset: 0,
    });
    return { number, bytes };
  };
  return { iommu, context, pasid, first: devices[0] as VfioDevice, second: devices[1] as VfioDevice, models };
}

describe('cutting a function into mediated devices', () => {
  it('offers the mediated devices in place of the function, under its requester id', () => {
    const { first, second } = setUp();
    assert.deepEqual([first.name, first.life.rid, first.life.mediated], ['vfio3', RID, true]);
    assert.deepEqual([second.name, second.life.rid, second.life.mediated], ['vfio4', RID, true]);
  });

  it('is refused for models that cannot be cut, for too many, and without PASIDs: EINVAL', () => {
    const make = (factory: (host: DeviceHost) => DeviceModel, mdevs: number) =>
      makeDevices(new Iommu(), new PasidSpace(), { rid: RID, factory, options: {}, mdevs, firstIndex: 0 });
    const mdev = { max: 2, create: (_index: number, host: DeviceHost) => new FakeModel(host) };
    refused(() => make((host) => new FakeModel(host), 1), 'EINVAL', /cannot be cut/);
    refused(
      () => make((host) => Object.assign(new FakeModel(host), { mdev }), 3),
      'EINVAL',
      /into 2 .* not 3/,
    );
    refused(
      () => make((host) => Object.assign(new FakeModel(host, withoutPasids), { mdev }), 1),
      'EINVAL',
      /no PASID capability/,
    );
  });

  it('refuses a requester id that is taken: EEXIST', () => {
    const { iommu } = setUp();
    const request = {
      rid: RID,
      factory: (host: DeviceHost) => new FakeModel(host),
      options: {},
      mdevs: 0,
      firstIndex: 9,
    };
    refused(() => makeDevices(iommu, new PasidSpace(), request), 'EEXIST');
  });
});

describe('a mediated device', () => {
  it('cannot use a PASID that only its sibling is authorized for, though both share the requester id', () => {
    const { first, models, context, pasid, iommu } = setUp();
    const { number, bytes } = pasid();
    first.life.authorize(context, number);
    assert.equal(models[0]!.host.dma.write(number, 0, DATA), undefined);
    assert.deepEqual(bytes.subarray(0, 4), DATA);
    const fault = models[1]!.host.dma.write(number, 0, DATA)!;
    assert.equal(fault.reason, `mdev vfio4 is not authorized for PASID ${number}`);
    assert.equal(iommu.faults.total, 1);
    assert.deepEqual([models[0]!.host.dma.admits(number), models[1]!.host.dma.admits(number)], [true, false]);
  });

  it('loses only its own right when it is revoked, not that of its sibling', () => {
    const { first, second, models, context, pasid } = setUp();
    const { number } = pasid();
    first.life.authorize(context, number);
    second.life.authorize(context, number);
    first.revoke(number);
    assert.notEqual(models[0]!.host.dma.write(number, 0, DATA), undefined);
    assert.equal(models[1]!.host.dma.write(number, 0, DATA), undefined);
    second.revoke(number);
    assert.notEqual(models[1]!.host.dma.write(number, 0, DATA), undefined);
    finished(context.free(number));
  });

  it('knows a PASID by its vpasid and by no other number, and its faults carry the vpasid', () => {
    const { first, models, context, pasid } = setUp();
    const [a, b] = [pasid(), pasid()];
    first.life.authorize(context, a.number, 700);
    first.life.authorize(context, b.number, a.number);
    const { dma } = models[0]!.host;
    assert.equal(dma.write(700, 0, DATA), undefined);
    assert.deepEqual(a.bytes.subarray(0, 4), DATA);
    assert.equal(dma.write(a.number, 8, DATA), undefined);
    assert.deepEqual(b.bytes.subarray(8, 12), DATA);
    assert.deepEqual(a.bytes.subarray(8, 12), new Uint8Array(4));
    assert.match(dma.read(b.number, 0, new Uint8Array(4))!.reason, /not authorized/);
    const fault = dma.read(700, 0x10_0000, new Uint8Array(4))!;
    assert.deepEqual([fault.pasid, fault.iova], [700, 0x10_0000]);
  });

  it('refuses a vpasid that is taken (EEXIST) or that cannot be written into it (EINVAL)', () => {
    const { first, context, pasid } = setUp({ ...everything, pasidBits: 8 });
    const [a, b] = [pasid(), pasid()];
    first.life.authorize(context, a.number, 9);
    refused(() => first.life.authorize(context, b.number, 9), 'EEXIST', /vpasid 9/);
    refused(
      () => first.life.authorize(context, b.number, 256),
      'EINVAL',
      /wider than the 8 PASID bits of vfio3/,
    );
    assert.equal([...first.life.authorizations()].length, 1);
    finished(context.free(b.number));
  });

  it('that issues requests without PASID sends them under the one PASID it is authorized for', () => {
    const { first, second, models, context, pasid } = setUp(withoutPasids);
    const [a, b] = [pasid(), pasid()];
    first.life.authorize(context, a.number);
    second.life.authorize(context, b.number);
    refused(() => first.life.authorize(context, b.number), 'EBUSY');
    assert.equal(models[0]!.host.dma.write(0, 0, DATA), undefined);
    assert.deepEqual([a.bytes[0], b.bytes[0]], [1, 0]);
    first.revoke(a.number);
    assert.match(models[0]!.host.dma.write(0, 0, DATA)!.reason, /requests without PASID/);
  });

  it('drains by vpasid, and does nothing while its own bus mastering is off', () => {
    const { first, models, context, pasid } = setUp();
    const { number, bytes } = pasid();
    first.life.authorize(context, number, 5);
    models[0]!.queue.push({ pasid: 5, iova: 0, write: true, buffer: DATA });
    first.revoke(number);
    assert.deepEqual(bytes.subarray(0, 4), DATA);
    first.life.authorize(context, number, 5);
    first.writeRegion(CONFIG_REGION, 4, Uint8Array.of(2, 0));
    assert.equal(
      models[0]!.host.dma.write(5, 0, DATA)!.reason,
      'bus mastering is off in the command register of vfio3',
    );
  });
});
