/** The commands of the admin queue. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { DATA, DOORBELLS, NvmeDriver } from '../../testkit/nvme-driver.js';

const GET_LOG = 2;
const IDENTIFY = 6;
const ABORT = 8;
const SET = 9;
const GET = 10;
const EVENT = 12;
const UNMAPPED = 0x7000_0000;

let driver: NvmeDriver;
beforeEach(() => {
  driver = new NvmeDriver([1 << 20, 2 << 20], { serial: 'S3R1AL' });
  driver.enable();
});
afterEach(() => driver.close());

/** Get Log Page of `length` bytes. */
function log(page: number, length = 512, offset = 0, retain = false) {
  const dword10 = page | (retain ? 0x8000 : 0) | ((length / 4 - 1) << 16);
  return { opcode: GET_LOG, nsid: 0xffffffff, dwords: [dword10, 0, offset] };
}

function text(page: DataView, at: number, length: number): string {
  return Buffer.from(page.buffer, page.byteOffset + at, length).toString('latin1');
}

describe('identify', () => {
  test('the controller says what it is and what it can', async () => {
    const page = await driver.page({ opcode: IDENTIFY, dwords: [1] });
    assert.equal(page.getUint16(0, true), 0x1234);
    assert.equal(text(page, 4, 20), 'S3R1AL'.padEnd(20));
    assert.equal(page.getUint8(77), 8, '1 MiB at a time');
    assert.equal(page.getUint32(80, true), 0x20000);
    assert.equal(page.getUint16(256, true), 1 << 8, 'doorbell buffers');
    assert.equal(page.getUint8(512), 0x66);
    assert.equal(page.getUint8(513), 0x44);
    assert.equal(page.getUint32(516, true), 2);
    assert.match(text(page, 768, 256), /^nqn\.2014-08\.org\.nvmexpress:uuid:[0-9a-f-]{36}\0+$/);
  });

  test('a namespace says its blocks', async () => {
    const page = await driver.page({ opcode: IDENTIFY, nsid: 2, dwords: [0] });
    for (const at of [0, 8, 16]) assert.equal(page.getBigUint64(at, true), 4096n);
    assert.equal(page.getUint32(128, true), 9 << 16);
  });

  test('namespaces are listed from the one after that which is named', async () => {
    for (const cns of [2, 7, 0x10, 0x1a]) {
      const list = async (nsid: number) => {
        const page = await driver.page({ opcode: IDENTIFY, nsid, dwords: [cns] });
        return [0, 4, 8].map((at) => page.getUint32(at, true));
      };
      assert.deepEqual(await list(0), [1, 2, 0]);
      assert.deepEqual(await list(1), [2, 0, 0]);
      assert.deepEqual(await list(2), [0, 0, 0]);
    }
  });

  test('each namespace has a UUID of its own, and the NVM command set', async () => {
    const uuids = new Set<string>();
    for (const nsid of [1, 2]) {
      const page = await driver.page({ opcode: IDENTIFY, nsid, dwords: [3] });
      assert.equal(page.getUint32(0, true), 0x1003);
      uuids.add(text(page, 4, 16));
      assert.equal(page.getUint32(20, true), 0x104);
      assert.equal(page.getUint8(24), 0);
      assert.equal(page.getUint32(28, true), 0, 'the end');
    }
    assert.equal(uuids.size, 2);
  });

  test('the rest of what drivers ask is there, in full pages', async () => {
    for (const [cns, nsid] of [
      [5, 1],
      [6, 0],
      [8, 2],
      [0x11, 1],
      [0x12, 1],
      [0x13, 0],
      [0x1b, 2],
      [0x1c, 0],
    ])
      await driver.page({ opcode: IDENTIFY, nsid: nsid!, dwords: [cns!] });
  });

  for (const [what, nsid, dwords, status] of [
    ['a namespace that is not there', 3, [0], 0x0b],
    ['all namespaces as one', 0xffffffff, [0], 0x0b],
    ['a list after all namespaces', 0xfffffffe, [2], 0x0b],
    ['a CNS that is not there', 1, [0x55], 0x02],
    ['another command set', 1, [5, 2 << 24], 0x02],
  ] as const) {
    test(`${what}: status 0x${status.toString(16)}`, async () => {
      const done = await driver.do({ opcode: IDENTIFY, nsid, prp1: DATA, dwords });
      assert.equal(done.status, status);
      assert.equal(done.doNotRetry, true);
      assert.equal(done.more, true);
    });
  }

  test('into memory that is not there, or by an SGL, is refused', async () => {
    const asked = { opcode: IDENTIFY, dwords: [1] };
    const missing = await driver.do({ ...asked, prp1: UNMAPPED });
    assert.equal(missing.status, 0x04);
    assert.equal(missing.doNotRetry, false);
    assert.equal((await driver.do({ ...asked, prp1: DATA, flags: 0x40 })).status, 0x02);
  });
});

