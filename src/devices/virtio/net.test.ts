/** virtio-net: frames from ring to ring, and the commands of virtio 1.3 §5.1.6.5. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { madeBytes } from '../../testkit/made-bytes.js';
import { VirtioScene, type VirtioSceneOptions } from '../../testkit/virtio-scene.js';
import { FakeHost } from '../fake-host.js';
import { Wires } from '../wire.js';
import createNet from './net.js';
import { NetFeature } from './net-features.js';
import { Mode, ReceiveFilter } from './receive-filter.js';

const OWN = '02:00:00:00:00:01';
const OTHER = '02:00:00:00:00:02';
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const RX = 0;
const TX = 1;
const HEADER = 12;
const ALL = Object.values(NetFeature).reduce((all, bit) => all | bit);
const PLAIN = ALL & ~NetFeature.MRG_RXBUF;

const bytesOf = (address: string) => address.split(':').map((byte) => Number.parseInt(byte, 16));

function frameTo(address: string, length: number, salt = 0): Uint8Array {
  return madeBytes(length, (i) => (i < 6 ? bytesOf(address)[i]! : (i + salt) & 0xff));
}

function device(
  words: Record<string, string>,
  options: VirtioSceneOptions,
  wires = new Wires(),
): VirtioScene {
  return new VirtioScene(Object.assign(new FakeHost(), { wires }).make(createNet, { mac: OWN, ...words }), {
    features: PLAIN,
    ...options,
  });
}

function send(scene: VirtioScene, frame: Uint8Array, pair = 0): void {
  scene.offer(2 * pair + TX, scene.out(new Uint8Array(HEADER)), scene.out(frame));
}

/** The packet in the next used buffers of a receive queue, without its header. */
function received(
  scene: VirtioScene,
  buffers: ReturnType<VirtioScene['in']>[],
  queue = RX,
): Uint8Array | undefined {
  const used = scene.drivers[queue]!.collect();
  if (used === undefined) return undefined;
  const first = scene.bytesOf(buffers.shift()!);
  const count = first[10]! | (first[11]! << 8);
  assert.deepEqual([...first.subarray(0, 10)], new Array(10).fill(0));
  const packet = [...first.subarray(0, used.length)];
  for (let n = 1; n < count; n++) {
    const { length } = scene.drivers[queue]!.collect()!;
    packet.push(...scene.bytesOf(buffers.shift()!).subarray(0, length));
  }
  return Uint8Array.from(packet.slice(HEADER));
}

function giveBuffers(
  scene: VirtioScene,
  count: number,
  length: number,
  queue = RX,
): ReturnType<VirtioScene['in']>[] {
  return Array.from({ length: count }, () => {
    const buffer = scene.in(length);
    scene.offer(queue, buffer);
    return buffer;
  });
}

/** Lets both work until neither has anything to do. */
async function settleBoth(one: VirtioScene, other: VirtioScene): Promise<void> {
  while (one.device.busy() || other.device.busy()) {
    await one.settle();
    await other.settle();
  }
}

