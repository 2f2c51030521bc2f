/** The controller's registers and states: enabled, disabled, reset, shut down, failed. */
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { DATA, DOORBELLS, ENABLE, NvmeDriver, Reg } from '../../testkit/nvme-driver.js';

const READY = 1;
const FATAL = 2;
const SHUT_DOWN = 2 << 2;
const IDENTIFY = { opcode: 6, prp1: DATA, dwords: [1] };

let driver: NvmeDriver;
function open(...given: ConstructorParameters<typeof NvmeDriver>): NvmeDriver {
  driver = new NvmeDriver(...given);
  return driver;
}
afterEach(() => driver.close());

describe('registers', () => {
  test('CAP says what there is: 65536 entries that need not be contiguous, pages up to 64 KiB', () => {
    const { model } = open();
    const bytes = new Uint8Array(8);
    model.readBar(0, Reg.CAP, bytes);
    const cap = new DataView(bytes.buffer).getBigUint64(0, true);
    assert.equal(cap & 0xffffn, 0xffffn);
    assert.equal((cap >> 16n) & 1n, 0n);
    assert.equal((cap >> 32n) & 0xfn, 0n, 'doorbells of 4 bytes');
    assert.equal((cap >> 37n) & 0xffn, 1n, 'the NVM command set');
    assert.equal((cap >> 52n) & 0xfn, 4n);
    assert.equal(driver.get(Reg.VS), 0x20000);
  });

  test('it is ready when it is enabled, and not when it is disabled', () => {
    open().enable();
    assert.equal(driver.get(Reg.CSTS), READY);
    driver.set(Reg.CC, ENABLE & ~1);
    assert.equal(driver.get(Reg.CSTS), 0);
  });

  test('doorbells are a page of their own, to be looked at while commands are outstanding', async () => {
    open().enable();
    assert.deepEqual(driver.model.pci.bars[0]?.doorbells, { offset: DOORBELLS, size: 0x1000 });
    driver.write(driver.admin, { opcode: 12 });
    driver.ring(driver.admin);
    await driver.settle();
    assert.equal(driver.model.busy?.(), false, 'a request for events is outstanding');
    const queue = await driver.createPair(1);
    driver.write(queue, { opcode: 0, nsid: 1 });
    driver.ring(queue);
    assert.equal(driver.model.busy?.(), true);
    driver.work();
    assert.equal(driver.model.busy?.(), driver.take(queue) === undefined, 'while the disk is flushed');
    await driver.settle();
    assert.equal(driver.model.busy?.(), false);
  });

  for (const [what, cc] of [
    ['pages of 128 KiB', ENABLE | (5 << 7)],
    ['another command set', ENABLE | (1 << 4)],
    ['weighted arbitration', ENABLE | (1 << 11)],
  ] as const) {
    test(`enabling it with ${what} is fatal, until it is disabled`, () => {
      open().enable(cc);
      assert.equal(driver.get(Reg.CSTS), FATAL);
      assert.match(driver.host.notes[0]!, /^the controller cannot be enabled with CC 0x46[0-9a-f]+ and AQA/);
      driver.set(Reg.CC, 0);
      assert.equal(driver.get(Reg.CSTS), 0);
    });
  }

  test('admin queues of one entry are fatal', () => {
    open();
    driver.set(Reg.AQA, 0x1f);
    driver.set(Reg.CC, ENABLE);
    assert.equal(driver.get(Reg.CSTS), FATAL);
  });

  test('the addresses of the admin queues stay when it is disabled, and go with a reset', () => {
    open().enable();
    driver.set(Reg.CC, 0);
    assert.equal(driver.get(Reg.ASQ), driver.admin.submission);
    driver.model.reset();
    assert.equal(driver.get(Reg.ASQ), 0);
  });
});

describe('a controller that cannot reach its queues has failed', () => {
  test('when commands cannot be fetched', async () => {
    open().enable();
    driver.set(Reg.CC, 0);
    driver.set(Reg.ASQ, 0x4000_0000);
    driver.set(Reg.CC, ENABLE);
    driver.set(DOORBELLS, 1);
    await driver.settle();
    assert.equal(driver.get(Reg.CSTS), READY | FATAL);
    assert.equal(driver.host.faults[0]?.iova, 0x4000_0000);
    assert.deepEqual(driver.host.notes, ['the memory of submission queue 0 cannot be reached: CSTS.CFS']);
    assert.equal(driver.model.busy?.(), false);
  });

  test('when completions cannot be written; what it had is gone after a reset', async () => {
    open().enable();
    driver.set(Reg.CC, 0);
    driver.set(Reg.ACQ, 0x4000_0000);
    driver.set(Reg.CC, ENABLE);
    driver.write(driver.admin, IDENTIFY);
    driver.ring(driver.admin);
    await driver.settle();
    assert.equal(driver.get(Reg.CSTS), READY | FATAL);
    driver.model.reset();
    driver.enable();
    assert.equal((await driver.do(IDENTIFY)).status, 0);
  });
});