describe('features', () => {
  test('are read as they were set, with what they were before as default', async () => {
    const asked = async (dword10: number, dword11 = 0) =>
      (await driver.succeed({ opcode: GET, dwords: [dword10, dword11] })).result;
    assert.equal(await asked(6), 1);
    await driver.succeed({ opcode: SET, dwords: [6, 0] });
    assert.equal(await asked(6), 0);
    assert.equal(await asked(6 | (1 << 8)), 1);
    assert.equal(await asked(6 | (3 << 8)), 4, 'changeable, and no more');
    await driver.succeed({ opcode: SET, dwords: [4, 300] });
    assert.equal(await asked(4), 300);
    assert.equal(await asked(4, 1 << 20), 0);
    assert.equal((await driver.succeed({ opcode: SET, dwords: [7, 0x00070007] })).result, 0x00030003);
    assert.equal(await asked(9, 3), 3);
  });

  for (const [what, words, status] of [
    ['one that is not there', { opcode: GET, dwords: [0x7f] }, 0x02],
    ['a value that is reserved', { opcode: GET, dwords: [6 | (4 << 8)] }, 0x02],
    ['a vector that is not there', { opcode: GET, dwords: [9, 5] }, 0x02],
    ['a power state that is not there', { opcode: SET, dwords: [2, 1] }, 0x02],
    ['65536 queues', { opcode: SET, dwords: [7, 0xffff] }, 0x02],
    ['to be kept over resets', { opcode: SET, dwords: [0x80000006, 1] }, 0x10d],
    ['of the controller, of one namespace', { opcode: SET, nsid: 1, dwords: [6, 0] }, 0x10f],
    ['of a namespace that is not there', { opcode: SET, nsid: 3, dwords: [6, 0] }, 0x0b],
    ['of a namespace, of none', { opcode: SET, dwords: [5, 0] }, 0x0b],
    ['of a namespace, read of all', { opcode: GET, nsid: 0xffffffff, dwords: [5] }, 0x0b],
  ] as const) {
    test(`${what}: status 0x${status.toString(16)}`, async () => {
      assert.equal((await driver.do(words)).status, status);
    });
  }

  test('of error recovery each namespace has its own, which all of them may be given', async () => {
    const value = async (nsid: number, select: number) =>
      (await driver.succeed({ opcode: GET, nsid, dwords: [5 | (select << 8)] })).result;
    const values = async (select: number) => [await value(1, select), await value(2, select)];
    await driver.succeed({ opcode: SET, nsid: 2, dwords: [5, 7] });
    assert.deepEqual(await values(0), [0, 7]);
    await driver.succeed({ opcode: SET, nsid: 0xffffffff, dwords: [5, 9] });
    assert.deepEqual(await values(0), [9, 9]);
    assert.deepEqual(await values(1), [0, 0]);
    assert.deepEqual(await values(3), [6, 6], 'changeable, and of a namespace');
  });

  test('queues are not counted anew once there are some', async () => {
    await driver.createPair(1);
    assert.equal((await driver.do({ opcode: SET, dwords: [7, 0] })).status, 0x0c);
  });
});

