import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CalledWork } from '../devices/called-model.js';
import type { PciDescription } from '../devices/device-model.js';
import { ModelCalls } from '../devices/model-calls.js';
import { Outside } from '../devices/outside.js';
import { Wires } from '../devices/wire.js';
import { finish, finished } from '../file/work.js';
import { IoasidSubsystem } from '../ioasid/subsystem.js';
import { Iommu } from '../iommu/iommu.js';
import { pasidOf, vpasidOf } from '../iommu/pasid.js';
import { deviceMemory } from '../linux/device-memory.js';
import { everything, FakeModel, withoutPasids } from '../testkit/fake-model.js';
import { mapped } from '../testkit/mapped.js';
import { refused } from '../testkit/refused.js';
import { DeviceLife } from './device-life.js';
import { FunctionPort } from './pci-function.js';

const RID = '0000:6a:01.0';
const HELLO = Uint8Array.of(1, 2, 3, 4);

/** A system with one function of a FakeModel, open and with bus mastering on. */
function setUp(pci: PciDescription = everything) {
  const iommu = new Iommu();
  const system = new IoasidSubsystem(iommu);
  const port = new FunctionPort(iommu, RID);
  const gate = { busMaster: true };
  const told = { interrupt: () => {}, messages: false, intx: () => {}, note: () => {} };
  const time = { now: () => 0, after: () => () => {}, link: () => new Wires().loop() };
  const host = {
    baseDirectory: '/',
    dma: port,
    memory: deviceMemory,
    outside: new Outside(),
    ...told,
    ...time,
  };
  const model = new FakeModel(host, pci);
  port.connect(pci, gate);
  const life = new DeviceLife('vfio0', port, new CalledWork(new ModelCalls('vfio0'), model));
  life.open(1);
  return { iommu, system, life, model, gate, context: system.open(1) };
}

describe('authorizing a whole function', () => {
  it('lets no DMA through before, every mapped access after, and none once it is revoked', () => {
    const { life, model, context, iommu } = setUp();
    const { pasid, bytes } = mapped(context);
    const write = () => model.host.dma.write(pasid, 0x1000, HELLO);
    assert.match(write()!.reason, /not authorized/);
    life.authorize(context, pasid);
    assert.equal(write(), undefined);
    assert.deepEqual(bytes.subarray(0, 4), HELLO);
    const back = new Uint8Array(8);
    assert.equal(model.host.dma.read(pasid, 0x1000, back, 2, 4), undefined);
    assert.deepEqual(back, Uint8Array.of(0, 0, 1, 2, 3, 4, 0, 0));
    finish(life.revoke(pasid));
    assert.match(write()!.reason, /not authorized/);
    assert.equal(iommu.faults.total, 2);
  });

  it('needs the PASID to be in the presented context: ENOENT', () => {
    const { system, life, context } = setUp();
    const { pasid } = mapped(context);
    const other = system.open(2);
    refused(() => life.authorize(other, pasid), 'ENOENT');
    assert.equal([...life.authorizations()].length, 0);
  });

  it('keeps the PASID from being freed until it is revoked', () => {
    const { life, context } = setUp();
    const { pasid } = mapped(context);
    life.authorize(context, pasid);
    refused(() => finished(context.free(pasid)), 'EBUSY');
    finish(life.revoke(pasid));
    finished(context.free(pasid));
  });

  it('twice is EEXIST, by another number EINVAL, revoking another ENOENT; none has an effect', () => {
    const { life, context } = setUp();
    const { pasid } = mapped(context);
    life.authorize(context, pasid, vpasidOf(pasid));
    refused(() => life.authorize(context, pasid), 'EEXIST');
    refused(() => life.authorize(context, pasid, vpasidOf(pasid + 1)), 'EINVAL', /mediated/);
    refused(() => finish(life.revoke(pasidOf(pasid + 1))), 'ENOENT');
    assert.deepEqual([...life.authorizations()], [{ pasid, vpasid: pasid, context, cookie: 0 }]);
    finish(life.revoke(pasid));
    finished(context.free(pasid));
  });

  it('refuses PASIDs that are wider than its capability: EINVAL', () => {
    const { life, context } = setUp({ ...everything, pasidBits: 1 });
    const pasids = Array.from({ length: 4 }, () => context.alloc(0, 0));
    refused(
      () => life.authorize(context, pasidOf(Math.max(...pasids))),
      'EINVAL',
      /wider than the 1 PASID bits/,
    );
  });

  it('holds a reference on the context, so that either file can be closed first', () => {
    const { system, life, model, context } = setUp();
    const { pasid } = mapped(context);
    life.authorize(context, pasid);
    finished(context.close());
    assert.equal(model.host.dma.write(pasid, 0x1000, HELLO), undefined);
    assert.equal([...system.contexts()].length, 1);
    finish(life.close());
    assert.equal([...system.contexts()].length, 0);
    assert.notEqual(model.host.dma.write(pasid, 0x1000, HELLO), undefined);
  });
});

describe('a function without PASID capability', () => {
  it('reaches by requests without PASID the one space that it is authorized for; a second is EBUSY', () => {
    const { life, context, model } = setUp(withoutPasids);
    const { pasid, bytes } = mapped(context);
    const second = mapped(context).pasid;
    life.authorize(context, pasid);
    assert.equal(model.host.dma.write(0, 0x1000, HELLO), undefined);
    assert.deepEqual(bytes.subarray(0, 4), HELLO);
    refused(() => life.authorize(context, second), 'EBUSY');
    refused(() => life.authorize(context, pasid), 'EEXIST');
    refused(() => life.authorize(context, second, vpasidOf(99)), 'EINVAL', /carry no PASID/);
    finish(life.revoke(pasid));
    life.authorize(context, second, vpasidOf(second));
    assert.equal(model.host.dma.write(0, 0x1000, HELLO), undefined);
  });
});

describe('a function whose bus mastering is off', () => {
  it('has every DMA kept back, and the fault log says so', () => {
    const { life, context, model, gate, iommu } = setUp();
    const { pasid } = mapped(context);
    life.authorize(context, pasid);
    gate.busMaster = false;
    const fault = model.host.dma.write(pasid, 0x1000, HELLO)!;
    assert.equal(fault.reason, `bus mastering is off in the command register of ${RID}`);
    assert.deepEqual([fault.done, fault.iova, fault.write], [0, 0x1000, true]);
    assert.equal(iommu.faults.total, 1);
  });
});
