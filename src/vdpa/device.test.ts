/**
 * A vDPA device as its program sees it, by the answers of Linux's vhost-vdpa and the rule of both
 * descriptors.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ModelCalls } from '../devices/model-calls.js';
import { CalledVirtioModel } from '../devices/virtio/called-virtio-model.js';
import { Feature, Status } from '../devices/virtio/features.js';
import type { VirtioModel } from '../devices/virtio/virtio-model.js';
import type { Virtqueue } from '../devices/virtio/virtqueue.js';
import { finish, finished } from '../file/work.js';
import { KIND_MAPPED } from '../ioasid/context.js';
import { IoasidSubsystem } from '../ioasid/subsystem.js';
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { vpasidOf } from '../iommu/pasid.js';
import { FlatMemory } from '../testkit/flat-memory.js';
import { refused } from '../testkit/refused.js';
import { SplitDriver } from '../testkit/ring-driver.js';
import { Backend } from './backend-features.js';
import { VdpaDevice } from './device.js';
import { VdpaPort } from './vdpa-port.js';

const PID = 77;
const RUNNING = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK | Status.DRIVER_OK;
const FEATURES = Feature.VERSION_1 | Feature.ACCESS_PLATFORM;
const BYTES = 0x10000;

/** Answers each buffer with its own bytes; queue 1 is in group 1. */
class Echo implements VirtioModel {
  readonly virtio = { deviceId: 4, features: 1n, queues: 2, groups: 2 };
  readonly config = new Uint8Array(24);

  group(index: number): number {
    return index;
  }

  serve(queue: Virtqueue): void {
    const bytes = new Uint8Array(64);
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      chain.write(0, bytes, 0, chain.read(0, bytes));
      queue.put(chain);
    }
  }

  writeConfig(offset: number, source: Uint8Array): void {
    this.config.set(source, offset);
  }

  reset(): void {}
}

class Counter {
  raised = 0;
  closed = 0;

  raise(): void {
    this.raised++;
  }

  close(): void {
    this.closed++;
  }
}

/** An open device with an owner, and one ring in memory at IOVA 0, which is not mapped yet. */
function setUp() {
  const iommu = new Iommu();
  const system = new IoasidSubsystem(iommu);
  const port = new VdpaPort(iommu, system.pasids, '0000:6a:01.0', 'vhost-vdpa-0', 2);
  const called = CalledVirtioModel.make(new ModelCalls('vhost-vdpa-0'), () => new Echo());
  const device = new VdpaDevice(iommu, port, 'vhost-vdpa-0', called);
  device.life.open(PID);
  device.setOwner(PID);
  const memory = new FlatMemory(BYTES);
  const driver = new SplitDriver(memory, { size: 16 });
  const range = () => ({ memory: new BufferMemory(memory.bytes), offset: 0 });
  const map = (asid: number) =>
    finish(device.iotlb.update({ asid: vpasidOf(asid), iova: 0n, size: BigInt(BYTES) }, 3, range));
  return { iommu, system, device, memory, driver, range, map };
}

type Scene = ReturnType<typeof setUp>;

function addresses({ driver: { setup } }: Scene) {
  return {
    flags: 0,
    descriptors: BigInt(setup.descriptors),
    used: BigInt(setup.device),
    available: BigInt(setup.driver),
    log: 0n,
  };
}

/** Sets queue 0 up, enables it and makes the device run. */
function run(scene: Scene): Counter {
  const { device } = scene;
  const call = new Counter();
  device.setFeatures(FEATURES);
  device.setSize(0, 16);
  device.setBase(0, 0);
  device.setAddresses(0, addresses(scene));
  device.setSignal(0, 'call', call);
  finish(device.enable(0, true));
  finish(device.setStatus(RUNNING));
  return call;
}

/** Offers a buffer and kicks. @returns whether it was answered. */
function ask({ device, driver, memory }: Scene): boolean {
  memory.bytes.fill(0, 0x8000, 0x8100);
  memory.bytes.set([1, 2, 3, 4], 0x8000);
  driver.offer([
    { iova: 0x8000, length: 4, write: false },
    { iova: 0x8010, length: 4, write: true },
  ]);
  driver.publish();
  device.kick(0);
  while (device.busy()) device.step();
  return memory.bytes[0x8013] === 4 && driver.collect() !== undefined;
}

