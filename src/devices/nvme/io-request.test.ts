/** The commands of I/O queues, on real files, with data named in every way. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { after, before, beforeEach, describe, test } from 'node:test';
import { madeBytes } from '../../testkit/made-bytes.js';
import { DATA, ENABLE, NvmeDriver, type Pair, type Words } from '../../testkit/nvme-driver.js';

const FLUSH = { opcode: 0 };
const WRITE = { opcode: 1, nsid: 1 };
const READ = { opcode: 2, nsid: 1 };
const COMPARE = { opcode: 5, nsid: 1 };
const ZEROES = { opcode: 8, nsid: 1 };
const MANAGE = { opcode: 9, nsid: 1 };
const PAGE = 4096;
const SIZE = 8 << 20;
/** Where a test's lists are. */
const LIST = DATA + (3 << 20);
const UNMAPPED = 0x7000_0000;

let driver: NvmeDriver;
let queue: Pair;
before(async () => {
  driver = new NvmeDriver([SIZE, SIZE]);
  driver.enable();
  queue = await driver.createPair(1);
});
after(() => driver.close());
beforeEach(() => driver.memory.fill(0, DATA));

/** Dwords 10 to 12 for `blocks` blocks from `first` on. */
function blocks(first: number, count: number, flags = 0): number[] {
  return [first, Math.floor(first / 2 ** 32), ((count - 1) | flags) >>> 0];
}

async function status(words: Words): Promise<number> {
  return (await driver.do(words, queue)).status;
}

function pattern(length: number, seed: number): Uint8Array {
  return madeBytes(length, (i) => (i * 31 + (i >> 8) * 7 + seed) & 0xff);
}

/** Writes addresses to memory, eight bytes each. */
function list(at: number, entries: readonly number[]): number {
  for (const [n, entry] of entries.entries()) driver.view.setBigUint64(at + 8 * n, BigInt(entry), true);
  return at;
}

function descriptor(type: number, address: number, length: number, subtype = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, BigInt(address), true);
  view.setUint32(8, length, true);
  view.setUint8(15, (type << 4) | subtype);
  return new Uint8Array(view.buffer);
}

function segment(at: number, descriptors: readonly Uint8Array[]): number {
  for (const [n, each] of descriptors.entries()) driver.memory.set(each, at + 16 * n);
  return at;
}

describe('read and write', () => {
  test('move the blocks that they name, and no others', async () => {
    driver.memory.set(pattern(1024, 1), DATA);
    assert.equal(await status({ ...WRITE, prp1: DATA, dwords: blocks(3, 2) }), 0);
    const file = driver.contents(1);
    assert.deepEqual(new Uint8Array(file.subarray(1536, 2560)), pattern(1024, 1));
    assert.ok(file.subarray(0, 1536).every((byte) => byte === 0));
    assert.ok(file.subarray(2560).every((byte) => byte === 0));
    assert.equal(await status({ ...READ, prp1: DATA + 2 * PAGE, dwords: blocks(3, 2) }), 0);
    assert.deepEqual(driver.memory.slice(DATA + 2 * PAGE, DATA + 2 * PAGE + 1024), pattern(1024, 1));
  });

  test('reach the namespace that they name, to its last block', async () => {
    driver.memory.set(pattern(512, 2), DATA);
    const last = SIZE / 512 - 1;
    assert.equal(await status({ ...WRITE, nsid: 2, prp1: DATA, dwords: blocks(last, 1) }), 0);
    assert.deepEqual(new Uint8Array(driver.contents(2).subarray(-512)), pattern(512, 2));
    assert.equal(driver.contents(1).at(-1), 0);
  });

  for (const [what, words, expected] of [
    ['past the end', { ...READ, prp1: DATA, dwords: blocks(SIZE / 512 - 1, 2) }, 0x80],
    ['at a block beyond 2^53', { ...WRITE, prp1: DATA, dwords: blocks(2 ** 63, 1) }, 0x80],
    ['of a namespace that is not there', { ...READ, nsid: 3, prp1: DATA, dwords: blocks(0, 1) }, 0x0b],
    ['of no namespace', { ...WRITE, nsid: 0, prp1: DATA, dwords: blocks(0, 1) }, 0x0b],
    ['of all namespaces', { ...READ, nsid: 0xffffffff, prp1: DATA, dwords: blocks(0, 1) }, 0x0b],
    ['of more than 1 MiB', { ...READ, prp1: DATA, dwords: blocks(0, 2049) }, 0x02],
    ['as half of a fused operation', { ...READ, flags: 1, prp1: DATA, dwords: blocks(0, 1) }, 0x02],
    ['with data that is neither PRP nor SGL', { ...READ, flags: 0xc0, dwords: blocks(0, 1) }, 0x02],
    ['into memory that is not there', { ...READ, prp1: UNMAPPED, dwords: blocks(0, 1) }, 0x04],
    ['from memory that is not there', { ...WRITE, prp1: UNMAPPED, dwords: blocks(0, 1) }, 0x04],
    ['by an opcode that is not there', { opcode: 0x7f, nsid: 1 }, 0x01],
  ] as const) {
    test(`${what}: status 0x${expected.toString(16)}`, async () => {
      const file = driver.contents(1);
      assert.equal(await status(words), expected);
      assert.deepEqual(driver.contents(1), file);
    });
  }
});

