/**
 * What all virtio devices have in common (virtio 1.3 §2), with one that answers each buffer with its bytes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtioScene } from '../../testkit/virtio-scene.js';
import type { Chain } from './chain.js';
import { Feature, Status } from './features.js';
import type { VirtioModel } from './virtio-model.js';
import type { Virtqueue } from './virtqueue.js';

class Echo implements VirtioModel {
  readonly virtio = { deviceId: 4, features: 5n, queues: 2, inOrder: true };
  readonly config = new Uint8Array(8);
  configChanges = 0;
  /** Buffers are kept until a drain; or, when it is prompt as well, until `step`. */
  lazy = false;
  prompt = false;
  resets = 0;
  started: bigint | undefined;
  readonly kept: [Virtqueue, Chain][] = [];
  readonly #bytes = new Uint8Array(64);

  start(features: bigint): void {
    this.started = features;
  }

  serve(queue: Virtqueue): void {
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      if (this.lazy) this.kept.push([queue, chain]);
      else this.#answer(queue, chain);
    }
  }

  busy(): boolean {
    return this.prompt && this.kept.length > 0;
  }

  step(): void {
    this.drain();
  }

  drain(): void {
    for (const [queue, chain] of this.kept.splice(0)) this.#answer(queue, chain);
  }

  reset(): void {
    this.kept.length = 0;
    this.resets++;
  }

  #answer(queue: Virtqueue, chain: Chain): void {
    chain.write(0, this.#bytes, 0, chain.read(0, this.#bytes));
    queue.put(chain);
  }
}

function echo(size = 64): { model: Echo; scene: VirtioScene } {
  const model = new Echo();
  return { model, scene: new VirtioScene(model, { size }) };
}

const question = Uint8Array.from([1, 2, 3, 4]);

test('a buffer that was kicked is answered in the next step', () => {
  const { scene } = echo();
  const answer = scene.in(8);
  scene.offer(1, scene.out(question), answer);
  assert.equal(scene.device.busy(), true);
  scene.device.step();
  assert.deepEqual([...scene.bytesOf(answer)], [1, 2, 3, 4, 0xee, 0xee, 0xee, 0xee]);
  assert.equal(scene.device.queues[1]!.interrupts, 1);
  assert.equal(scene.device.busy(), false);
});

test('what was taken in a step and is done in the same is shown at its end, by one interrupt', () => {
  const { scene, model } = echo();
  model.lazy = model.prompt = true;
  const answers = [scene.in(4), scene.in(4)];
  for (const answer of answers) scene.offer(1, scene.out(question), answer);
  scene.device.step();
  for (const answer of answers) assert.deepEqual(scene.bytesOf(answer), question);
  assert.equal(scene.device.queues[1]!.interrupts, 1);
  assert.equal(scene.device.busy(), false);
});

test('features that are not offered are not accepted; the model hears of them at DRIVER_OK (§2.2)', () => {
  const { scene, model } = echo();
  const all = scene.device.offered;
  assert.equal(all & 0xffffffn, 5n);
  for (const bit of Object.values(Feature)) assert.notEqual(all & bit, 0n);
  scene.device.status = 0;
  scene.device.accept(2n ** 128n - 1n);
  assert.equal(scene.device.features, all);
  scene.device.status = Status.DRIVER_OK;
  assert.equal(model.started, all);
});

test('nobody hears a kick before DRIVER_OK, or of a queue without a driver', () => {
  const { scene } = echo();
  scene.device.status = 0;
  scene.device.startQueue(0, scene.drivers[0]!.setup);
  scene.offer(0, scene.out(question), scene.in(4));
  scene.device.status = Status.DRIVER_OK;
  assert.equal(scene.device.busy(), false);
  scene.device.kick(1);
  scene.device.kick(99);
  assert.equal(scene.device.busy(), false);
  scene.device.kick(0);
  assert.equal(scene.device.busy(), true);
});

test('a step takes a bounded number of buffers, and leaves the rest for the next', () => {
  const { scene } = echo(512);
  for (let n = 0; n < 300; n++) scene.offer(0, scene.out(question));
  assert.equal(scene.device.step(), true);
  assert.equal(scene.device.busy(), true);
  assert.equal(scene.device.step(), false);
  assert.equal(scene.device.busy(), false);
  for (let n = 0; n < 300; n++) assert.ok(scene.drivers[0]!.collect());
});

test('a broken queue: the device needs a reset, says why and touches nothing (§2.1.2)', () => {
  const { scene } = echo();
  const { device, drivers, memory } = scene;
  scene.offer(0, scene.out(question));
  memory.view.setUint16(drivers[0]!.setup.driver + 4, 77, true);
  device.step();
  assert.equal(device.status & Status.NEEDS_RESET, Status.NEEDS_RESET);
  assert.equal(device.needsReset, 'queue 0: descriptor 77 is past the end of a table of 64');
  assert.equal(device.configInterrupts, 1);
  device.status = Status.DRIVER_OK | Status.FAILED;
  assert.equal(device.status & Status.NEEDS_RESET, Status.NEEDS_RESET, 'the driver cannot take the bit back');
  scene.offer(1, scene.out(question), scene.in(4));
  const before = memory.bytes.slice();
  assert.equal(device.busy(), false);
  assert.equal(device.step(), false);
  device.drain();
  assert.deepEqual(memory.bytes, before);
  device.status = 0;
  assert.deepEqual([device.needsReset, device.status], [undefined, 0]);
  scene.start();
  scene.offer(1, scene.out(question), scene.in(4));
  device.step();
  assert.ok(drivers[1] !== scene.drivers[1] && scene.drivers[1]!.collect());
});

test('a queue is stopped when its buffers have been answered, and goes on at its base', () => {
  const { scene, model } = echo();
  model.lazy = true;
  const answer = scene.in(4);
  scene.offer(0, scene.out(question), answer);
  scene.device.step();
  assert.equal(scene.device.queues[0]!.outstanding, 1);
  scene.device.stopQueue(0);
  assert.deepEqual(scene.bytesOf(answer), question);
  assert.equal(scene.device.queues[0]!.base, 1);
  assert.ok(scene.drivers[0]!.collect());
  scene.device.startQueue(0, scene.drivers[0]!.setup);
  model.lazy = false;
  scene.offer(0, scene.out(question));
  scene.device.step();
  assert.ok(scene.drivers[0]!.collect());
});

test('a reset drops buffers and resets the model', () => {
  const { scene, model } = echo();
  model.lazy = true;
  scene.offer(0, scene.out(question), scene.in(4));
  scene.device.step();
  const [[queue, chain]] = model.kept as [[Virtqueue, Chain]];
  scene.device.status = 0;
  assert.equal(model.resets, 1);
  const before = scene.memory.bytes.slice();
  queue.put(chain);
  queue.flush();
  assert.deepEqual(scene.memory.bytes, before);
});

test('a change of the configuration space is an interrupt and a new generation (§2.5)', () => {
  const { scene, model } = echo();
  assert.deepEqual([scene.device.configGeneration, scene.device.configInterrupts], [0, 0]);
  model.configChanges++;
  assert.deepEqual([scene.device.configGeneration, scene.device.configInterrupts], [1, 1]);
});
