/** The network card in examples/: two of them on a wire, with a clock that the test moves. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { typescriptModel } from '../testkit/typescript-model.js';
import type { DeviceFactory } from './device-model.js';
import { FakeHost, settle } from './fake-host.js';
import { loadDevice } from './load.js';

const create = (await loadDevice(typescriptModel('examples/nic.ts'), '/')).factory as DeviceFactory;
const PASID = 7;
const RINGS = [0x10000, 0x20000] as const;
const PACKETS = [0x30000, 0x40000] as const;
const ROOM = 256;

/** A card with both rings set up, 4 descriptors each, and `moderation` microseconds. */
class Card {
  readonly host: FakeHost;
  readonly rings = [Buffer.alloc(64), Buffer.alloc(64)] as const;
  readonly packets = [Buffer.alloc(4 * ROOM), Buffer.alloc(4 * ROOM)] as const;
  readonly model;

  constructor(host: FakeHost, moderation: number) {
    this.host = host;
    this.model = host.make(create, { link: 'wire0' });
    this.set(0x04, PASID);
    this.set(0x08, moderation);
    for (const queue of [0, 1] as const) {
      host.map(PASID, RINGS[queue], this.rings[queue]);
      host.map(PASID, PACKETS[queue], this.packets[queue]);
      for (let n = 0; n < 4; n++) {
        this.rings[queue].writeUInt32LE(PACKETS[queue] + n * ROOM, 16 * n);
        this.rings[queue].writeUInt32LE(ROOM, 16 * n + 8);
      }
      this.set(0x20 + 0x20 * queue, RINGS[queue]);
      this.set(0x28 + 0x20 * queue, 4);
    }
  }

  set(offset: number, value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    this.model.writeBar(0, offset, bytes);
  }

  get(offset: number): number {
    const bytes = Buffer.alloc(4);
    this.model.readBar(0, offset, bytes);
    return bytes.readUInt32LE();
  }

  /** Length and status of a descriptor. */
  done(queue: 0 | 1, n: number): number[] {
    return [8, 12].map((field) => this.rings[queue].readUInt32LE(16 * n + field));
  }
}

function pair(moderation = 50): [Card, Card] {
  const [one, other] = [new FakeHost(), new FakeHost()];
  other.wires = one.wires;
  return [new Card(one, moderation), new Card(other, moderation)];
}

describe('the network card of examples/nic.ts', () => {
  test('hands packets to the card at the other end, each with its length', () => {
    const [a, b] = pair();
    b.set(0x4c, 3);
    for (const [n, words] of ['hello', 'wire'].entries()) {
      a.packets[0].write(words, n * ROOM);
      a.rings[0].writeUInt32LE(words.length, 16 * n + 8);
    }
    a.set(0x2c, 2);
    settle(a.model);
    settle(b.model);
    assert.deepEqual([b.done(1, 0), b.done(1, 1), b.get(0x50)], [[5, 1], [4, 1], 2]);
    assert.equal(b.packets[1].toString('latin1', 0, 5), 'hello');
    assert.equal(b.packets[1].toString('latin1', ROOM, ROOM + 4), 'wire');
    assert.equal(a.get(0x00), 1);
  });

  test('interrupts once for all packets of the time that it waits, and not after a reset', () => {
    const [a] = pair(50);
    a.set(0x2c, 2);
    settle(a.model);
    a.host.clock.advance(49);
    assert.deepEqual(a.host.interrupts, []);
    a.host.clock.advance(1);
    assert.deepEqual(a.host.interrupts, [0]);
    a.set(0x2c, 3);
    settle(a.model);
    a.host.reset(a.model);
    a.host.clock.advance(1000);
    assert.deepEqual(a.host.interrupts, [0]);
  });

  test('what does not fit or is not mapped is a status; packets wait for a descriptor', () => {
    const [a, b] = pair(0);
    b.rings[1].writeUInt32LE(8, 8);
    a.rings[0].writeUInt32LE(0x999000, 16);
    a.set(0x2c, 3);
    settle(a.model);
    assert.deepEqual(
      [a.done(0, 0), a.done(0, 1), a.done(0, 2)],
      [
        [ROOM, 1],
        [ROOM, 2],
        [ROOM, 1],
      ],
    );
    assert.equal(b.model.busy?.(), false);
    b.set(0x4c, 2);
    settle(b.model);
    assert.deepEqual(
      [b.done(1, 0), b.done(1, 1)],
      [
        [0, 3],
        [ROOM, 1],
      ],
    );
  });
});