describe('PRP entries', () => {
  test('name pages in any order, the first from an offset on, by lists of lists', async () => {
    const first = DATA + 0x104;
    const pages = Array.from({ length: 255 }, (_, n) => DATA + ((n * 37) % 255) * PAGE + PAGE);
    const second = list(LIST + PAGE, pages.slice(3));
    const prp2 = list(LIST + PAGE - 32, [...pages.slice(0, 3), second]);
    const length = 255 * PAGE;
    const data = pattern(length, 3);
    let done = 0;
    for (const at of [first, ...pages]) {
      const n = at === first ? PAGE - 0x104 : Math.min(PAGE, length - done);
      driver.memory.set(data.subarray(done, done + n), at);
      done += n;
    }
    assert.equal(await status({ ...WRITE, prp1: first, prp2, dwords: blocks(16, length / 512) }), 0);
    assert.ok(
      driver
        .contents(1)
        .subarray(8192, 8192 + length)
        .equals(data),
    );
  });

  for (const [what, prp] of [
    ['an odd first entry', () => ({ prp1: DATA + 2, prp2: DATA + PAGE })],
    ['a second page with an offset', () => ({ prp1: DATA, prp2: DATA + PAGE + 8 })],
    ['a list that is not at a multiple of 8', () => ({ prp1: DATA, prp2: LIST + 4, count: 24 })],
    [
      'a list with an offset in a page',
      () => ({ prp1: DATA, prp2: list(LIST, [DATA, DATA + 4]), count: 24 }),
    ],
    [
      'a list that goes on in itself',
      () => ({ prp1: DATA, prp2: list(LIST + PAGE - 8, [LIST + PAGE - 8]), count: 24 }),
    ],
  ] as const) {
    test(`${what} has an invalid offset`, async () => {
      const { count = 16, ...pointers } = { count: 16, ...prp() };
      assert.equal(await status({ ...READ, ...pointers, dwords: blocks(0, count) }), 0x13);
    });
  }

  test('a list that is not there, or names what is not there: data transfer error', async () => {
    assert.equal(await status({ ...READ, prp1: DATA, prp2: UNMAPPED, dwords: blocks(0, 24) }), 0x04);
    const prp2 = list(LIST, [DATA + PAGE, UNMAPPED]);
    assert.equal(await status({ ...READ, prp1: DATA, prp2, dwords: blocks(0, 24) }), 0x04);
  });
});