describe('shutdown', () => {
  test('is complete when the disks have what was written, and nothing is fetched from then on', async () => {
    open().enable();
    driver.set(Reg.CC, ENABLE | (1 << 14));
    await driver.settle();
    assert.equal(driver.get(Reg.CSTS), READY | SHUT_DOWN);
    driver.write(driver.admin, IDENTIFY);
    driver.ring(driver.admin);
    await driver.settle();
    assert.equal(driver.take(driver.admin), undefined);
  });

  test('also of a controller that was never enabled; one that is enabled again works', async () => {
    open().set(Reg.CC, 2 << 14);
    await driver.settle();
    assert.equal(driver.get(Reg.CSTS), SHUT_DOWN);
    driver.enable();
    assert.equal(driver.get(Reg.CSTS), READY);
    assert.equal((await driver.do(IDENTIFY)).status, 0);
  });

  test('waits for the commands that are under way', async () => {
    open().enable();
    const queue = await driver.createPair(1);
    driver.memory.fill(7, DATA, DATA + 512);
    driver.write(queue, { opcode: 1, nsid: 1, prp1: DATA, dwords: [0, 0, 0] });
    driver.ring(queue);
    driver.work();
    driver.set(Reg.CC, ENABLE | (1 << 14));
    await driver.settle();
    assert.equal(driver.take(queue)?.status, 0);
    assert.equal(driver.contents(1)[511], 7);
    assert.equal(driver.get(Reg.CSTS), READY | SHUT_DOWN);
  });
});

describe('a reset with commands under way', () => {
  const write = { opcode: 1, nsid: 1, prp1: DATA, dwords: [0, 0, 7] };
  for (const [how, end] of [
    ['CC.EN', () => driver.set(Reg.CC, 0)],
    ['a function level reset', () => driver.model.reset()],
  ] as const) {
    test(`by ${how} leaves no completion and no DMA`, async () => {
      open().enable();
      const queue = await driver.createPair(1);
      for (let n = 0; n < 8; n++) driver.write(queue, n % 2 === 0 ? write : { ...write, opcode: 2 });
      driver.ring(queue);
      driver.work();
      while (driver.take(queue) !== undefined);
      end();
      const before = driver.memory.slice();
      const { length } = driver.host.interrupts;
      for (let n = 0; n < 50; n++) {
        driver.work();
        await new Promise(setImmediate);
      }
      assert.deepEqual(driver.memory, before);
      assert.equal(driver.host.interrupts.length, length);
      assert.equal(driver.model.busy?.(), false);
      driver.enable();
      assert.equal((await driver.do(IDENTIFY)).status, 0);
    });
  }

  test('a drain waits for them where others are served meanwhile, and fetches nothing', async () => {
    open().enable();
    const queue = await driver.createPair(1);
    driver.write(queue, write);
    driver.ring(queue);
    driver.work();
    assert.equal(driver.model.drain!(), 'waits');
    driver.write(queue, { ...write, id: 77 });
    driver.ring(queue);
    do {
      driver.model.step!();
      await new Promise(setImmediate);
    } while (driver.model.drain!());
    assert.equal(driver.take(queue)?.status, 0);
    assert.equal(driver.take(queue), undefined);
    await driver.settle();
    assert.equal(driver.take(queue)?.id, 77);
  });

  test('a drain ends them: they have completed when it returns', async () => {
    open().enable();
    const queue = await driver.createPair(1);
    driver.memory.fill(9, DATA, DATA + 4096);
    for (let n = 0; n < 8; n++) driver.write(queue, write);
    driver.ring(queue);
    driver.work();
    while (driver.model.drain?.(undefined, true) === true);
    let done = 0;
    while (driver.take(queue)?.status === 0) done++;
    assert.equal(done, 8);
    assert.equal(driver.contents(1)[4095], 9);
  });
});