for (const format of ['split', 'packed'] as const)
  describe(`virtio-net on ${format} rings`, () => {
    test('alone it receives what it sends, with one buffer and a header of zeros (§5.1.6.4)', async () => {
      const scene = device({}, { format });
      const buffers = giveBuffers(scene, 2, 1526);
      send(scene, frameTo(BROADCAST, 60));
      send(scene, frameTo(OWN, 1514));
      await scene.settle();
      assert.equal(scene.bytesOf(buffers[0]!)[10], 1);
      assert.deepEqual(received(scene, buffers), frameTo(BROADCAST, 60));
      assert.deepEqual(received(scene, buffers), frameTo(OWN, 1514));
      assert.deepEqual([scene.drivers[TX]!.collect()?.length, scene.drivers[TX]!.collect()?.length], [0, 0]);
    });

    test('two with one link receive what the other sends, and not what they send', async () => {
      const wires = new Wires();
      const one = device({ link: 'w' }, { format }, wires);
      const other = device({ link: 'w', mac: OTHER }, { format }, wires);
      const mine = giveBuffers(one, 20, 1526);
      const its = giveBuffers(other, 20, 1526);
      for (let n = 0; n < 10; n++) {
        send(one, frameTo(OTHER, 60 + n, n));
        send(other, frameTo(OWN, 90 + n, n));
      }
      await settleBoth(one, other);
      for (let n = 0; n < 10; n++) {
        assert.deepEqual(received(other, its), frameTo(OTHER, 60 + n, n));
        assert.deepEqual(received(one, mine), frameTo(OWN, 90 + n, n));
      }
      assert.equal(received(one, mine), undefined);
    });

    test('a frame in hundreds of parts, and into as many buffers, makes few accesses', async () => {
      const scene = device({}, { format, size: 256, features: ALL });
      const buffers = [...giveBuffers(scene, 1, HEADER), ...giveBuffers(scene, 240, 6)];
      const frame = frameTo(OWN, 1400);
      const parts = Array.from({ length: 200 }, (_, n) => scene.out(frame.subarray(7 * n, 7 * n + 7)));
      scene.offer(TX, scene.out(new Uint8Array(HEADER)), ...parts);
      const { memory } = scene;
      const before = memory.reads + memory.writes;
      await scene.settle();
      assert.deepEqual(received(scene, buffers), frame);
      const made = memory.reads + memory.writes - before;
      assert.ok(made < 60, `${made}`);
    });

    test('a frame whose buffers have more than 4096 parts is lost, and the next is not', async () => {
      const scene = device({ mtu: '9000' }, { format, features: ALL });
      const ones = (count: number) => Array.from({ length: count }, () => scene.in(1));
      const offered = Array.from({ length: 26 }, () => {
        const parts = ones(200);
        scene.drivers[RX]!.offer(parts, scene.out(new Uint8Array(200 * 16)).iova);
        return parts;
      });
      scene.drivers[RX]!.publish();
      scene.device.kick(RX);
      send(scene, frameTo(OWN, 4500));
      send(scene, frameTo(OWN, 300));
      await scene.settle();
      const lengths = offered.map(() => scene.drivers[RX]!.collect()?.length);
      assert.deepEqual(lengths, [...new Array(23).fill(0), 200, 112, undefined]);
      const bytes = offered.slice(23, 25).flatMap((parts) => parts.map((part) => scene.bytesOf(part)[0]!));
      assert.deepEqual(bytes.slice(HEADER, HEADER + 300), [...frameTo(OWN, 300)]);
    });

    test('mergeable buffers: a frame takes as many as it needs, or waits for them (§5.1.6.3.1)', async () => {
      for (const inOrder of [false, true]) {
        const scene = device({}, { format, inOrder, features: ALL });
        const buffers = giveBuffers(scene, 3, 100);
        for (let n = 0; n < 4; n++) send(scene, frameTo(OWN, 250, n));
        await scene.settle();
        assert.deepEqual(received(scene, buffers), frameTo(OWN, 250, 0));
        assert.equal(received(scene, buffers), undefined);
        assert.equal(scene.device.queues[RX]!.outstanding, 0);
        buffers.push(...giveBuffers(scene, 2, 100));
        await scene.settle();
        assert.equal(received(scene, buffers), undefined, 'two are not enough');
        buffers.push(...giveBuffers(scene, 7, 100));
        await scene.settle();
        for (let n = 1; n < 4; n++) assert.deepEqual(received(scene, buffers), frameTo(OWN, 250, n));
      }
    });
  });