describe('SGLs', () => {
  const sgl = (pointer: Uint8Array, kind = 0x40) => ({ flags: kind, pointer });

  test('name bytes of any alignment, in segments, and what nobody wants', async () => {
    driver.memory.set(pattern(1536, 4), DATA);
    assert.equal(await status({ ...WRITE, ...sgl(descriptor(0, DATA, 1536)), dwords: blocks(8, 3) }), 0);
    const last = segment(LIST + 0x100, [descriptor(1, 0, 512), descriptor(0, DATA + 0x8003, 611)]);
    const first = segment(LIST, [
      descriptor(0, DATA + 0x4001, 413),
      descriptor(0, 0, 0),
      descriptor(3, last, 32),
    ]);
    assert.equal(await status({ ...READ, ...sgl(descriptor(2, first, 48), 0x80), dwords: blocks(8, 3) }), 0);
    const data = pattern(1536, 4);
    assert.deepEqual(driver.memory.slice(DATA + 0x4001, DATA + 0x4001 + 413), data.slice(0, 413));
    assert.deepEqual(driver.memory.slice(DATA + 0x8003, DATA + 0x8003 + 611), data.slice(925));
  });

  const at = LIST;
  for (const [what, pointer, expected] of [
    ['of an unknown type', () => descriptor(5, DATA, 512), 0x11],
    ['relative to something', () => descriptor(0, DATA, 512, 1), 0x11],
    ['with a segment that is relative', () => descriptor(3, DATA, 512, 1), 0x11],
    ['too short', () => descriptor(0, DATA, 511), 0x0f],
    ['too short by a segment', () => descriptor(3, segment(at, [descriptor(0, DATA, 511)]), 16), 0x0f],
    ['with an empty segment', () => descriptor(3, at, 0), 0x0d],
    ['with half a descriptor', () => descriptor(3, at, 24), 0x0d],
    ['with a segment in the last one', () => descriptor(3, segment(at, [descriptor(2, at, 16)]), 16), 0x0d],
    [
      'with a segment that is not at the end',
      () => descriptor(2, segment(at, [descriptor(3, at, 16), descriptor(0, DATA, 512)]), 32),
      0x0d,
    ],
    [
      'with a segment that goes on nowhere',
      () => descriptor(2, segment(at, [descriptor(0, DATA, 1)]), 16),
      0x0d,
    ],
    ['that never ends', () => descriptor(2, segment(at, [descriptor(2, at, 16)]), 16), 0x0e],
    ['that is not there', () => descriptor(3, UNMAPPED, 16), 0x04],
  ] as const) {
    test(`${what}: status 0x${expected.toString(16)}`, async () => {
      assert.equal(await status({ ...WRITE, ...sgl(pointer()), dwords: blocks(0, 1) }), expected);
    });
  }

  test('in a write, what nobody wants is nowhere to come from', async () => {
    assert.equal(await status({ ...WRITE, ...sgl(descriptor(1, 0, 512)), dwords: blocks(0, 1) }), 0x0f);
  });
});

describe('a read that the kernel has in memory', () => {
  const first = DATA + (1 << 20);
  const second = DATA + (2 << 20);
  before(async () => {
    driver.places = true;
    driver.memory.set(pattern(2 * PAGE, 9), DATA);
    assert.equal(await status({ ...WRITE, prp1: DATA, prp2: DATA + PAGE, dwords: blocks(0, 16) }), 0);
  });
  beforeEach(() => {
    driver.placed = 0;
  });
  after(() => {
    driver.places = false;
  });

  test('goes right to the pages that the driver names', async () => {
    const words = { ...READ, prp1: first + 512, prp2: second, dwords: blocks(1, 15) };
    assert.equal(await status(words), 0);
    assert.equal(driver.placed, 15 * 512);
    const expected = pattern(2 * PAGE, 9);
    assert.deepEqual(driver.memory.slice(first + 512, first + PAGE), expected.slice(512, PAGE));
    assert.deepEqual(driver.memory.slice(second, second + PAGE), expected.slice(PAGE));
    assert.ok(driver.memory.subarray(first, first + 512).every((byte) => byte === 0));
  });

  test('leaves out what nobody wants', async () => {
    const list = segment(LIST, [
      descriptor(0, first, 512),
      descriptor(1, 0, PAGE),
      descriptor(0, second, 512),
    ]);
    const words = { ...READ, flags: 0x40, pointer: descriptor(3, list, 48), dwords: blocks(0, 10) };
    assert.equal(await status(words), 0);
    assert.deepEqual(driver.memory.slice(first, first + 512), pattern(512, 9));
    assert.deepEqual(
      driver.memory.slice(second, second + 512),
      pattern(2 * PAGE, 9).slice(PAGE + 512, PAGE + 1024),
    );
  });

  test('finds the fault where there is no memory', async () => {
    const faults = driver.host.faults.length;
    const words = { ...READ, prp1: first, prp2: UNMAPPED, dwords: blocks(0, 16) };
    assert.equal(await status(words), 0x04);
    assert.deepEqual(
      driver.host.faults.slice(faults).map(({ iova }) => iova),
      [UNMAPPED],
    );
  });
});