test('a device is owned by one process, and others may not', () => {
  const { device } = setUp();
  refused(() => device.setOwner(PID), 'EBUSY', /vhost-vdpa-0 is owned by process 77 already/);
  refused(() => device.checkOwner(78), 'EPERM', /process 78 does not own vhost-vdpa-0: process 77 does/);
  device.checkOwner(PID);
  finish(device.close());
  refused(() => device.checkOwner(PID), 'EPERM', /nobody does/);
});

test('who is to own a worker is said before there is an owner, and is 0 or 1', () => {
  const { device } = setUp();
  refused(() => device.setForkFromOwner(0), 'EBUSY', /process 77 owns vhost-vdpa-0/);
  finish(device.close());
  refused(() => device.setForkFromOwner(2), 'EINVAL', /fork_owner 2/);
  device.setForkFromOwner(0);
  assert.equal(device.forkFromOwner, 0);
  finish(device.close());
  assert.equal(device.forkFromOwner, 1);
});

test('status takes any superset of its bits, and nothing less but 0', () => {
  const { device } = setUp();
  for (const status of [1, 3, 0x0b, 0x0f, 0x8f]) finish(device.setStatus(status));
  refused(() => finish(device.setStatus(0x0b)), 'EINVAL', /status 0xb takes bits of 0x8f away/);
  assert.equal(device.virtio.status, 0x8f);
  finish(device.setStatus(0));
  finish(device.setStatus(4));
  refused(() => finish(device.setStatus(0x80)), 'EINVAL');
  finish(device.setStatus(0x84));
});

test('features need ACCESS_PLATFORM and no FEATURES_OK; unknown ones are left out', () => {
  const { device } = setUp();
  refused(() => device.setFeatures(0n), 'EINVAL');
  device.setFeatures(2n ** 64n - 1n);
  assert.equal(device.virtio.features, device.virtio.offered);
  device.setFeatures(Feature.ACCESS_PLATFORM);
  finish(device.setStatus(0x0b));
  refused(() => device.setFeatures(FEATURES), 'EBUSY');
});

test('backend features are accepted and refused as by vdpa_sim', () => {
  const { device } = setUp();
  for (const bits of [0n, 2n, 8n, 16n, 32n, 64n, 0x100n, 0x13en, 0x17en, 0n]) device.setBackendFeatures(bits);
  refused(() => device.setBackendFeatures(0x80n), 'EINVAL');
  for (const bits of [1n, 0x88n, 0x200n, 2n ** 63n])
    refused(() => device.setBackendFeatures(bits), 'EOPNOTSUPP');
});

test('the configuration space ends where it does', () => {
  const { device } = setUp();
  for (const [offset, length] of [
    [0, 0],
    [0, 4096],
    [24, 1],
    [1000, 1],
    [0xffffffff, 2],
    [0, 25],
  ] as const)
    refused(() => device.readConfig(offset, length), 'EINVAL');
  device.writeConfig(2, Uint8Array.of(5, 6));
  assert.deepEqual([...device.readConfig(1, 4)], [0, 5, 6, 0]);
  assert.equal(device.readConfig(23, 1).length, 1);
});

test('rings are set up as vhost-vdpa takes them', () => {
  const scene = setUp();
  const { device } = scene;
  for (const size of [0, 3, 512, 65536]) refused(() => device.setSize(0, size), 'EINVAL');
  for (const size of [1, 256]) device.setSize(0, size);
  refused(() => device.checkQueue(2), 'ENOBUFS', /vhost-vdpa-0 has no queue 2: it has 2/);
  refused(() => device.setBase(0, 65536), 'EINVAL');
  device.setBase(0, 5);
  assert.equal(device.virtio.queues[0]!.base, 5);
  const right = addresses(scene);
  device.setAddresses(0, { ...right, flags: 1, descriptors: 8n });
  refused(() => device.setAddresses(0, { ...right, flags: 2 }), 'EOPNOTSUPP');
  refused(() => device.setAddresses(0, { ...right, available: 1n }), 'EINVAL');
  refused(() => device.setAddresses(0, { ...right, used: 2n }), 'EINVAL');
  finish(device.setStatus(RUNNING));
  refused(() => device.setAddresses(0, right), 'EINVAL', /while vhost-vdpa-0 runs/);
  refused(() => device.setAddresses(0, { ...right, flags: 2 }), 'EOPNOTSUPP');
  refused(() => device.setBase(0, 3), 'EINVAL');
  device.setSize(0, 16);
});