describe('virtio-net', () => {
  test('what is for another is dropped, and so is what is no frame', async () => {
    const scene = device({}, {});
    const buffers = giveBuffers(scene, 5, 1526);
    send(scene, frameTo(OTHER, 60));
    send(scene, frameTo(OWN, 13));
    send(scene, frameTo(OWN, 1519));
    scene.offer(TX, scene.out(new Uint8Array(8)));
    const lost = scene.out(frameTo(OWN, 60));
    scene.offer(TX, scene.out(new Uint8Array(HEADER)), lost);
    scene.memory.rights.fill(0, lost.iova + 20, lost.iova + 60);
    send(scene, frameTo(OWN, 61));
    await scene.settle();
    assert.deepEqual(received(scene, buffers), frameTo(OWN, 61));
    assert.equal(received(scene, buffers), undefined);
    for (let n = 0; n < 6; n++) assert.ok(scene.drivers[TX]!.collect(), 'all are used');
    assert.equal(scene.device.needsReset, undefined);
  });

  test('without mergeable buffers a frame that does not fit is lost, its buffer back empty', async () => {
    const scene = device({}, {});
    giveBuffers(scene, 1, 64);
    send(scene, frameTo(OWN, 60));
    await scene.settle();
    assert.equal(scene.drivers[RX]!.collect()?.length, 0);
  });

  test('frames wait for buffers, up to the room on the wire', async () => {
    const scene = device({}, { size: 128 });
    for (let n = 0; n < 50; n++) send(scene, frameTo(OWN, 60, n));
    await scene.settle();
    assert.equal(scene.device.busy(), false, 'it waits without working');
    const buffers = giveBuffers(scene, 50, 100);
    await scene.settle();
    for (let n = 0; n < 50; n++) assert.deepEqual(received(scene, buffers), frameTo(OWN, 60, n));
  });

  test('what arrived before the driver was ready is not for it', async () => {
    const scene = device({}, {});
    send(scene, frameTo(OWN, 60));
    await scene.settle();
    scene.device.status = 0;
    scene.start();
    const buffers = giveBuffers(scene, 1, 100);
    await scene.settle();
    assert.equal(received(scene, buffers), undefined);
  });

  test('the configuration says address, link, pairs and MTU (§5.1.4)', () => {
    const wires = new Wires();
    const scene = device({ link: 'w', pairs: '3', mtu: '9000' }, {}, wires);
    const view = () => new DataView(scene.device.config.slice().buffer);
    assert.deepEqual([...scene.device.config.subarray(0, 6)], bytesOf(OWN));
    assert.deepEqual(
      [6, 8, 10].map((at) => view().getUint16(at, true)),
      [0, 3, 9000],
    );
    wires.end('w');
    assert.equal(view().getUint16(6, true), 1);
    assert.equal(scene.device.queues.length, 7);
  });

  test('the control queue has a group of its own, wherever it is', () => {
    const scene = device({ pairs: '2' }, {});
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((queue) => scene.device.groupOf(queue)),
      [0, 0, 0, 0, 1],
    );
    scene.device.accept(PLAIN & ~NetFeature.MQ);
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((queue) => scene.device.groupOf(queue)),
      [0, 0, 1, 0, 0],
    );
    assert.equal(scene.device.groups, 2);
  });

  test('with more pairs in use, a flow is received in the pair that it is sent in (§5.1.6.5.6)', async () => {
    const scene = device({ pairs: '2' }, {});
    const first = giveBuffers(scene, 2, 100, 0);
    const second = giveBuffers(scene, 2, 100, 2);
    send(scene, frameTo(OWN, 60, 1), 1);
    await scene.settle();
    assert.deepEqual(received(scene, first, 0), frameTo(OWN, 60, 1), 'one pair is in use at first');
    assert.equal(await command(scene, 4, [4, 0, 2, 0]), 0);
    send(scene, frameTo(OWN, 60, 2), 1);
    await scene.settle();
    assert.deepEqual(received(scene, second, 2), frameTo(OWN, 60, 2));
  });
});

/** One command. @returns its answer: 0 OK, 1 error. */
async function command(
  scene: VirtioScene,
  queue: number,
  bytes: readonly number[],
): Promise<number | undefined> {
  const answer = scene.in(1);
  const [kind, what, ...data] = bytes;
  scene.offer(queue, scene.out(Uint8Array.of(kind!, what!)), scene.out(Uint8Array.from(data)), answer);
  await scene.settle();
  assert.equal(scene.drivers[queue]!.collect()?.length, 1);
  return scene.bytesOf(answer)[0];
}