describe('the other commands', () => {
  test('compare tells whether memory has what the blocks have', async () => {
    driver.memory.set(pattern(PAGE, 5), DATA);
    await driver.succeed({ ...WRITE, prp1: DATA, dwords: blocks(64, 8) }, queue);
    assert.equal(await status({ ...COMPARE, prp1: DATA, dwords: blocks(64, 8) }), 0);
    driver.memory[DATA + PAGE - 1]! ^= 1;
    assert.equal(await status({ ...COMPARE, prp1: DATA, dwords: blocks(64, 8) }), 0x285);
    assert.equal(await status({ ...COMPARE, prp1: UNMAPPED, dwords: blocks(64, 8) }), 0x04);
  });

  test('flush is of one namespace, or of all', async () => {
    for (const nsid of [1, 2, 0xffffffff]) assert.equal(await status({ ...FLUSH, nsid }), 0);
    for (const nsid of [0, 3]) assert.equal(await status({ ...FLUSH, nsid }), 0x0b);
  });

  for (const [how, flags] of [
    ['', 0],
    [', deallocated', 0x0200_0000],
    [', at once on the medium', 0x4000_0000],
  ] as const) {
    test(`write zeroes makes zeros of its blocks${how}, more than may be moved`, async () => {
      driver.memory.fill(0xff, DATA, DATA + PAGE);
      await driver.succeed({ ...WRITE, prp1: DATA, dwords: blocks(0, 8) }, queue);
      await driver.succeed({ ...WRITE, prp1: DATA, dwords: blocks(4096, 8) }, queue);
      assert.equal(await status({ ...ZEROES, dwords: blocks(1, 4096, flags) }), 0);
      const file = driver.contents(1);
      assert.ok(file.subarray(512, 4097 * 512).every((byte) => byte === 0));
      assert.ok([file[0], file[511], file[4097 * 512]].every((byte) => byte === 0xff));
      assert.equal(await status({ ...ZEROES, dwords: blocks(SIZE / 512, 1, flags) }), 0x80);
    });
  }

  test('dataset management deallocates each of its ranges, or none', async () => {
    for (let n = 0; n < 8; n++) {
      driver.memory.fill(0xee, DATA, DATA + (1 << 20));
      await driver.succeed(
        { ...WRITE, prp1: DATA, prp2: list(LIST, pages()), dwords: blocks(n * 2048, 2048) },
        queue,
      );
    }
    const { blocks: used } = statSync(driver.path(1));
    const ranges = [0, 2048, 0, 0, 8192, 4096];
    const asked = (...more: number[]) => {
      driver.memory.fill(0, DATA, DATA + PAGE);
      for (const [n, value] of [...ranges, ...more].entries())
        driver.view.setUint32(DATA + Math.floor(n / 2) * 16 + (n % 2 === 0 ? 8 : 4), value, true);
      return { ...MANAGE, prp1: DATA, dwords: [2 + more.length / 2, 4] };
    };
    const file = driver.contents(1);
    assert.equal(await status(asked(SIZE / 512 - 1, 2)), 0x80);
    assert.deepEqual(driver.contents(1), file);
    assert.equal(await status(asked()), 0);
    assert.ok(
      driver
        .contents(1)
        .subarray(0, 1 << 20)
        .every((byte) => byte === 0),
    );
    assert.equal(driver.contents(1)[1 << 20], 0xee);
    assert.ok(
      driver
        .contents(1)
        .subarray(4 << 20, 6 << 20)
        .every((byte) => byte === 0),
    );
    assert.ok(statSync(driver.path(1)).blocks < used);
  });

  test('a write cache that is switched off does not change what is written', async () => {
    await driver.succeed({ opcode: 9, dwords: [6, 0] });
    driver.memory.set(pattern(512, 6), DATA);
    assert.equal(await status({ ...WRITE, prp1: DATA, dwords: blocks(5, 1) }), 0);
    assert.deepEqual(new Uint8Array(driver.contents(1).subarray(2560, 3072)), pattern(512, 6));
    await driver.succeed({ opcode: 9, dwords: [6, 1] });
  });
});

