/** virtio-blk: each request of virtio 1.3 §5.2.6, on a real file. */
import assert from 'node:assert/strict';
import { statSync, truncateSync } from 'node:fs';
import { describe, test } from 'node:test';
import { BlkScene, SECTORS } from '../../testkit/blk-scene.js';
import { madeBytes } from '../../testkit/made-bytes.js';

const IN = 0;
const OUT = 1;
const FLUSH = 4;
const GET_ID = 8;
const DISCARD = 11;
const WRITE_ZEROES = 13;
const OK = 0;
const IO_ERROR = 1;
const UNSUPPORTED = 2;

function pattern(length: number, salt: number): Uint8Array {
  return madeBytes(length, (i) => (i * 7 + salt + (i >> 9)) & 0xff);
}

function segment(sector: number, sectors: number, flags = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, BigInt(sector), true);
  view.setUint32(8, sectors, true);
  view.setUint32(12, flags, true);
  return new Uint8Array(view.buffer);
}

test('one step takes writes of 2 MiB at most out of memory, and leaves the rest to the next', async () => {
  const scene = new BlkScene({ memory: 8 << 20 });
  const { memory } = scene;
  let bytes = 0;
  const read = memory.read.bind(memory);
  memory.read = (asid, iova, target, at, length) => {
    bytes += length;
    return read(asid, iova, target, at, length);
  };
  const requests = Array.from({ length: 10 }, () => scene.request(OUT, 0, pattern(512 << 10, 1)));
  const taken: number[] = [];
  for (let before = 0; scene.device.busy(); before = bytes) {
    if (!scene.device.step()) await new Promise((resolve) => setImmediate(resolve));
    taken.push(bytes - before);
  }
  assert.ok(Math.max(...taken) < 2.1 * 2 ** 20, `${taken}`);
  assert.ok(requests.every(({ status }) => status() === OK));
  assert.deepEqual(scene.file.slice(0, 512 << 10), pattern(512 << 10, 1));
});

for (const places of [false, true])
  test(`a step makes few accesses, whatever parts a buffer has; straight there: ${places}`, async () => {
    const scene = new BlkScene({ size: 256, places, content: pattern(SECTORS * 512, 5) });
    const { memory } = scene;
    memory.price = 20;
    const parts = Array.from({ length: 240 }, (_, n) => (n < 239 ? 1 : 785));
    const ask = async (type: number, sector: number) => {
      const request = scene.scattered(type, sector, parts);
      const made: number[] = [];
      for (let before = memory.effort; scene.device.busy(); before = memory.effort) {
        if (!scene.device.step()) await new Promise((resolve) => setImmediate(resolve));
        made.push((memory.effort - before) / 20);
      }
      assert.ok(Math.max(...made) < 130, `${made}`);
      assert.equal(scene.drivers[0]!.collect()?.length, type === IN ? 1025 : 1);
      assert.equal(request.status(), OK);
      return request.data();
    };
    assert.deepEqual(await ask(IN, 2), pattern(SECTORS * 512, 5).slice(1024, 2048));
    const written = await ask(OUT, 4);
    assert.deepEqual(scene.file.slice(2048, 3072), written);
  });

for (const [format, places] of [
  ['split', false],
  ['packed', false],
  ['split', true],
] as const)
  describe(`virtio-blk on ${format} rings${places ? ', straight to memory' : ''}`, () => {
    test('what is written is in the file, and is read again', async () => {
      const scene = new BlkScene({ format, places });
      const data = pattern(8 * 512, 3);
      assert.deepEqual(await scene.ask(OUT, 100, data), { status: OK, written: 1, data });
      assert.deepEqual(scene.file.slice(100 * 512, 108 * 512), data);
      assert.deepEqual(await scene.ask(IN, 100, 8 * 512), { status: OK, written: 8 * 512 + 1, data });
      assert.equal((await scene.ask(FLUSH, 0)).status, OK);
    });

    test('requests of more than a piece of 1 MiB are whole', async () => {
      const content = pattern(SECTORS * 512, 9);
      const scene = new BlkScene({ format, places, content, memory: 8 << 20 });
      const length = 1536 * 1024 + 512;
      assert.deepEqual((await scene.ask(IN, 1, length)).data, content.slice(512, 512 + length));
      const data = pattern(length, 77);
      assert.equal((await scene.ask(OUT, 2, data)).status, OK);
      assert.deepEqual(scene.file.slice(1024, 1024 + length), data);
    });

    test('hundreds of requests in all queues at once all end, each with its own data', async () => {
      const content = pattern(SECTORS * 512, 1);
      const words = { queues: '3' };
      const scene = new BlkScene({ format, places, content, words, size: 128, memory: 4 << 20 });
      const requests = Array.from({ length: 120 }, (_, n) => ({
        sector: (n * 31) % SECTORS,
        ...scene.request(IN, (n * 31) % SECTORS, 512, n % 3),
      }));
      await scene.settle();
      for (const { sector, status, data } of requests) {
        assert.equal(status(), OK);
        assert.deepEqual(data(), content.slice(sector * 512, sector * 512 + 512));
      }
      assert.equal(scene.drivers.map((driver) => [...collectAll(driver)].length).join(), '40,40,40');
    });
  });