describe('commands of virtio-net', () => {
  const list = (...addresses: string[]) => [addresses.length, 0, 0, 0, ...addresses.flatMap(bytesOf)];

  test('an address is set, and is in the configuration', async () => {
    const scene = device({}, {});
    assert.equal(await command(scene, 2, [1, 1, ...bytesOf(OTHER)]), 0);
    assert.deepEqual([...scene.device.config.subarray(0, 6)], bytesOf(OTHER));
    assert.equal(await command(scene, 2, [1, 1, 2, 3]), 1);
    assert.deepEqual([...scene.device.config.subarray(0, 6)], bytesOf(OTHER));
  });

  test('modes and lists decide what is received', async () => {
    const scene = device({}, {});
    const buffers = giveBuffers(scene, 8, 100);
    const arrives = async (address: string) => {
      send(scene, frameTo(address, 60));
      await scene.settle();
      return received(scene, buffers) !== undefined;
    };
    assert.equal(await arrives(OTHER), false);
    assert.equal(await command(scene, 2, [1, 0, ...list(OTHER), ...list()]), 0);
    assert.equal(await arrives(OTHER), true);
    assert.equal(await arrives('01:00:5e:00:00:01'), false);
    assert.equal(await command(scene, 2, [0, Mode.ALLMULTI, 1]), 0);
    assert.equal(await arrives('01:00:5e:00:00:01'), true);
    assert.equal(await command(scene, 2, [0, Mode.NOBCAST, 1]), 0);
    assert.equal(await arrives(BROADCAST), false);
    assert.equal(await command(scene, 2, [0, Mode.PROMISC, 1]), 0);
    assert.equal(await arrives(BROADCAST), true);
  });

  test('a command that is wrong or not negotiated is an error and changes nothing', async () => {
    const scene = device({ pairs: '2' }, {});
    for (const bytes of [
      [0, 6, 1],
      [0, 0],
      [1, 0, ...list(OTHER)],
      [1, 0, 255, 255, 255, 255],
      [4, 0, 0, 0],
      [4, 0, 3, 0],
      [4, 0, 1],
      [4, 1, 1, 0],
      [9, 0, 0],
    ])
      assert.equal(await command(scene, 4, bytes), 1, `${bytes}`);
    const bare = device({}, { features: NetFeature.CTRL_VQ });
    for (const bytes of [
      [0, 0, 1],
      [0, 2, 1],
      [1, 1, ...bytesOf(OTHER)],
      [1, 0, ...list(), ...list()],
      [4, 0, 1, 0],
    ])
      assert.equal(await command(bare, 2, bytes), 1, `${bytes}`);
    assert.deepEqual([...bare.device.config.subarray(0, 6)], bytesOf(OWN));
  });

  test('a command without room for an answer needs a reset', async () => {
    const scene = device({}, {});
    scene.offer(2, scene.out(Uint8Array.of(0, 0, 1)));
    await scene.settle();
    assert.equal(scene.device.needsReset, 'queue 2: a command of 3 bytes has no room for its answer');
  });

  test('random commands never end the device', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 0, maxLength: 40 }),
        fc.bigInt(0n, ALL),
        async (bytes, features) => {
          const scene = device({ pairs: '2' }, { features: features | NetFeature.CTRL_VQ });
          const queue = (features & NetFeature.MQ) === 0n ? 2 : 4;
          const answer = scene.in(1);
          scene.offer(queue, scene.out(bytes), answer);
          await scene.settle();
          assert.equal(scene.device.needsReset, undefined);
          assert.ok(scene.bytesOf(answer)[0]! <= 1);
        },
      ),
    );
  });
});

test('lists that are too long for the filter take all of their kind', () => {
  const filter = new ReceiveFilter();
  const own = Uint8Array.from(bytesOf(OWN));
  const many = new Uint8Array(65 * 6);
  filter.setLists(new Uint8Array(), new Uint8Array());
  assert.equal(filter.takes(frameTo(OTHER, 14), 0, own), false);
  assert.equal(filter.takes(frameTo('01:00:5e:00:00:01', 14), 0, own), false);
  filter.setLists(many, many);
  assert.equal(filter.takes(frameTo(OTHER, 14), 0, own), true);
  assert.equal(filter.takes(frameTo('01:00:5e:00:00:01', 14), 0, own), true);
});

test('options that are wrong are refused with a sentence', () => {
  const make = (options: Record<string, string>) => () => new FakeHost().make(createNet, options);
  assert.throws(make({ speed: '1' }), /virtio-net has no option "speed" \(it has link, mac, pairs, mtu\)/);
  assert.throws(make({ mac: '01:00:00:00:00:01' }), /mac "01:00:00:00:00:01" is not the address of a device/);
  assert.throws(make({ mac: '02:00' }), /mac "02:00" is not the address/);
  assert.throws(make({ pairs: '33' }), /pairs "33" is not a number from 1 to 32/);
  assert.throws(make({ mtu: '10' }), /mtu "10" is not a number from 68 to 65535/);
});

test('a link that comes or goes is a change of the configuration, which the driver is told', () => {
  const wires = new Wires();
  const scene = device({ link: 'w' }, {}, wires);
  const outside = wires.outside('w');
  assert.equal(scene.device.config[6], 0);
  const { configInterrupts } = scene.device;
  for (const [n, up] of [true, false, true].entries()) {
    outside.isUp = up;
    assert.ok(scene.device.busy(), 'nobody would look at the change');
    scene.device.step();
    assert.equal(scene.device.busy(), false);
    assert.deepEqual(
      [scene.device.config[6], scene.device.configInterrupts],
      [up ? 1 : 0, configInterrupts + n + 1],
    );
  }
});
