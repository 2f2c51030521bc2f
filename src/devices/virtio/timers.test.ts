/** Timers of virtio models: what they put back is seen, and a reset leaves none. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { VirtioScene } from '../../testkit/virtio-scene.js';
import { Clock } from '../clock.js';
import type { DeviceTimers } from '../device-timers.js';
import type { Chain } from './chain.js';
import type { VirtioModel } from './virtio-model.js';
import type { Virtqueue } from './virtqueue.js';

/** Gives each buffer back 50 microseconds after it was taken, and is not busy meanwhile. */
function slow(timers: DeviceTimers): VirtioModel {
  const held = new Set<Chain>();
  const putAll = (queue: Virtqueue) => {
    for (const buffer of held) queue.put(buffer, 1);
    held.clear();
  };
  return {
    virtio: { deviceId: 4, features: 0n, queues: 1 },
    config: new Uint8Array(0),
    serve(queue) {
      for (let buffer = queue.take(); buffer !== undefined; buffer = queue.take()) held.add(buffer);
      timers.after(50, () => putAll(queue));
    },
    reset: () => held.clear(),
  };
}

function scene() {
  const clock = new Clock();
  return { clock, scene: new VirtioScene(slow, { clock }) };
}

describe('a timer of a virtio model', () => {
  test('shows the driver what it has put back, and interrupts for it', async () => {
    const { clock, scene: at } = scene();
    at.offer(0, at.in(16));
    await at.settle();
    const { interrupts } = at.device.queues[0]!;
    clock.advance(49);
    await at.settle();
    assert.deepEqual([at.drivers[0]!.collect(), at.device.queues[0]!.interrupts], [undefined, interrupts]);
    clock.advance(1);
    assert.equal(at.device.busy(), true);
    await at.settle();
    assert.equal(at.drivers[0]!.collect()?.length, 1);
    assert.equal(at.device.queues[0]!.interrupts, interrupts + 1);
  });

  test('does not come after a reset', async () => {
    const { clock, scene: at } = scene();
    at.offer(0, at.in(16));
    await at.settle();
    at.device.reset();
    assert.equal(clock.wait, undefined);
    at.start();
    at.offer(0, at.in(16));
    await at.settle();
    clock.advance(50);
    await at.settle();
    assert.equal(at.drivers[0]!.collect()?.length, 1);
  });
});
