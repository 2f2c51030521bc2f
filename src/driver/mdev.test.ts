import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CalledWork } from '../devices/called-model.js';
import type { PciDescription } from '../devices/device-model.js';
import { ModelCalls } from '../devices/model-calls.js';
import { Outside } from '../devices/outside.js';
import { Wires } from '../devices/wire.js';
import { finish, finished } from '../file/work.js';
import type { PasidSpace } from '../ioasid/pasid-space.js';
import { IoasidSubsystem } from '../ioasid/subsystem.js';
import { Iommu, type Requester } from '../iommu/iommu.js';
import { vpasidOf } from '../iommu/pasid.js';
import { deviceMemory } from '../linux/device-memory.js';
import { everything, FakeModel, withoutPasids } from '../testkit/fake-model.js';
import { mapped } from '../testkit/mapped.js';
import { refused } from '../testkit/refused.js';
import { DeviceLife } from './device-life.js';
import { MdevPort } from './mdev.js';

const DATA = Uint8Array.of(1, 2, 3, 4);

/** A mediated device of `requester`, open. */
function mdev(iommu: Iommu, pasids: PasidSpace, requester: Requester, name: string, pci: PciDescription) {
  const port = new MdevPort(iommu, pasids, requester, name, 20);
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
  const life = new DeviceLife(name, port, new CalledWork(new ModelCalls(name), model));
  life.open(1);
  return { life, model, gate };
}

/** Two mdevs of one parent, and one context. */
function setUp(pci: PciDescription = everything) {
  const iommu = new Iommu();
  const system = new IoasidSubsystem(iommu);
  const requester = iommu.requester('0000:6a:01.0');
  const make = (name: string) => mdev(iommu, system.pasids, requester, name, pci);
  return { iommu, context: system.open(1), first: make('vfio3'), second: make('vfio4') };
}

describe('a mediated device', () => {
  it('cannot use a PASID that only its sibling is authorized for, though both share the requester id', () => {
    const { first, second, context, iommu } = setUp();
    const { pasid, bytes } = mapped(context, 0n);
    first.life.authorize(context, pasid);
    assert.equal(first.model.host.dma.write(pasid, 0, DATA), undefined);
    assert.deepEqual(bytes.subarray(0, 4), DATA);
    const fault = second.model.host.dma.write(pasid, 0, DATA)!;
    assert.equal(fault.reason, `mdev vfio4 is not authorized for PASID ${pasid}`);
    assert.equal(iommu.faults.total, 1);
    assert.deepEqual(
      [first.model.host.dma.admits(pasid), second.model.host.dma.admits(pasid)],
      [true, false],
    );
  });

  it('loses only its own right when it is revoked, not that of its sibling', () => {
    const { first, second, context } = setUp();
    const { pasid } = mapped(context, 0n);
    first.life.authorize(context, pasid);
    second.life.authorize(context, pasid);
    finish(first.life.revoke(pasid));
    assert.notEqual(first.model.host.dma.write(pasid, 0, DATA), undefined);
    assert.equal(second.model.host.dma.write(pasid, 0, DATA), undefined);
    finish(second.life.revoke(pasid));
    assert.notEqual(second.model.host.dma.write(pasid, 0, DATA), undefined);
    finished(context.free(pasid));
  });

  it('knows a PASID by its vpasid and by no other number, and its faults carry the vpasid', () => {
    const { first, context } = setUp();
    const [a, b] = [mapped(context, 0n), mapped(context, 0n)];
    first.life.authorize(context, a.pasid, vpasidOf(700));
    first.life.authorize(context, b.pasid, vpasidOf(a.pasid));
    const { dma } = first.model.host;
    assert.equal(dma.write(700, 0, DATA), undefined);
    assert.deepEqual(a.bytes.subarray(0, 4), DATA);
    assert.equal(dma.write(a.pasid, 8, DATA), undefined);
    assert.deepEqual(b.bytes.subarray(8, 12), DATA);
    assert.deepEqual(a.bytes.subarray(8, 12), new Uint8Array(4));
    assert.match(dma.read(b.pasid, 0, new Uint8Array(4))!.reason, /not authorized/);
    const fault = dma.read(700, 0x10_0000, new Uint8Array(4))!;
    assert.deepEqual([fault.pasid, fault.iova], [700, 0x10_0000]);
  });

  it('refuses a vpasid that is taken (EEXIST) or that cannot be written into it (EINVAL)', () => {
    const { first, context } = setUp({ ...everything, pasidBits: 8 });
    const [a, b] = [mapped(context, 0n), mapped(context, 0n)];
    first.life.authorize(context, a.pasid, vpasidOf(9));
    refused(() => first.life.authorize(context, b.pasid, vpasidOf(9)), 'EEXIST', /vpasid 9/);
    refused(
      () => first.life.authorize(context, b.pasid, vpasidOf(256)),
      'EINVAL',
      /wider than the 8 PASID bits of vfio3/,
    );
    assert.equal([...first.life.authorizations()].length, 1);
    finished(context.free(b.pasid));
  });

  it('that issues requests without PASID sends them under the one PASID it is authorized for', () => {
    const { first, second, context } = setUp(withoutPasids);
    const [a, b] = [mapped(context, 0n), mapped(context, 0n)];
    first.life.authorize(context, a.pasid);
    second.life.authorize(context, b.pasid);
    refused(() => first.life.authorize(context, b.pasid), 'EBUSY');
    assert.equal(first.model.host.dma.write(0, 0, DATA), undefined);
    assert.deepEqual([a.bytes[0], b.bytes[0]], [1, 0]);
    finish(first.life.revoke(a.pasid));
    assert.match(first.model.host.dma.write(0, 0, DATA)!.reason, /requests without PASID/);
  });

  it('drains by vpasid, and does nothing while its own bus mastering is off', () => {
    const { first, context } = setUp();
    const { pasid, bytes } = mapped(context, 0n);
    first.life.authorize(context, pasid, vpasidOf(5));
    first.model.queue.push({ pasid: 5, iova: 0, write: true, buffer: DATA });
    finish(first.life.revoke(pasid));
    assert.deepEqual(bytes.subarray(0, 4), DATA);
    first.life.authorize(context, pasid, vpasidOf(5));
    first.gate.busMaster = false;
    assert.equal(
      first.model.host.dma.write(5, 0, DATA)!.reason,
      'bus mastering is off in the command register of vfio3',
    );
  });
});