describe('log pages', () => {
  test('health counts commands and errors', async () => {
    const queue = await driver.createPair(1);
    await driver.succeed({ opcode: 1, nsid: 1, prp1: DATA, dwords: [0, 0, 7] }, queue);
    await driver.do({ opcode: 2, nsid: 9, prp1: DATA }, queue);
    const page = await driver.page(log(2));
    assert.equal(page.getUint8(0), 0);
    assert.equal(page.getUint16(1, true), 310);
    assert.equal(page.getBigUint64(48, true), 1n);
    assert.equal(page.getBigUint64(80, true), 1n);
    assert.equal(page.getBigUint64(176, true), 1n);
  });

  test('errors are told with command, status, block and namespace, the newest first', async () => {
    const queue = await driver.createPair(1);
    await driver.do({ opcode: 0x7f, id: 5, nsid: 1 }, queue);
    await driver.do({ opcode: 2, id: 6, nsid: 2, prp1: DATA, dwords: [77, 1, 0] }, queue);
    const page = await driver.page(log(1, 128));
    assert.equal(page.getBigUint64(0, true), 2n);
    assert.deepEqual([page.getUint16(8, true), page.getUint16(10, true)], [1, 6]);
    assert.equal((page.getUint16(12, true) >>> 1) & 0x7ff, 0x80);
    assert.equal(page.getBigUint64(16, true), 0x1_0000_004dn);
    assert.equal(page.getUint32(24, true), 2);
    assert.equal(page.getBigUint64(64, true), 1n);
  });

  test('what is supported, effects and firmware are told, from any offset on', async () => {
    const supported = await driver.page(log(0, 1024));
    for (const id of [0, 1, 2, 3, 4, 5, 0x12]) assert.equal(supported.getUint32(4 * id, true), 1);
    const features = await driver.page(log(0x12, 1024));
    assert.deepEqual(
      [features.getUint32(4 * 5, true), features.getUint32(4 * 6, true)],
      [0x100001, 0x200001],
    );
    const effects = await driver.page(log(5, 64, 1024));
    assert.deepEqual(
      [0, 4, 8].map((at) => effects.getUint32(at, true)),
      [1, 3, 1],
    );
    assert.equal((await driver.page(log(3))).getUint8(0), 1);
    assert.equal((await driver.page(log(4, 4096))).getUint32(0, true), 0);
    const past = await driver.page(log(3, 512, 512));
    assert.equal(past.getUint32(0, true), 0);
  });

  for (const [what, words, status] of [
    ['a page that is not there', log(0x7f), 0x109],
    ['an offset past the end', log(3, 512, 516), 0x02],
    ['an offset that is no dword', log(3, 512, 2), 0x02],
    ['an offset that is an index', { ...log(3), dwords: [3, 0, 0, 0, 0x800000] }, 0x02],
    ['the health of one namespace', { ...log(2), nsid: 1 }, 0x02],
    ['more than 1 MiB', { ...log(2), dwords: [0xffff0002, 0xffff] }, 0x02],
  ] as const) {
    test(`${what}: status 0x${status.toString(16)}`, async () => {
      assert.equal((await driver.do({ ...words, prp1: DATA })).status, status);
    });
  }
});

describe('asynchronous events', () => {
  const request = (id: number) => driver.write(driver.admin, { opcode: EVENT, id });

  test('a doorbell that is not there, or a wrong value, is told once until the log is read', async () => {
    for (const id of [101, 102, 103]) request(id);
    driver.ring(driver.admin);
    await driver.settle();
    driver.set(DOORBELLS + 8, 1);
    assert.deepEqual(result(await driver.next(driver.admin)), [101, 0x010000]);
    driver.set(DOORBELLS, 4000);
    assert.deepEqual(driver.host.notes, [
      'the tail of submission queue 1 is not made 1: there is no such queue',
      'the tail of submission queue 0 is not made 4000: of 32 entries it cannot be there',
    ]);
    assert.equal(driver.take(driver.admin), undefined, 'the log was not read');
    await driver.page(log(1, 512, 0, true));
    assert.equal(driver.take(driver.admin), undefined, 'events were to be retained');
    driver.write(driver.admin, { ...log(1), prp1: DATA });
    driver.ring(driver.admin);
    assert.deepEqual(result(await driver.next(driver.admin)), [102, 0x010100]);
  });

  test('a temperature beyond its threshold is told, when it is wanted', async () => {
    request(101);
    driver.ring(driver.admin);
    await driver.settle();
    await driver.succeed({ opcode: SET, dwords: [4, 300] });
    driver.write(driver.admin, { opcode: SET, dwords: [11, 0xff] });
    driver.ring(driver.admin);
    assert.deepEqual(result(await driver.next(driver.admin)), [101, 0x020101]);
    assert.equal((await driver.next(driver.admin)).status, 0);
    assert.equal((await driver.page(log(2))).getUint8(0), 2);
  });

  test('there may be eight requests; abort takes one back', async () => {
    for (let id = 1; id <= 9; id++) request(id);
    driver.ring(driver.admin);
    assert.deepEqual(pick(await driver.next(driver.admin)), [9, 0x105]);
    driver.write(driver.admin, { opcode: ABORT, id: 50, dwords: [4 << 16] });
    driver.ring(driver.admin);
    assert.deepEqual(pick(await driver.next(driver.admin)), [4, 0x07]);
    assert.deepEqual(result(await driver.next(driver.admin)), [50, 0]);
    const missing = await driver.do({ opcode: ABORT, id: 51, dwords: [4 << 16] });
    assert.deepEqual(result(missing), [51, 1]);
  });

  const result = (done: { id: number; result: number }) => [done.id, done.result];
  const pick = (done: { id: number; status: number }) => [done.id, done.status];
});
