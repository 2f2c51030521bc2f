/** A vDPA device whose model fails: nothing is thrown, the device needs a reset, and goes on after it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Feature, Status } from '../devices/virtio/features.js';
import type { VirtioModel } from '../devices/virtio/virtio-model.js';
import { finish } from '../file/work.js';
import { IoasidSubsystem } from '../ioasid/subsystem.js';
import { Iommu } from '../iommu/iommu.js';
import { VdpaDevice } from './device.js';
import { VdpaPort } from './vdpa-port.js';

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
  const iommu = new Iommu();
  const { pasids } = new IoasidSubsystem(iommu);
  const port = new VdpaPort(iommu, pasids, '0000:6a:01.0', 'vhost-vdpa-0', 1);
  const model = new Failing(part);
  const device = new VdpaDevice(iommu, port, 'vhost-vdpa-0', model);
  return { device, model };
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
    assert.equal(device.virtio.needsReset, `the device model of vhost-vdpa-0 failed: no ${part} today`);
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