function* collectAll(driver: { collect(): unknown }): Generator<unknown> {
  for (let used = driver.collect(); used !== undefined; used = driver.collect()) yield used;
}

describe('virtio-blk', () => {
  test('nothing outside the disk is read or written (§5.2.6)', async () => {
    const scene = new BlkScene();
    for (const [sector, bytes] of [
      [SECTORS, 512],
      [SECTORS, 0],
      [SECTORS - 1, 1024],
      [2 ** 52, 512],
    ] as const) {
      assert.equal((await scene.ask(IN, sector, bytes)).status, IO_ERROR);
      assert.equal((await scene.ask(OUT, sector, new Uint8Array(bytes))).status, IO_ERROR);
    }
    assert.equal(statSync(scene.path).size, SECTORS * 512);
    assert.equal((await scene.ask(IN, SECTORS - 1, 512)).status, OK);
  });

  test('GET_ID gives the serial, padded to 20 bytes', async () => {
    const scene = new BlkScene({ words: { serial: 'disk-7' } });
    const { status, written, data } = await scene.ask(GET_ID, 0, 20);
    assert.deepEqual([status, written], [OK, 21]);
    assert.equal(Buffer.from(data).toString('latin1'), 'disk-7'.padEnd(20, '\0'));
    assert.equal((await scene.ask(GET_ID, 0, 4)).written, 5);
    assert.equal((await scene.ask(GET_ID, 0, 64)).written, 21);
  });

  test('DISCARD and WRITE_ZEROES with and without UNMAP leave zeros (§5.2.6.2)', async () => {
    const content = pattern(SECTORS * 512, 5);
    for (const [type, flags] of [
      [DISCARD, 0],
      [WRITE_ZEROES, 0],
      [WRITE_ZEROES, 1],
    ] as const) {
      const scene = new BlkScene({ content });
      assert.equal((await scene.ask(type, 0, segment(16, 3000, flags))).status, OK);
      const expected = content.slice();
      expected.fill(0, 16 * 512, 3016 * 512);
      assert.deepEqual(scene.file, expected);
    }
  });

  test('a segment that is wrong changes nothing', async () => {
    const content = pattern(SECTORS * 512, 6);
    const scene = new BlkScene({ content });
    const two = Uint8Array.from([...segment(0, 8), ...segment(8, 8)]);
    for (const [type, data, status] of [
      [DISCARD, segment(5, 1, 1), UNSUPPORTED],
      [WRITE_ZEROES, segment(5, 1, 2), UNSUPPORTED],
      [WRITE_ZEROES, segment(5, 0), OK],
      [DISCARD, two, IO_ERROR],
      [DISCARD, new Uint8Array(8), IO_ERROR],
      [DISCARD, segment(SECTORS, 1), IO_ERROR],
      [WRITE_ZEROES, segment(SECTORS - 1, 2), IO_ERROR],
      [WRITE_ZEROES, segment(0, 0x10001), IO_ERROR],
      [99, new Uint8Array(), UNSUPPORTED],
    ] as const)
      assert.equal((await scene.ask(type, 0, data)).status, status);
    assert.deepEqual(scene.file, content);
  });

  test('a sector in the header of a request that has none is an error (§5.2.6)', async () => {
    const content = pattern(SECTORS * 512, 6);
    const scene = new BlkScene({ content });
    for (const [type, data] of [
      [FLUSH, new Uint8Array()],
      [GET_ID, 20],
      [DISCARD, segment(0, 8)],
      [WRITE_ZEROES, segment(0, 8)],
    ] as const)
      assert.equal((await scene.ask(type, 3, data)).status, IO_ERROR);
    assert.deepEqual(scene.file, content);
  });

  test('a read-only disk says so and is never changed', async () => {
    const content = pattern(SECTORS * 512, 8);
    const scene = new BlkScene({ content, words: { readonly: '1' } });
    assert.equal(scene.device.offered & (1n << 5n), 1n << 5n);
    assert.equal((await scene.ask(OUT, 0, new Uint8Array(512))).status, IO_ERROR);
    assert.equal((await scene.ask(DISCARD, 0, segment(0, 8))).status, IO_ERROR);
    assert.equal((await scene.ask(WRITE_ZEROES, 0, segment(0, 8))).status, IO_ERROR);
    assert.equal((await scene.ask(IN, 0, 512)).status, OK);
    assert.deepEqual(scene.file, content);
  });

  test('data that faults is an error of the request, and the queue goes on', async () => {
    const scene = new BlkScene();
    for (const [type, data] of [
      [IN, 1024],
      [OUT, new Uint8Array(1024)],
    ] as const) {
      const request = scene.request(type, 0, data);
      scene.memory.rights.fill(0, request.body.iova + 512, request.body.iova + 1024);
      await scene.settle();
      assert.equal(request.status(), IO_ERROR);
      assert.equal(scene.drivers[0]!.collect()?.id, request.id);
    }
    assert.equal((await scene.ask(FLUSH, 0)).status, OK);
  });

  test('a header that is too short is an error; no place for a status needs a reset', async () => {
    const scene = new BlkScene();
    const status = scene.in(1);
    scene.offer(0, scene.out(new Uint8Array(8)), status);
    await scene.settle();
    assert.equal(scene.bytesOf(status)[0], IO_ERROR);
    scene.offer(0, scene.out(new Uint8Array(16)));
    await scene.settle();
    assert.match(
      scene.device.needsReset ?? '',
      /^queue 0: a request of 16 bytes has no room for its status$/,
    );
    assert.equal(scene.device.status & 0x40, 0x40);
    assert.equal(scene.device.configInterrupts, 1);
  });

  test('a file that was cut gives errors', async () => {
    const scene = new BlkScene();
    truncateSync(scene.path, 512);
    assert.equal((await scene.ask(IN, 0, 512)).status, OK);
    assert.equal((await scene.ask(IN, 0, 1024)).status, IO_ERROR);
  });
});

