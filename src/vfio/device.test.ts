import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { PciDescription } from '../devices/device-model.js';
import { finish, finished } from '../file/work.js';
import { IoasidSubsystem } from '../ioasid/subsystem.js';
import { Iommu } from '../iommu/iommu.js';
import { FakeCaller } from '../testkit/fake-caller.js';
import { everything, FakeModel } from '../testkit/fake-model.js';
import { mapped } from '../testkit/mapped.js';
import { refusal, refused } from '../testkit/refused.js';
import { CONFIG_REGION, NUM_REGIONS, type VfioDevice } from './device.js';
import { ERR, MSIX } from './irq-request.js';
import { makeDevices } from './make-devices.js';

const RID = '0000:6a:01.0';

/** A system with one function of a FakeModel, open and with bus mastering on. */
function setUp(pci: PciDescription = everything) {
  const iommu = new Iommu();
  const system = new IoasidSubsystem(iommu);
  let model!: FakeModel;
  const make = (host: ConstructorParameters<typeof FakeModel>[0]) => {
    model = new FakeModel(host, pci);
    return model;
  };
  const [device] = makeDevices(iommu, system.pasids, {
    rid: RID,
    make,
    mdevs: 0,
    firstIndex: 0,
  }) as [VfioDevice];
  device.life.open(1);
  setCommand(device, 0x0006);
  const context = system.open(1);
  return { iommu, system, device, model, context };
}

function setCommand(device: VfioDevice, value: number): void {
  device.writeRegion(CONFIG_REGION, 4, Uint8Array.of(value & 0xff, value >>> 8));
}

const HELLO = Uint8Array.of(1, 2, 3, 4);

function setIrqs(device: VfioDevice, ...request: Parameters<VfioDevice['setIrqs']>): void {
  finished(device.setIrqs(...request));
}

describe('opening a VFIO device', () => {
  it('is exclusive: the second open is EBUSY and names the holder', () => {
    const { device } = setUp();
    refused(() => device.life.open(2), 'EBUSY', /process 1$/);
    finish(device.close());
    device.life.open(2);
    assert.equal(device.life.holder, 2);
  });
});

describe('bus mastering', () => {
  it('keeps every DMA back while it is off, and the fault log says so', () => {
    const world = setUp();
    const { pasid } = mapped(world.context);
    world.device.life.authorize(world.context, pasid);
    setCommand(world.device, 0x0002);
    const fault = world.model.host.dma.read(pasid, 0x1000, new Uint8Array(4))!;
    assert.equal(fault.reason, `bus mastering is off in the command register of ${RID}`);
    assert.deepEqual([fault.done, fault.iova, fault.write], [0, 0x1000, false]);
    assert.equal(world.iommu.faults.total, 1);
  });
});