test('until its owner maps memory the device reaches no ring, and needs a reset', () => {
  const scene = setUp();
  run(scene);
  const before = scene.memory.bytes.slice();
  scene.device.kick(0);
  scene.device.step();
  assert.deepEqual(scene.memory.bytes, before);
  assert.match(scene.device.virtio.needsReset!, /queue 0: the available ring cannot be reached at iova 0x/);
  assert.ok(scene.iommu.faults.total > 0);
});

test('a buffer is answered, and the call eventfd raised once', () => {
  const scene = setUp();
  scene.map(0);
  const call = run(scene);
  assert.ok(ask(scene));
  assert.equal(call.raised, 1);
  assert.equal(scene.device.virtio.queues[0]!.base, 1);
});

test('kicks are lost before DRIVER_OK and while a queue is disabled; it goes on where it was', () => {
  const scene = setUp();
  scene.map(0);
  scene.device.kick(0);
  run(scene);
  assert.equal(scene.device.busy(), false);
  assert.ok(ask(scene));
  finish(scene.device.enable(0, false));
  assert.equal(ask(scene), false);
  assert.equal(scene.device.virtio.queues[0]!.base, 1);
  finish(scene.device.enable(0, true));
  assert.equal(scene.device.busy(), false);
  assert.ok(ask(scene));
  assert.equal(scene.device.virtio.queues[0]!.base, 3);
});

test('a kick before DRIVER_OK is lost though nobody has heard it yet', () => {
  const scene = setUp();
  scene.map(0);
  const bell = { rings: 0, listen: () => void bell.rings++, empty: () => {}, close: () => {} };
  scene.device.setDoorbell(0, bell);
  scene.driver.offer([{ iova: 0x8000, length: 4, write: false }]);
  scene.driver.publish();
  run(scene);
  assert.equal(bell.rings, 1);
  assert.equal(scene.device.busy(), false);
  bell.listen();
  assert.ok(scene.device.busy());
});

test('what is kicked while suspended is served at RESUME', () => {
  const scene = setUp();
  finish(scene.device.suspend());
  scene.map(0);
  run(scene);
  finish(scene.device.suspend());
  finish(scene.device.suspend());
  assert.equal(ask(scene), false);
  scene.device.resume();
  scene.device.step();
  assert.ok(scene.driver.collect());
  scene.device.resume();
});

test('while suspended, a ring can be set to go on elsewhere', () => {
  const scene = setUp();
  scene.map(0);
  run(scene);
  assert.ok(ask(scene));
  finish(scene.device.suspend());
  scene.device.setAddresses(0, addresses(scene));
  scene.device.setBase(0, 0);
  assert.equal(scene.device.virtio.queues[0]!.base, 0);
  scene.memory.bytes[0x8013] = 0;
  scene.device.resume();
  scene.device.step();
  assert.equal(scene.memory.bytes[0x8013], 4, 'the first buffer was not served again');
  refused(() => scene.device.setBase(0, 0), 'EINVAL', /while vhost-vdpa-0 runs/);
});

test('a reset forgets mappings, unless IOTLB_PERSIST is acknowledged', () => {
  for (const backend of [0n, Backend.IOTLB_PERSIST]) {
    const scene = setUp();
    scene.device.setBackendFeatures(backend);
    scene.map(0);
    finish(scene.device.setStatus(0));
    refused(() => scene.map(0), 'EEXIST');
    run(scene);
    assert.equal(ask(scene), backend !== 0n);
    assert.equal(scene.device.virtio.queues[0]!.base, backend === 0n ? 0 : 1);
  }
});

