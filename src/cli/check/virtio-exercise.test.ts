/** What VirtioExercise finds in virtio models, and that it finds nothing in one that is right. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ModelCalls } from '../../devices/model-calls.js';
import createBlk from '../../devices/virtio/blk.js';
import type { Chain } from '../../devices/virtio/chain.js';
import type { VirtioHost, VirtioModel } from '../../devices/virtio/virtio-model.js';
import type { Virtqueue } from '../../devices/virtio/virtqueue.js';
import { VirtioExercise } from './virtio-exercise.js';

const bytes = new Uint8Array(8192).fill(1);
const virtio = { deviceId: 4, features: 0n, queues: 2 };

/** Fills a buffer and puts it back. */
function answer(queue: Virtqueue, buffer: Chain): void {
  for (let at = 0; at < buffer.writable; at += bytes.length)
    buffer.write(at, bytes, 0, Math.min(bytes.length, buffer.writable - at));
  queue.put(buffer, Math.min(buffer.written, buffer.writable));
}

/** A model that is right, but for `wrong`; `each` is what it does with a buffer. */
function model(wrong: object, each = answer): VirtioModel {
  return {
    virtio,
    config: new Uint8Array(8),
    serve(queue) {
      for (let buffer = queue.take(); buffer !== undefined; buffer = queue.take()) each(queue, buffer);
    },
    reset() {},
    ...wrong,
  };
}

const exercised = (make: (host: VirtioHost) => VirtioModel, seed = 1, count = 400) =>
  new VirtioExercise(make, seed, new ModelCalls('the device')).run(count);

/** A model that is busy from its first buffer on. */
function busyModel(rest: object): VirtioModel {
  let busy = false;
  const serve = (queue: Virtqueue) => {
    for (let buffer = queue.take(); buffer !== undefined; buffer = queue.take()) answer(queue, buffer);
    busy = true;
  };
  const reset = () => {
    busy = false;
  };
  return model({ serve, busy: () => busy, reset, ...rest });
}

let changes = 0;
let asked = false;
const wrong: readonly [rule: string, make: (host: VirtioHost) => VirtioModel, sentence: RegExp][] = [
  ['throws', () => model({}, () => assert.fail('no')), /^AssertionError.*: no$/],
  [
    'returns a promise',
    () => model({ writeConfig: async () => {} }),
    /is async|writeConfig returned a promise/,
  ],
  [
    'puts a buffer back twice',
    () => model({}, (queue, buffer) => [1, 2].forEach(() => void answer(queue, buffer))),
    /a buffer is put back twice/,
  ],
  ['keeps a buffer over a drain', () => model({}, () => {}), /a buffer of queue \d is not put back/],
  [
    'tells of more bytes than there are to write',
    () => model({}, (queue, buffer) => queue.put(buffer, buffer.writable + 1)),
    /^queue \d: \d+ bytes are said to be written of \d+ to write$/,
  ],
  [
    'tells of bytes that it has not written',
    () => model({}, (queue, buffer) => queue.put(buffer, buffer.writable)),
    /^queue \d: \d+ bytes are said to be written, and 0 were$/,
  ],
  [
    'is busy after a reset',
    () => busyModel({ reset() {}, step: () => false }),
    /^busy is true after a reset$/,
  ],
  ['never ends', () => busyModel({ step: () => true }), /^there is still work after 10000 steps/],
  [
    'has a configuration space of two lengths',
    () => Object.defineProperty(model({}), 'config', { get: () => new Uint8Array(8 + (changes++ % 2)) }),
    /config is not the Uint8Array of \d bytes any more/,
  ],
  ['counts changes by no number', () => model({ configChanges: Number.NaN }), /configChanges is NaN/],
  ['has a queue in a group that is none', () => model({ group: () => 3 }), /queue 0 is in group 3/],
  [
    'trusts lengths that it has read',
    () =>
      model({}, (queue, buffer) => {
        const head = new Uint8Array(1);
        buffer.read(0, head);
        bytes.slice(0, new Uint8Array(head[0]! > 200 ? -1 : 1).length);
        answer(queue, buffer);
      }),
    /Invalid typed array length/,
  ],
  [
    'keeps asking for timers',
    (host) =>
      model({
        start() {
          if (asked) return;
          for (asked = true; ; ) host.after(1_000_000_000, () => {});
        },
      }),
    /while 4096 timers wait/,
  ],
];

describe('check finds a virtio model that', () => {
  for (const [rule, make, sentence] of wrong)
    it(rule, () => {
      const sentences = exercisedOrRefused(make);
      assert.ok(
        sentences.some((each) => sentence.test(each)),
        sentences.join('\n'),
      );
    });
});

/** What there is to say of a model, also when it is refused at once. */
function exercisedOrRefused(make: (host: VirtioHost) => VirtioModel): readonly string[] {
  try {
    return exercised(make).findings.map(({ sentence }) => sentence);
  } catch (error) {
    return [(error as Error).message];
  }
}

describe('check of virtio', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ioasid-check-virtio-'));
  after(() => rmSync(directory, { recursive: true }));

  it('finds nothing wrong with a model that is right, and gets buffers through all its queues', () => {
    const { findings, remarks, counts } = exercised(() => model({}));
    assert.deepEqual([findings, remarks], [[], []]);
    assert.match(counts, /^(\d{3}) buffers \((\d{3}) put back\), \d{3} DMAs \(\d\d with a fault\)/);
  });

  it('finds nothing wrong with virtio-blk, whose requests end later', () => {
    const path = join(directory, 'disk.img');
    writeFileSync(path, new Uint8Array(1 << 20));
    const { findings, counts } = exercised((host) => createBlk(host, { file: path }) as VirtioModel, 3, 800);
    assert.deepEqual(findings, []);
    assert.match(counts, /^\d{3} buffers \(\d{3} put back\)/);
  });

  it('does the same again for the same seed', () => {
    const [one, same, other] = [1, 1, 2].map((seed) => exercised(() => model({}), seed).counts);
    assert.equal(one, same);
    assert.notEqual(one, other);
  });
});