describe('revoking, closing and resetting', () => {
  it('drain the work of the revoked PASID before they return', () => {
    const world = setUp();
    const { device, model, context } = world;
    const { pasid, bytes } = mapped(world.context);
    device.life.authorize(context, pasid);
    for (let i = 0; i < 100; i++)
      model.queue.push({ pasid, iova: 0x1000 + i, write: true, buffer: Uint8Array.of(7) });
    finish(device.revoke(pasid));
    assert.deepEqual(bytes.subarray(0, 100), new Uint8Array(100).fill(7));
    assert.equal(model.faults.length, 0);
  });

  it('reset a model that never gets done, so that no work is left for what its PASID means next', () => {
    const world = setUp();
    const { device, model, context } = world;
    const { pasid } = mapped(world.context);
    device.life.authorize(context, pasid);
    model.stuck = true;
    model.queue.push({ pasid, iova: 0x1000, write: true, buffer: HELLO });
    finish(device.revoke(pasid));
    assert.equal(model.resets, 1);
    assert.equal(device.busy(), false);
  });

  it('a close of one of several descriptors leaves nothing in flight, even of a stuck model', () => {
    const world = setUp();
    const { device, model, context } = world;
    const { pasid } = mapped(world.context);
    device.life.authorize(context, pasid);
    finish(device.flush());
    assert.equal(model.resets, 0);
    model.stuck = true;
    model.queue.push({ pasid, iova: 0x1000, write: true, buffer: HELLO });
    finish(device.flush());
    assert.equal(model.resets, 1);
    assert.equal(device.busy(), false);
    assert.equal([...device.life.authorizations()].length, 1);
  });

  it('close gives everything back: PASIDs, context references, eventfds, configuration space', () => {
    const world = setUp();
    const { device, model, context, system } = world;
    const caller = new FakeCaller();
    caller.addEventfd(5);
    setIrqs(
      device,
      {
        index: MSIX,
        start: 0,
        count: 1,
        action: 'trigger',
        data: { kind: 'eventfd', fds: Int32Array.of(5) },
      },
      caller,
    );
    setIrqs(
      device,
      { index: ERR, start: 0, count: 1, action: 'trigger', data: { kind: 'eventfd', fds: Int32Array.of(5) } },
      caller,
    );
    const pasids = [1, 2, 3].map(() => mapped(world.context).pasid);
    for (const pasid of pasids) device.life.authorize(context, pasid);
    assert.equal(caller.openSignals, 2);
    finish(device.close());
    assert.equal(caller.openSignals, 0);
    assert.equal([...device.life.authorizations()].length, 0);
    assert.equal(model.resets, 1);
    const command = new Uint8Array(2);
    device.readRegion(CONFIG_REGION, 4, command);
    assert.deepEqual(command, Uint8Array.of(2, 0));
    for (const pasid of pasids) finished(context.free(pasid));
    finished(context.close());
    assert.equal([...system.contexts()].length, 0);
    assert.equal(device.life.holder, undefined);
  });

  it('a device reset drops the work and keeps authorizations, configuration space and eventfds', () => {
    const world = setUp();
    const { device, model, context } = world;
    const caller = new FakeCaller();
    const eventfd = caller.addEventfd(5);
    setIrqs(
      device,
      {
        index: MSIX,
        start: 0,
        count: 1,
        action: 'trigger',
        data: { kind: 'eventfd', fds: Int32Array.of(5) },
      },
      caller,
    );
    const { pasid } = mapped(world.context);
    device.life.authorize(context, pasid);
    model.queue.push({ pasid, iova: 0x1000, write: true, buffer: HELLO });
    device.reset();
    assert.equal(device.busy(), false);
    assert.equal(model.host.dma.write(pasid, 0x1000, HELLO), undefined);
    model.host.interrupt(0);
    assert.equal(eventfd.raised, 1);
  });

  it('a function level reset through configuration space is a device reset', () => {
    const { device, model } = setUp();
    const express = findCapability(device, 0x10);
    device.writeRegion(CONFIG_REGION, express + 9, Uint8Array.of(0x80));
    assert.equal(model.resets, 1);
  });
});

function findCapability(device: VfioDevice, id: number): number {
  const bytes = new Uint8Array(256);
  device.readRegion(CONFIG_REGION, 0, bytes);
  let at = bytes[0x34]!;
  while (bytes[at] !== id) at = bytes[at + 1]!;
  return at;
}