describe('the end of what is under way', () => {
  test('a drain ends requests at once, and nothing of them comes later', async () => {
    const scene = new BlkScene({ memory: 4 << 20 });
    const data = pattern(512, 4);
    const requests = Array.from({ length: 20 }, (_, n) => scene.request(OUT, n, data));
    const read = scene.request(IN, 4000, 512);
    scene.device.step();
    assert.ok(scene.device.queues[0]!.outstanding > 0);
    scene.device.suspend();
    assert.equal(scene.device.queues[0]!.outstanding, 0);
    for (const { status } of [...requests, read]) assert.equal(status(), OK);
    const before = scene.memory.bytes.slice();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(scene.device.busy(), false);
    assert.deepEqual(scene.memory.bytes, before);
    for (let n = 0; n < 20; n++) assert.deepEqual(scene.file.slice(n * 512, n * 512 + 512), data);
  });

  test('a drain waits for the disk where others are served meanwhile, and takes nothing', async () => {
    const scene = new BlkScene();
    const { device } = scene;
    const first = [0, 1, 2].map((n) => scene.request(OUT, n, pattern(512, n)));
    device.step();
    assert.equal(device.drainSome(), 'waits');
    const second = scene.request(IN, 3, 512);
    while (device.drainSome()) {
      assert.deepEqual([device.busy(), device.step()], [false, false]);
      await new Promise(setImmediate);
    }
    assert.deepEqual(
      [device.queues[0]!.outstanding, ...first.map(({ status }) => status())],
      [0, OK, OK, OK],
    );
    assert.notEqual(second.status(), OK);
    await scene.settle();
    assert.equal(second.status(), OK);
  });

  test('a drain ends one request after the other, and takes none meanwhile', async () => {
    const scene = new BlkScene();
    const first = [0, 1, 2].map((n) => scene.request(OUT, n, pattern(512, n)));
    scene.device.step();
    const queue = scene.device.queues[0]!;
    assert.equal(queue.outstanding, 3);
    assert.equal(scene.device.drainSome(undefined, true), true);
    const second = scene.request(IN, 3, 512);
    assert.deepEqual([queue.outstanding, scene.device.busy(), scene.device.step()], [2, false, false]);
    assert.equal(scene.device.drainSome(undefined, true), true);
    assert.equal(scene.device.drainSome(undefined, true), false);
    assert.deepEqual([queue.outstanding, ...first.map(({ status }) => status())], [0, OK, OK, OK]);
    await scene.settle();
    assert.equal(second.status(), OK);
  });

  test('what has gone to memory, and nobody was told, is done again at the end, and counts once', () => {
    const content = pattern(8 << 20, 5);
    const scene = new BlkScene({ places: true, content, memory: 16 << 20 });
    // More than one step deals with.
    const long = scene.request(IN, 1, 6 << 20);
    scene.device.step();
    assert.ok(scene.memory.placed > 0);
    assert.ok(scene.device.queues[0]!.outstanding > 0);
    scene.device.suspend();
    assert.equal(long.status(), OK);
    assert.deepEqual(long.data(), content.slice(512, 512 + (6 << 20)));
    assert.equal(scene.drivers[0]!.collect()?.length, (6 << 20) + 1);
  });

  test('a long read is shown before the next one is read', () => {
    const scene = new BlkScene({ memory: 8 << 20, places: true, content: new Uint8Array(8 << 20) });
    const ids = Array.from({ length: 4 }, (_, n) => scene.request(IN, 2048 * n, 1 << 20).id);
    const seen: number[] = [];
    for (let steps = 0; scene.device.busy() && steps < 100; steps++) {
      scene.device.step();
      const used = scene.drivers[0]!.collect();
      if (used !== undefined) seen.push(used.id);
      assert.equal(scene.drivers[0]!.collect(), undefined, 'one at a time');
    }
    assert.deepEqual(seen, ids);
  });

  test('what would go straight to memory that may not be written is an error of the request', async () => {
    const scene = new BlkScene({ places: true });
    const request = scene.request(IN, 0, 4096);
    scene.memory.rights[scene.memory.rights.indexOf(2) + 100] = 0;
    await scene.settle();
    assert.equal(request.status(), IO_ERROR);
    assert.equal(scene.memory.placed, 0);
  });

  for (const places of [false, true])
    test(`a read into hundreds of parts is whole${places ? ', by one call' : ''}`, async () => {
      const content = pattern(1 << 20, 11);
      const scene = new BlkScene({ places, content, size: 256, memory: 4 << 20 });
      const header = new Uint8Array(16);
      const pages = Array.from({ length: 200 }, () => scene.in(4096));
      const order = pages.map((_, n) => (n < 100 ? n : 299 - n));
      const status = scene.in(1);
      scene.offer(0, scene.out(header), ...order.map((n) => pages[n]!), status);
      await scene.settle();
      assert.deepEqual([...scene.bytesOf(status)], [OK]);
      for (const [at, n] of order.entries())
        assert.deepEqual(scene.bytesOf(pages[n]!), content.subarray(at * 4096, (at + 1) * 4096));
    });

  test('what is kicked while suspended is served at resume', async () => {
    const scene = new BlkScene();
    scene.device.suspend();
    const request = scene.request(GET_ID, 0, 20);
    assert.equal(scene.device.busy(), false);
    scene.device.resume();
    await scene.settle();
    assert.equal(request.status(), OK);
  });

  test('a reset drops requests: no byte of memory changes after it', async () => {
    const scene = new BlkScene({ memory: 16 << 20, content: new Uint8Array(16 << 20) });
    // More than is read at once, should it be in memory.
    scene.request(IN, 0, 10 << 20);
    scene.device.step();
    assert.ok(scene.device.queues[0]!.outstanding > 0);
    scene.device.status = 0;
    const before = scene.memory.bytes.slice();
    assert.equal(scene.device.busy(), false);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(scene.memory.bytes, before);
  });

  test('a write after a reset is not overtaken by one from before it', async () => {
    for (let round = 0; round < 20; round++) {
      const scene = new BlkScene();
      const old = scene.request(OUT, 0, pattern(64 * 512, 1));
      scene.device.step();
      scene.device.status = 0;
      assert.equal(old.status(), 0xee);
      scene.start();
      const data = pattern(64 * 512, 2);
      assert.equal((await scene.ask(OUT, 0, data)).status, OK);
      await new Promise((resolve) => setTimeout(resolve, 2));
      assert.deepEqual(scene.file.slice(0, 64 * 512), data);
    }
  });
});