const RANGES = 512;

/** Puts a block into memory, backwards, in as many ranges as there can be. @returns what names it. */
function scattered(): Uint8Array {
  const list = DATA + (1 << 20);
  driver.memory.set(pattern(RANGES, 3), DATA);
  for (let n = 0; n < RANGES; n++) driver.memory.set(descriptor(0, DATA + RANGES - 1 - n, 1), list + 16 * n);
  return descriptor(3, list, 16 * RANGES);
}

test('a block in many ranges is moved by one access, where the port has them together', async (t) => {
  const { dma } = driver.host;
  const moved: number[] = [];
  t.after(() => delete dma.move);
  dma.move = (pasid, { count, addresses }, buffer, at) => {
    moved.push(count);
    for (let part = 0; part < count; part++) dma.read(pasid, addresses[part]!, buffer, at + part, 1);
    return undefined;
  };
  const write = { ...WRITE, flags: 0x40, pointer: scattered(), dwords: blocks(0, 1) };
  assert.equal(await status(write), 0);
  assert.deepEqual(moved, [RANGES]);
  assert.deepEqual(new Uint8Array(driver.contents(1).subarray(0, RANGES)), pattern(RANGES, 3).reverse());
});

test('a step makes few accesses, in however many ranges the data of commands is', async () => {
  const queue = await driver.createPair(3);
  let made = 0;
  const { dma } = driver.host;
  const [read, write] = [dma.read, dma.write];
  Object.assign(dma, {
    read: (...given: Parameters<typeof read>) => ++made && read(...given),
    write: (...given: Parameters<typeof write>) => ++made && write(...given),
  });
  Object.defineProperty(dma, 'effort', { get: () => 20 * made });
  const pointer = scattered();
  const count = 8;
  for (let n = 0; n < count; n++)
    driver.write(queue, { ...WRITE, flags: 0x40, pointer, dwords: blocks(n, 1) });
  driver.ring(queue);
  const steps: number[] = [];
  for (let done = 0, before = made; done < count; before = made) {
    if (driver.model.step?.() === false) await new Promise((resolve) => setImmediate(resolve));
    steps.push(made - before);
    while (driver.take(queue)?.status === 0) done++;
  }
  assert.ok(Math.max(...steps) < RANGES + 200, `${steps}`);
  const block = pattern(RANGES, 3).reverse();
  for (let n = 0; n < count; n++)
    assert.deepEqual(new Uint8Array(driver.contents(1).subarray(n * 512, n * 512 + 512)), block);
});

function pages(): number[] {
  return Array.from({ length: 255 }, (_, n) => DATA + (n + 1) * PAGE);
}

test('a read-only file is read, and not written', async () => {
  const second = new NvmeDriver([SIZE], { readonly: '1', block: '4096' });
  second.enable(ENABLE);
  const pair = await second.createPair(1);
  for (const words of [WRITE, ZEROES, { ...MANAGE, dwords: [0, 4] }]) {
    const { status: ended } = await second.do({ prp1: DATA, ...words }, pair);
    assert.equal(ended, 0x20, `opcode ${words.opcode}`);
  }
  await second.succeed({ ...READ, prp1: DATA, dwords: blocks(0, 1) }, pair);
  const namespace = await second.page({ opcode: 6, nsid: 1, dwords: [0] });
  assert.equal(namespace.getUint8(99), 1, 'write protected');
  assert.equal(namespace.getBigUint64(0, true), BigInt(SIZE / 4096));
  second.close();
});