describe('regions', () => {
  it('end where the BAR ends: short there, EINVAL past it and where there is no BAR', () => {
    const { device } = setUp();
    assert.equal(device.readRegion(2, 0xffc, new Uint8Array(16)), 4);
    assert.equal(device.writeRegion(2, 0xffc, new Uint8Array(16)), 4);
    assert.equal(device.readRegion(2, 0x1000, new Uint8Array(0)), 0);
    refused(() => device.readRegion(2, 0x1000, new Uint8Array(1)), 'EINVAL');
    for (const index of [1, 3, 4, 5, 6, 8, 9, 2 ** 23]) {
      refused(() => device.readRegion(index, 0, new Uint8Array(1)), 'EINVAL');
      refused(() => device.writeRegion(index, 0, new Uint8Array(1)), 'EINVAL');
    }
  });

  it('are EIO while memory space is off', () => {
    const { device } = setUp();
    setCommand(device, 0);
    refused(() => device.readRegion(2, 0, new Uint8Array(1)), 'EIO', /memory space is off/);
    refused(() => device.writeRegion(2, 0, new Uint8Array(1)), 'EIO');
  });

  it('are EAGAIN when the model cannot take the write', () => {
    const { device, model } = setUp();
    model.full = true;
    refused(() => device.writeRegion(2, 0, HELLO), 'EAGAIN', /write it again/);
  });

  it('keep the MSI-X table and PBA away from the model, also in accesses that lie across their ends', () => {
    const { device, model } = setUp();
    device.writeRegion(0, 0x1ff0, new Uint8Array(0x100).fill(0xff));
    assert.deepEqual(model.bars[0]!.subarray(0x1ff0, 0x2000), new Uint8Array(16).fill(0xff));
    assert.deepEqual(model.bars[0]!.subarray(0x2000, 0x2090), new Uint8Array(0x90));
    assert.deepEqual(model.bars[0]!.subarray(0x2090, 0x20f0), new Uint8Array(0x60).fill(0xff));
    const entry = new Uint8Array(16);
    device.readRegion(0, 0x2000, entry);
    assert.deepEqual(entry, new Uint8Array(16).fill(0xff));
  });

  it('read nothing of what the buffer held before', () => {
    const { device, model } = setUp();
    model.readBar = () => {};
    const target = new Uint8Array(8).fill(0xaa);
    device.readRegion(2, 0, target);
    assert.deepEqual(target, new Uint8Array(8));
  });

  it('throw nothing but Refusal, whatever is accessed', () => {
    const index = fc.nat(NUM_REGIONS + 1);
    const offset = fc.oneof(fc.nat(0x1_0010), fc.integer({ min: 0x1ff0, max: 0x3010 }), fc.maxSafeNat());
    const data = fc.uint8Array({ maxLength: 300 });
    const access = fc.record({ index, offset, data, write: fc.boolean() });
    fc.assert(
      fc.property(fc.array(access, { maxLength: 30 }), (accesses) => {
        const { device } = setUp();
        for (const { index, offset, data, write } of accesses) {
          const error = refusal(() => {
            const done = write
              ? device.writeRegion(index, offset, data)
              : device.readRegion(index, offset, data);
            assert.ok(done >= 0 && done <= data.length);
          });
          assert.ok(error === undefined || ['EINVAL', 'EIO', 'EFAULT'].includes(error.code), error?.message);
        }
      }),
    );
  });
});

describe('a model that throws', () => {
  it('has failed: its BARs are EIO with its message and ERR is raised, until the device is reset', () => {
    const { device, model } = setUp();
    const caller = new FakeCaller();
    const eventfd = caller.addEventfd(3);
    setIrqs(
      device,
      { index: ERR, start: 0, count: 1, action: 'trigger', data: { kind: 'eventfd', fds: Int32Array.of(3) } },
      caller,
    );
    model.broken = new Error('register 7 exploded');
    refused(() => device.readRegion(2, 0, new Uint8Array(1)), 'EIO', /register 7 exploded/);
    refused(() => device.writeRegion(2, 0, new Uint8Array(1)), 'EIO', /register 7 exploded/);
    assert.equal(eventfd.raised, 1);
    device.reset();
    assert.equal(device.life.work.calls.failure, undefined);
    assert.equal(device.readRegion(2, 0, new Uint8Array(1)), 1);
  });

  it('raises ERR once for each failure, whichever call it came to light in', () => {
    const { device, model, context } = setUp();
    const caller = new FakeCaller();
    const eventfd = caller.addEventfd(3);
    setIrqs(
      device,
      { index: ERR, start: 0, count: 1, action: 'trigger', data: { kind: 'eventfd', fds: Int32Array.of(3) } },
      caller,
    );
    const { pasid } = mapped(context);
    for (const call of [
      () => finish(device.revoke(pasid)),
      () => finish(device.flush()),
      () => device.step(),
    ]) {
      if (device.life.authorizations().next().done === true) device.life.authorize(context, pasid);
      model.queue.push({ pasid, iova: 0x1000, write: true, buffer: HELLO });
      model.broken = new Error('out of luck');
      const { raised } = eventfd;
      call();
      assert.equal(eventfd.raised, raised + 1);
      assert.equal(device.busy(), false);
      assert.equal(eventfd.raised, raised + 1, 'a failure is told once');
      device.reset();
    }
  });

  it('in a step takes only its device down', () => {
    const { device, model } = setUp();
    model.broken = new Error('out of luck');
    device.step();
    assert.match(device.life.work.calls.failure!, /out of luck/);
    assert.equal(device.busy(), false);
    finish(device.close());
    assert.equal(device.life.work.calls.failure, undefined);
  });
});
