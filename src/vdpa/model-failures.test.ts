/** A vDPA device whose model fails: nothing is thrown, the device needs a reset, and goes on after it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ModelCalls } from '../devices/model-calls.js';
import { Feature, Status } from '../devices/virtio/features.js';
import type { VirtioModel } from '../devices/virtio/virtio-model.js';
import { finish } from '../file/work.js';
import { IoasidSubsystem } from '../ioasid/subsystem.js';
import { Iommu } from '../iommu/iommu.js';
import { Touched } from '../testkit/touched.js';
import type { VdpaDevice } from './device.js';
import { makeVdpaDevice } from './make-device.js';

const RUNNING = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK | Status.DRIVER_OK;
const FEATURES = Feature.VERSION_1 | Feature.ACCESS_PLATFORM;

type Part = 'start' | 'config' | 'writeConfig' | 'group' | 'drain' | 'reset' | 'busy';

/** Fails in `part`, once it is told to. */
class Failing implements VirtioModel {
  readonly virtio = { deviceId: 4, features: 0n, queues: 1 };
  failing = false;
  readonly #part: Part;
  readonly #config = new Uint8Array(8).fill(7);

  constructor(part: Part) {
    this.#part = part;
  }

  get config(): Uint8Array {
    this.#tried('config');
    return this.#config;
  }

  start(): void {
    this.#tried('start');
  }

  writeConfig(): void {
    this.#tried('writeConfig');
  }

  group(): number {
    this.#tried('group');
    return 0;
  }

  drain(): void {
    this.#tried('drain');
  }

  reset(): void {
    this.#tried('reset');
  }

  busy(): boolean {
    this.#tried('busy');
    return false;
  }

  serve(): void {}

  #tried(part: Part): void {
    if (this.failing && part === this.#part) throw new Error(`no ${part} today`);
  }
}

function setUp(part: Part) {
  const model = new Failing(part);
  return { device: deviceOf(model), model };
}

function deviceOf(model: VirtioModel): VdpaDevice {
  const request = {
    rid: '0000:6a:01.0',
    name: 'vhost-vdpa-0',
    calls: new ModelCalls('./x.js'),
    make: () => model,
  };
  const iommu = new Iommu();
  return makeVdpaDevice(iommu, new IoasidSubsystem(iommu).pasids, request);
}

const ways: Readonly<Record<Part, (device: VdpaDevice) => void>> = {
  start: () => undefined,
  config: (device) => assert.deepEqual(device.readConfig(0, 8), new Uint8Array(8)),
  writeConfig: (device) => device.writeConfig(0, Uint8Array.of(1)),
  group: (device) => assert.equal(device.groupOf(0), 0),
  drain: (device) => finish(device.suspend()),
  reset: (device) => finish(device.setStatus(0)),
  busy: (device) => assert.equal(device.busy(), false),
};

for (const [part, act] of Object.entries(ways) as [Part, (device: VdpaDevice) => void][])
  test(`a model that fails in ${part} makes its device need a reset, and is used again after it`, () => {
    const { device, model } = setUp(part);
    model.failing = true;
    device.setFeatures(FEATURES);
    finish(device.setStatus(RUNNING));
    act(device);
    device.step();
    assert.equal(
      device.virtio.needsReset,
      `the device model of vhost-vdpa-0 (./x.js) failed: no ${part} today`,
    );
    assert.equal(device.virtio.status & Status.NEEDS_RESET, Status.NEEDS_RESET);
    model.failing = false;
    finish(device.setStatus(0));
    assert.equal(device.virtio.status, 0);
    assert.equal(device.virtio.needsReset, undefined);
    device.setFeatures(FEATURES);
    finish(device.setStatus(RUNNING));
    assert.equal(device.virtio.status, RUNNING);
    assert.deepEqual(device.readConfig(0, 8), new Uint8Array(8).fill(7));
  });

test('a model whose drain never has an end fails, and the call that waits for it returns', () => {
  const model = new Failing('drain');
  const device = deviceOf(Object.assign(model, { drain: () => true }));
  device.setFeatures(FEATURES);
  finish(device.setStatus(RUNNING));
  finish(device.suspend());
  assert.match(device.virtio.needsReset!, /drain has more to do after 1048576 calls$/);
});

test('whoever drains a device says so while that waits for something, a disk say', () => {
  let left = 0;
  const device = deviceOf(Object.assign(new Failing('start'), { drain: () => left-- > 0 && 'waits' }));
  device.setFeatures(FEATURES);
  finish(device.setStatus(RUNNING));
  for (const drain of [() => device.flush(), () => device.suspend()]) {
    left = 5;
    assert.deepEqual(
      [...drain()],
      Array.from({ length: 5 }, () => 'waits'),
    );
  }
});

/** All that a model has. */
const members: Record<keyof VirtioModel, true> = {
  virtio: true,
  config: true,
  configChanges: true,
  writeConfig: true,
  group: true,
  start: true,
  serve: true,
  step: true,
  busy: true,
  drain: true,
  reset: true,
};

test('a model is touched nowhere but in its calls', () => {
  const touched = new Touched();
  const whole = Object.assign(new Failing('start'), { busy: () => true, step: () => true, configChanges: 0 });
  const device = deviceOf(touched.watching<VirtioModel>(whole));
  device.life.open(1);
  device.setFeatures(FEATURES);
  finish(device.enable(0, true));
  finish(device.setStatus(RUNNING));
  device.writeConfig(0, device.readConfig(0, 8));
  device.kick(0);
  assert.deepEqual([device.busy(), device.step(), device.groupOf(0)], [true, true, 0]);
  finish(device.suspend());
  device.resume();
  finish(device.enable(0, false));
  finish(device.close());
  assert.deepEqual([...touched.outside], []);
  for (const member of Object.keys(members)) assert.ok(touched.members.has(member), member);
});