test('a queue is in the address space of its group', () => {
  const scene = setUp();
  const { device } = scene;
  refused(() => device.setGroupAsid(2, 0), 'EINVAL', /no group 2/);
  refused(() => device.setGroupAsid(0, 2), 'EINVAL', /no ASID 2/);
  scene.map(1);
  device.setGroupAsid(0, 1);
  run(scene);
  refused(() => device.setGroupAsid(0, 0), 'EBUSY');
  refused(() => device.setGroupAsid(0, 2), 'EINVAL', /no ASID 2/);
  assert.ok(ask(scene));
});

test('after a reset all groups are in ASID 0 again', () => {
  const scene = setUp();
  scene.map(0);
  scene.device.setBackendFeatures(Backend.IOTLB_PERSIST);
  scene.device.setGroupAsid(0, 1);
  finish(scene.device.setStatus(0));
  run(scene);
  assert.ok(ask(scene));
});

/** A context with a PASID that has the memory of the scene at IOVA 0. */
function makePasid({ system, range }: Scene) {
  const context = system.open(PID);
  const pasid = context.alloc(KIND_MAPPED, 0);
  const request = { pasid, iova: 0n, length: BigInt(BYTES), access: READ | WRITE };
  context.map(request, finished(context.place(request, 0n)), range());
  return { context, pasid };
}

test('both descriptors presented: an ASID is a PASID, and IOTLB messages for it are refused', () => {
  const scene = setUp();
  const { device } = scene;
  const { context, pasid } = makePasid(scene);
  refused(() => device.authorize(context, pasid, vpasidOf(2)), 'EINVAL', /vhost-vdpa-0 has no ASID 2/);
  device.authorize(context, pasid, vpasidOf(0));
  refused(() => scene.map(0), 'EBUSY', /ASID 0 of vhost-vdpa-0 is PASID \d+ of a \/dev\/ioasid/);
  refused(() => finish(device.iotlb.invalidate({ asid: vpasidOf(0), iova: 0n, size: 1n })), 'EBUSY');
  scene.map(1);
  run(scene);
  assert.ok(ask(scene));
  finish(device.revoke(pasid));
  assert.equal(ask(scene), false);
  assert.match(device.virtio.needsReset!, /nothing was mapped in ASID 0/);
  refused(() => finish(device.revoke(pasid)), 'ENOENT');
});

test('an ASID with mappings, and a device that runs, cannot be given a PASID', () => {
  const scene = setUp();
  const { context, pasid } = makePasid(scene);
  scene.map(0);
  refused(() => scene.device.authorize(context, pasid, vpasidOf(0)), 'EBUSY', /has 1 mappings of its own/);
  finish(scene.device.iotlb.invalidate({ asid: vpasidOf(0), iova: 0n, size: 1n }));
  scene.device.authorize(context, pasid, vpasidOf(0));
  finish(scene.device.revoke(pasid));
  scene.map(0);
  run(scene);
  refused(() => scene.device.authorize(context, pasid, vpasidOf(1)), 'EBUSY', /vhost-vdpa-0 runs/);
});

test('after the last close nothing is left of what a program had', () => {
  const scene = setUp();
  const { device, iommu, system } = scene;
  const { context, pasid } = makePasid(scene);
  device.authorize(context, pasid, vpasidOf(1));
  scene.map(0);
  const call = run(scene);
  const config = new Counter();
  device.setConfigCall(config);
  ask(scene);
  finish(device.close());
  assert.deepEqual([call.closed, config.closed], [1, 1]);
  finished(context.close());
  assert.deepEqual([iommu.memories.size, iommu.tables.slotCount, system.pasids.used], [0, 0, 0]);
  assert.equal(device.virtio.status, 0);
  device.life.open(PID + 1);
  device.setOwner(PID + 1);
});

test('a device that needs a reset raises the configuration and the error eventfds', () => {
  const scene = setUp();
  const [config, error] = [new Counter(), new Counter()];
  scene.device.setConfigCall(config);
  scene.device.setSignal(1, 'error', error);
  run(scene);
  scene.device.kick(0);
  scene.device.step();
  assert.deepEqual([config.raised, error.raised], [1, 1]);
  finish(scene.device.setStatus(0));
  run(scene);
  scene.device.kick(0);
  scene.device.step();
  assert.deepEqual([config.raised, error.raised], [2, 2]);
});
