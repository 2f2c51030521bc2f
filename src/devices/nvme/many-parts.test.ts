/** Commands whose data, and whose lists of it, are in many places: each may keep everybody waiting. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { madeBytes } from '../../testkit/made-bytes.js';
import { descriptor } from '../../testkit/nvme-data.js';
import { DATA, NvmeDriver, type Pair, type Words } from '../../testkit/nvme-driver.js';

const WRITE = { opcode: 1, nsid: 1 };
const READ = { opcode: 2, nsid: 1 };
const COMPARE = { opcode: 5, nsid: 1 };
const PAGE = 4096;
const SIZE = 8 << 20;
/** Where a test's lists are. */
const LIST = DATA + (3 << 20);
const RANGES = 512;

let driver: NvmeDriver;
let queue: Pair;
before(async () => {
  driver = new NvmeDriver([SIZE]);
  driver.enable();
  queue = await driver.createPair(1);
});
after(() => driver.close());
beforeEach(() => driver.memory.fill(0, DATA));

/** Dwords 10 to 12 for `count` blocks from `first` on. */
const blocks = (first: number, count: number) => [first, 0, count - 1];

async function status(words: Words): Promise<number> {
  return (await driver.do(words, queue)).status;
}

function pattern(length: number, seed: number): Uint8Array {
  return madeBytes(length, (i) => (i * 31 + (i >> 8) * 7 + seed) & 0xff);
}

/** Puts a block into memory, backwards, in as many ranges as there can be. @returns what names it. */
function scattered(): Uint8Array {
  driver.memory.set(pattern(RANGES, 3), DATA);
  for (let n = 0; n < RANGES; n++) driver.memory.set(descriptor(0, DATA + RANGES - 1 - n, 1), LIST + 16 * n);
  return descriptor(3, LIST, 16 * RANGES);
}

test('SGLs in more than 16 segments, each of which is read by itself, are refused', async () => {
  const chained = (count: number) => {
    driver.memory.set(descriptor(0, DATA, 512), LIST + 16 * (count - 1));
    for (let n = count - 2; n >= 0; n--) {
      const last = n === count - 2 ? 3 : 2;
      driver.memory.set(descriptor(last, LIST + 16 * (n + 1), 16), LIST + 16 * n);
    }
    return descriptor(count === 1 ? 3 : 2, LIST, 16);
  };
  const write = (count: number) =>
    status({ ...WRITE, flags: 0x40, pointer: chained(count), dwords: blocks(0, 1) });
  for (const [count, expected] of [
    [1, 0],
    [2, 0],
    [16, 0],
    [17, 0x0e],
  ] as const)
    assert.equal(await write(count), expected, `${count}`);
});

test('data whose transfers end early, behind any part, is moved whole', async (t) => {
  const { dma } = driver.host;
  t.after(() => delete dma.moveSome);
  let share = 1;
  let calls = 0;
  dma.moveSome = (pasid, { count, addresses, lengths }, buffer, at, write) => {
    calls++;
    let done = 0;
    for (let part = 0; part < Math.ceil(count / share); part++) {
      const fault = dma[write ? 'write' : 'read'](pasid, addresses[part]!, buffer, at + done, lengths[part]!);
      if (fault !== undefined) return { ...fault, done: done + fault.done };
      done += lengths[part]!;
    }
    return done;
  };
  const pages = Array.from({ length: 32 }, (_, n) => DATA + 2 * PAGE * n);
  const words = { prp1: pages[0]!, prp2: LIST, dwords: blocks(0, 256) };
  for (const [n, at] of pages.slice(1).entries()) driver.view.setBigUint64(LIST + 8 * n, BigInt(at), true);
  const expected = pattern(32 * PAGE, 9);
  for (share of [1, 2, 5, 100]) {
    calls = 0;
    for (const [n, at] of pages.entries()) driver.memory.set(expected.subarray(n * PAGE, (n + 1) * PAGE), at);
    assert.equal(await status({ ...WRITE, ...words }), 0);
    assert.ok(Buffer.from(expected).equals(driver.contents(1).subarray(0, expected.length)));
    assert.equal(await status({ ...COMPARE, ...words }), 0);
    for (const at of pages) driver.memory.fill(0, at, at + PAGE);
    assert.equal(await status({ ...READ, ...words }), 0);
    for (const [n, at] of pages.entries())
      assert.deepEqual(driver.memory.slice(at, at + PAGE), expected.slice(n * PAGE, (n + 1) * PAGE));
    assert.ok(share === 1 ? calls === 3 : calls > 10, `${calls}`);
    driver.memory[pages[20]! + 7]! ^= 1;
    assert.equal(await status({ ...COMPARE, ...words }), 0x285);
  }
  share = 2;
  const whole = { ...WRITE, flags: 0x40, pointer: scattered(), dwords: blocks(3, 1) };
  assert.equal(await status(whole), 0);
  assert.deepEqual(new Uint8Array(driver.contents(1).subarray(1536, 2048)), pattern(512, 3).reverse());
  // A block is not written in parts: one that takes too long is not there.
  share = 100;
  assert.equal(await status(whole), 0x04);
});
