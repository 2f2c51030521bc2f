/** Queues of every kind: created, deleted, full; their interrupts, and their doorbells in memory. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { DATA, DOORBELLS, NvmeDriver, Reg } from '../../testkit/nvme-driver.js';

const DELETE_SQ = 0;
const CREATE_SQ = 1;
const DELETE_CQ = 4;
const CREATE_CQ = 5;
const BUFFERS = 0x7c;
const UNMAPPED = 0x7000_0000;

let driver: NvmeDriver;
beforeEach(() => {
  driver = new NvmeDriver([1 << 20]);
  driver.enable();
});
afterEach(() => driver.close());

describe('queues', () => {
  const cq = (id: number, size = 16, vector = 0, flags = 3) => ({
    opcode: CREATE_CQ,
    prp1: DATA,
    dwords: [id | ((size - 1) << 16), flags | (vector << 16)],
  });
  const sq = (id: number, completions: number, size = 16, flags = 1) => ({
    opcode: CREATE_SQ,
    prp1: DATA + 0x10000,
    dwords: [id | ((size - 1) << 16), flags | (completions << 16)],
  });

  for (const [what, words, status] of [
    ['completion queue 0', () => cq(0), 0x101],
    ['a completion queue beyond the last', () => cq(5), 0x101],
    ['a completion queue that is there', () => cq(1), 0x101],
    ['a completion queue of one entry', () => cq(2, 1), 0x102],
    ['a vector that is not there', () => cq(2, 16, 5), 0x108],
    ['a completion queue at an offset', () => ({ ...cq(2), prp1: DATA + 8 }), 0x13],
    ['pages of a queue that are not there', () => ({ ...cq(2, 1024, 0, 2), prp1: UNMAPPED }), 0x04],
    ['a submission queue for no completion queue', () => sq(1, 3), 0x100],
    ['a submission queue for the admin completions', () => sq(1, 0), 0x101],
    ['a submission queue of one entry', () => sq(1, 1, 1), 0x102],
    ['deletion of an admin queue', () => ({ opcode: DELETE_SQ, dwords: [0] }), 0x101],
    ['deletion of a queue that is not there', () => ({ opcode: DELETE_CQ, dwords: [4] }), 0x101],
  ] as const) {
    test(`${what}: status 0x${status.toString(16)}`, async () => {
      await driver.succeed(cq(1));
      assert.equal((await driver.do(words())).status, status);
    });
  }

  test('a completion queue is deleted after its submission queues', async () => {
    await driver.createPair(1);
    assert.equal((await driver.do({ opcode: DELETE_CQ, dwords: [1] })).status, 0x10c);
    await driver.succeed({ opcode: DELETE_SQ, dwords: [1] });
    await driver.succeed({ opcode: DELETE_CQ, dwords: [1] });
    await driver.createPair(1);
  });

  test('one step takes writes of 1 MiB out of memory, and leaves the rest to the next', async () => {
    const queue = await driver.createPair(1, 64);
    for (let n = 0; n < 31; n++) driver.view.setBigUint64(DATA + 8 * n, BigInt(2 * DATA - 4096), true);
    const { read } = driver.host.dma;
    let bytes = 0;
    driver.host.dma.read = (pasid, iova, target, offset = 0, length = target.length - offset) => {
      if (iova > DATA) bytes += length;
      return read(pasid, iova, target, offset, length);
    };
    const words = { opcode: 1, nsid: 1, prp1: DATA + 4096, prp2: DATA, dwords: [0, 0, 255] };
    for (let n = 0; n < 20; n++) driver.write(queue, words);
    driver.ring(queue);
    driver.model.step?.();
    assert.equal(bytes, 1 << 20);
    for (let n = 0; n < 20; n++) assert.equal((await driver.next(queue)).status, 0);
    assert.equal(bytes, 20 << 17);
  });

  test('deletion of a submission queue completes after the last of its commands', async () => {
    const queue = await driver.createPair(1);
    for (let n = 0; n < 5; n++) driver.write(queue, { opcode: 0, nsid: 1 });
    driver.ring(queue);
    driver.work();
    await driver.succeed({ opcode: DELETE_SQ, dwords: [1] });
    let done = 0;
    while (driver.take(queue) !== undefined) done++;
    assert.equal(done, 5);
  });

  test('a full completion queue holds its commands back, and loses none', async () => {
    const queue = await driver.createPair(1, 4);
    let taken = 0;
    for (let round = 0; round < 5; round++) {
      for (let n = 0; n < 3; n++) driver.write(queue, { opcode: 0, nsid: 1 });
      driver.ring(queue);
      for (let turns = 0; turns < 200; turns++) {
        driver.work();
        await new Promise(setImmediate);
      }
      // Only every other time does the driver look.
      if (round % 2 === 1) continue;
      while (driver.take(queue) !== undefined) taken++;
      driver.acknowledge(queue);
    }
    await driver.settle();
    while (driver.take(queue) !== undefined) taken++;
    driver.acknowledge(queue);
    await driver.settle();
    while (driver.take(queue) !== undefined) taken++;
    assert.ok(taken >= 9 && taken <= 15, `${taken}`);
  });

  test('of 1024 entries in scattered pages work over their whole size, and around their end', async () => {
    const page = (n: number) => DATA + 0x1_0000 + ((n * 7) % 32) * 4096;
    const lists = [DATA, DATA + 0x1000];
    for (let n = 0; n < 4; n++) driver.view.setBigUint64(lists[0]! + 8 * n, BigInt(page(n)), true);
    for (let n = 0; n < 16; n++) driver.view.setBigUint64(lists[1]! + 8 * n, BigInt(page(4 + n)), true);
    await driver.succeed({ opcode: CREATE_CQ, prp1: lists[0]!, dwords: [1 | (1023 << 16), 2] });
    await driver.succeed({ opcode: CREATE_SQ, prp1: lists[1]!, dwords: [1 | (1023 << 16), 1 << 16] });
    for (let n = 0; n < 1500; n++) {
      const index = n % 1024;
      const at = page(4 + Math.floor(index / 64)) + (index % 64) * 64;
      driver.memory.fill(0, at, at + 64);
      driver.view.setUint32(at, 0x7f | (n << 16), true);
      driver.set(DOORBELLS + 8, (index + 1) % 1024);
      driver.work();
      const entry = page(Math.floor(index / 256)) + (index % 256) * 16;
      assert.equal(driver.view.getUint16(entry + 12, true), n & 0xffff);
      assert.equal(driver.view.getUint16(entry + 14, true) & 1, n < 1024 ? 1 : 0);
      driver.set(DOORBELLS + 12, (index + 1) % 1024);
    }
  });
});

describe('a batch', () => {
  test('of commands is fetched by one read, and of completions written by one write', async () => {
    const queue = await driver.createPair(1, 64);
    const { dma } = driver.host;
    const moved: string[] = [];
    const { read, write } = dma;
    dma.read = (pasid, iova, target, at = 0, length = target.length - at) => {
      moved.push(`read ${length} at ${iova - queue.submission}`);
      return read(pasid, iova, target, at, length);
    };
    dma.write = (pasid, iova, source, at = 0, length = source.length - at) => {
      moved.push(`write ${length} at ${iova - queue.completion}`);
      return write(pasid, iova, source, at, length);
    };
    for (let n = 0; n < 8; n++) driver.write(queue, { opcode: 0x7f });
    driver.ring(queue);
    driver.work();
    assert.deepEqual(moved, ['read 512 at 0', 'write 128 at 0']);
  });

  for (const size of [2, 31, 33, 100])
    test(`around the end of ${size} entries does each command once, in order`, async () => {
      const queue = await driver.createPair(1, size);
      let [asked, done] = [0, 0];
      while (done < 300) {
        for (let n = asked % (size - 1); n >= 0; n--) driver.write(queue, { opcode: 0x7f, id: asked++ });
        driver.ring(queue);
        driver.work();
        for (let seen = driver.take(queue); seen !== undefined; seen = driver.take(queue)) {
          assert.deepEqual([seen.id, seen.head, seen.status], [done, (done + 1) % size, 1]);
          done++;
        }
        assert.equal(done, asked);
        driver.acknowledge(queue);
      }
    });

  test('is in memory before what an admin command completes with, and before its queue is gone', async () => {
    const queue = await driver.createPair(1);
    driver.write(queue, { opcode: 0x7f });
    driver.ring(queue);
    driver.write(driver.admin, { opcode: DELETE_SQ, dwords: [1] });
    driver.write(driver.admin, { opcode: DELETE_CQ, dwords: [1] });
    driver.ring(driver.admin);
    const order: number[] = [];
    const { write } = driver.host.dma;
    driver.host.dma.write = (pasid, iova, source, at, length) => {
      if (iova >= queue.completion) order.push(1);
      else if (iova >= driver.admin.completion) order.push(0);
      return write(pasid, iova, source, at, length);
    };
    await driver.settle();
    assert.deepEqual(order, [1, 0, 0]);
    assert.equal(driver.take(queue)?.status, 1);
  });
});

describe('interrupts', () => {
  test('a queue has its vector, told once for what a step has completed', async () => {
    const queue = await driver.createPair(3);
    driver.host.interrupts.length = 0;
    for (let n = 0; n < 4; n++) driver.write(queue, { opcode: 0x7f, nsid: 1 });
    driver.ring(queue);
    driver.work();
    assert.deepEqual(driver.host.interrupts, [3]);
  });

  test('the line is high until the completions are taken, and masks hold both back', async () => {
    driver.write(driver.admin, { opcode: 0x7f });
    driver.ring(driver.admin);
    driver.host.interrupts.length = 0;
    driver.set(Reg.INTMS, 1);
    driver.work();
    assert.deepEqual([driver.host.line, driver.host.interrupts], [false, []]);
    assert.equal(driver.get(Reg.INTMC), 1);
    driver.set(Reg.INTMC, 1);
    assert.deepEqual([driver.host.line, driver.host.interrupts], [true, [0]]);
    driver.take(driver.admin);
    driver.acknowledge(driver.admin);
    assert.equal(driver.host.line, false);
  });
});

describe('doorbells in memory', () => {
  const SHADOWS = DATA + 0x2000;
  const INDICES = DATA + 0x3000;

  test('are followed while the controller works, and say when the register is to be written', async () => {
    const queue = await driver.createPair(1);
    await driver.succeed({ opcode: BUFFERS, prp1: SHADOWS, prp2: INDICES });
    driver.write(queue, { opcode: 0x7f, nsid: 1 });
    driver.view.setUint32(SHADOWS + 8, 1, true);
    driver.work();
    assert.equal(driver.take(queue), undefined, 'nobody has told');
    driver.set(DOORBELLS + 8, 1);
    driver.write(queue, { opcode: 0x7f, nsid: 1 });
    driver.view.setUint32(SHADOWS + 8, 2, true);
    driver.work();
    assert.notEqual(driver.take(queue), undefined);
    assert.notEqual(driver.take(queue), undefined, 'what came meanwhile');
    assert.equal(driver.view.getUint32(INDICES + 8, true), 2);
  });

  test('a register that is heard after what was stored later fetches no command twice', async () => {
    const queue = await driver.createPair(1);
    await driver.succeed({ opcode: BUFFERS, prp1: SHADOWS, prp2: INDICES });
    for (let n = 0; n < 3; n++) driver.write(queue, { opcode: 0x7f, nsid: 1 });
    driver.view.setUint32(SHADOWS + 8, 3, true);
    driver.set(DOORBELLS + 8, 1);
    driver.work();
    driver.set(DOORBELLS + 8, 2);
    driver.work();
    for (let n = 0; n < 3; n++) assert.notEqual(driver.take(queue), undefined);
    driver.view.setUint32(SHADOWS + 12, 3, true);
    driver.set(DOORBELLS + 12, 1);
    driver.work();
    assert.equal(driver.take(queue), undefined);
    assert.deepEqual(driver.host.notes, []);
  });

  test('a full completion queue goes on by its word in memory', async () => {
    const queue = await driver.createPair(1, 2);
    await driver.succeed({ opcode: BUFFERS, prp1: SHADOWS, prp2: INDICES });
    for (let n = 0; n < 5; n++) {
      driver.write(queue, { opcode: 0x7f, nsid: 1 });
      driver.view.setUint32(SHADOWS + 8, queue.tail, true);
      driver.ring(queue);
      driver.work();
      assert.notEqual(driver.take(queue), undefined);
      driver.view.setUint32(SHADOWS + 12, queue.head, true);
    }
  });

  test('of the admin queues are heard, where a driver stores into them', async () => {
    await driver.succeed({ opcode: BUFFERS, prp1: SHADOWS, prp2: INDICES });
    const { admin } = driver;
    const tell = () => driver.view.setUint32(SHADOWS, admin.tail, true);
    assert.equal(driver.view.getUint32(SHADOWS, true), admin.tail, 'where the driver is');
    driver.write(admin, { opcode: 0x7f });
    tell();
    driver.ring(admin);
    driver.write(admin, { opcode: 0x7f });
    tell();
    driver.work();
    assert.notEqual(driver.take(admin), undefined);
    assert.notEqual(driver.take(admin), undefined, 'what came meanwhile');
    driver.view.setUint32(SHADOWS + 4, admin.head, true);
    driver.set(DOORBELLS, admin.tail - 1);
    driver.work();
    assert.deepEqual(driver.host.notes, [], 'a register that is heard late');
    driver.write(admin, { opcode: 0x7f });
    tell();
    driver.ring(admin);
    driver.work();
    assert.notEqual(driver.take(admin), undefined);
  });

  test('of the admin queues change nothing for a driver that writes their registers alone', async () => {
    await driver.succeed({ opcode: BUFFERS, prp1: SHADOWS, prp2: INDICES });
    for (let n = 0; n < 80; n++) assert.equal((await driver.do({ opcode: 0x7f })).status, 0x01);
    assert.deepEqual(driver.host.notes, []);
  });

  test('of the admin queues are left alone, once a driver has shown that it does not keep them', async () => {
    await driver.succeed({ opcode: BUFFERS, prp1: SHADOWS, prp2: INDICES });
    assert.equal((await driver.do({ opcode: 0x7f })).status, 0x01);
    // It has other uses for that memory, while the controller is enabled.
    for (const value of [0, 0xee]) {
      driver.memory.fill(value, SHADOWS, INDICES + 0x1000);
      for (let n = 0; n < 40; n++) assert.equal((await driver.do({ opcode: 0x7f })).status, 0x01);
      assert.ok(driver.memory.subarray(SHADOWS, INDICES + 0x1000).every((byte) => byte === value));
    }
    assert.deepEqual(driver.host.notes, []);
  });

  test('of the admin queues are heard, though commands came before the driver knew of them', async () => {
    const { admin } = driver;
    driver.write(admin, { opcode: BUFFERS, prp1: SHADOWS, prp2: INDICES });
    driver.ring(admin);
    driver.work();
    driver.write(admin, { opcode: 0x7f });
    driver.ring(admin);
    driver.work();
    for (let n = 0; n < 2; n++) assert.notEqual(driver.take(admin), undefined);
    driver.acknowledge(admin);
    for (let n = 0; n < 40; n++) {
      driver.write(admin, { opcode: 0x7f });
      driver.view.setUint32(SHADOWS, admin.tail, true);
      driver.ring(admin);
      driver.write(admin, { opcode: 0x7f });
      driver.view.setUint32(SHADOWS, admin.tail, true);
      driver.work();
      for (let taken = 0; taken < 2; taken++) assert.notEqual(driver.take(admin), undefined);
      driver.view.setUint32(SHADOWS + 4, admin.head, true);
    }
    assert.deepEqual(driver.host.notes, []);
  });

  test('at an offset are refused; those that are not there are not followed', async () => {
    const queue = await driver.createPair(1);
    assert.equal((await driver.do({ opcode: BUFFERS, prp1: SHADOWS + 4, prp2: INDICES })).status, 0x02);
    await driver.succeed({ opcode: BUFFERS, prp1: UNMAPPED, prp2: UNMAPPED });
    assert.equal((await driver.do({ opcode: 0x7f, nsid: 1 }, queue)).status, 0x01);
  });
});
