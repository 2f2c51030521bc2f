/** virtio-net: frames and commands in many parts, each of which may keep everybody waiting. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { madeBytes } from '../../testkit/made-bytes.js';
import { VirtioScene, type VirtioSceneOptions } from '../../testkit/virtio-scene.js';
import { FakeHost } from '../fake-host.js';
import { Wires } from '../wire.js';
import createNet from './net.js';
import { NetFeature } from './net-features.js';

const OWN = [2, 0, 0, 0, 0, 1];
const OTHER = [2, 0, 0, 0, 0, 2];
const RX = 0;
const TX = 1;
const HEADER = 12;
/** Of a frame that lies in many places, with its header. */
const PARTS = 1000;
const features = Object.values(NetFeature).reduce((all, bit) => all | bit);

function frameOf(length: number, salt = 0): Uint8Array {
  return madeBytes(length, (i) => (i < 6 ? OWN[i]! : (i + salt) & 0xff));
}

function device(words: Record<string, string>, options: VirtioSceneOptions): VirtioScene {
  const host = Object.assign(new FakeHost(), { wires: new Wires() });
  const mac = OWN.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  return new VirtioScene(host.make(createNet, { mac, ...words }), { features, ...options });
}

for (const format of ['split', 'packed'] as const) {
  test(`a step makes few accesses, whatever parts frames have, which come whole: ${format}`, async () => {
    const scene = device({ mtu: '9000', pairs: '2' }, { format, size: 128 });
    const { memory } = scene;
    scene.offer(4, scene.out(Uint8Array.of(4, 0, 2, 0)), scene.in(1));
    await scene.settle();
    const table = () => scene.out(new Uint8Array((PARTS + HEADER) * 16)).iova;
    const frames = [0, 1, 2, 3].map((n) => frameOf(PARTS - 1 - n, n));
    const buffers = frames.map((_, n) => {
      const parts = Array.from({ length: PARTS + HEADER }, () => scene.in(1));
      scene.drivers[RX + 2 * (n % 2)]!.offer(parts, table());
      return parts;
    });
    memory.price = 20;
    for (const [n, frame] of frames.entries()) {
      const parts = [...frame].map((byte) => scene.out(Uint8Array.of(byte)));
      scene.drivers[TX + 2 * (n % 2)]!.offer([scene.out(new Uint8Array(HEADER)), ...parts], table());
    }
    for (const [queue, driver] of scene.drivers.entries()) {
      driver.publish();
      scene.device.kick(queue);
    }
    const made: number[] = [];
    for (let before = memory.effort; scene.device.busy(); before = memory.effort) {
      scene.device.step();
      made.push((memory.effort - before) / memory.price);
    }
    // What a step begins when it has come to nothing yet is one part of a frame, and what shows it.
    assert.ok(Math.max(...made) < 150, `${made}`);
    for (const [n, frame] of frames.entries()) {
      const used = scene.drivers[RX + 2 * (n % 2)]!.collect();
      assert.equal(used?.length, HEADER + frame.length);
      const bytes = buffers[n]!.flatMap((part) => [...scene.bytesOf(part)]);
      assert.deepEqual(bytes.slice(HEADER, HEADER + frame.length), [...frame]);
    }
  });

  test(`a frame that is moved in several steps is lost at a suspend or reset: ${format}`, async () => {
    for (const end of ['suspend', 'stop', 'reset', 'unmap'] as const) {
      const scene = device({ mtu: '9000' }, { format, size: 128 });
      const { memory } = scene;
      const table = scene.out(new Uint8Array(PARTS * 16)).iova;
      const parts = Array.from({ length: PARTS - 1 }, () => scene.out(new Uint8Array(1)));
      scene.drivers[TX]!.offer([scene.out(new Uint8Array(HEADER)), ...parts], table);
      scene.drivers[TX]!.publish();
      scene.device.kick(TX);
      memory.price = 20;
      scene.device.step();
      assert.equal(scene.device.queues[TX]!.outstanding, 1);
      if (end === 'suspend') scene.device.suspend();
      if (end === 'stop') scene.device.stopQueue(TX);
      if (end === 'reset') scene.device.status = 0;
      if (end === 'unmap') memory.rights[parts.at(-1)!.iova] = 0;
      if (end === 'reset') scene.start();
      else if (end === 'suspend') scene.device.resume();
      await scene.settle();
      assert.equal(scene.device.queues[TX]!.outstanding, 0);
      memory.price = 0;
      if (end === 'stop') continue;
      const frame = frameOf(60);
      const buffer = scene.in(100);
      scene.offer(RX, buffer);
      scene.offer(TX, scene.out(new Uint8Array(HEADER)), scene.out(frame));
      await scene.settle();
      assert.deepEqual(scene.bytesOf(buffer).slice(HEADER, HEADER + 60), frame);
    }
  });
}

test('a command whose memory takes 16 steps is not obeyed, and a shorter one is', async () => {
  const scene = device({}, {});
  const address = [1, 1, ...OTHER].map((byte) => scene.out(Uint8Array.of(byte)));
  const zeros = (count: number) => Array.from({ length: count }, () => scene.out(new Uint8Array(1)));
  for (const [price, expected] of [
    [1024, 1],
    [60, 0],
  ] as const) {
    scene.memory.price = price;
    const answer = scene.in(1);
    scene.offer(2, ...address, ...zeros(9), answer);
    await scene.settle();
    assert.deepEqual([...scene.bytesOf(answer)], [expected]);
    assert.deepEqual([...scene.device.config.subarray(0, 6)], expected === 0 ? OTHER : OWN);
  }
});
