import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Machine } from '../machine/machine.js';
import { ContainerProgram } from '../testkit/container-program.js';
import { refused } from '../testkit/refused.js';
import { getBig } from './struct.js';
import * as abi from './vfio-container.js';

const PAGE = 0x1000n;
const BASE = 0x100000n;
const [START, STOP, GET_BITMAP] = [1, 2, 4];

/** A container of `type` with its IOMMU, and a bitmap of `bytes` bytes. */
async function ready({ type = 3, devices = ['edu'], bytes = 64 } = {}) {
  const machine = await Machine.create({ devices });
  const one = new ContainerProgram(machine);
  const [fd, group] = [one.process.open('vfio/vfio'), one.process.open('vfio/1')];
  one.join(group, fd);
  one.plain(fd, abi.VFIO_SET_IOMMU, type);
  const bitmap = one.process.allocate(bytes);
  const log = (flags: number, iova = 0n, size = 0n, room = BigInt(bytes), pgsize = PAGE) =>
    one.call(fd, abi.VFIO_IOMMU_DIRTY_PAGES, 48, [
      [4, flags],
      [8, iova],
      [16, size],
      [24, pgsize],
      [32, room],
      [40, BigInt(bitmap.address)],
    ]);
  /** The pages that are dirty. */
  const dirty = (iova: bigint, pages: bigint) => {
    bitmap.bytes.fill(0);
    log(GET_BITMAP, iova, pages * PAGE);
    return bits(bitmap.bytes);
  };
  return { one, fd, group, bitmap, log, dirty };
}

function bits(bytes: Uint8Array): number[] {
  return Array.from({ length: 8 * bytes.length }, (_, n) => n).filter(
    (n) => (bytes[n >>> 3]! & (1 << (n & 7))) !== 0,
  );
}

const span = (first: number, count: number) => Array.from({ length: count }, (_, n) => first + n);

test('all that is mapped while the log is on is dirty, however often it is asked', async () => {
  const { one, fd, log, dirty } = await ready();
  one.map(fd, BASE + 3n * PAGE, 4n * PAGE);
  refused(() => dirty(BASE, 64n), 'EINVAL', /not been started/);
  for (const _ of [1, 2]) log(START);
  one.map(fd, BASE + 70n * PAGE, 1n * PAGE);
  for (const _ of [1, 2]) assert.deepEqual(dirty(BASE, 128n), [...span(3, 4), 70]);
  assert.deepEqual(dirty(BASE + 3n * PAGE, 4n), span(0, 4));
  one.unmap(fd, BASE, 16n * PAGE);
  assert.deepEqual(dirty(BASE, 128n), [70]);
  for (const _ of [1, 2]) log(STOP);
  refused(() => dirty(BASE, 64n), 'EINVAL', /not been started/);
});

test('the log is refused where its range, its bitmap, its flags or its version are wrong', async () => {
  const { one, fd, log } = await ready();
  one.map(fd, BASE, 4n * PAGE);
  log(START);
  for (const flags of [0, 3, 5, 8, 0x80000000]) refused(() => log(flags), 'EINVAL', /flags/);
  refused(() => log(GET_BITMAP, BASE, 0n), 'EINVAL', /zero/);
  refused(() => log(GET_BITMAP, BASE, -PAGE & (2n ** 64n - 1n)), 'EOVERFLOW');
  refused(() => log(GET_BITMAP, BASE, 4n * PAGE, 7n), 'EINVAL', /not one for 4 pages/);
  refused(() => log(GET_BITMAP, BASE, 4n * PAGE, (1n << 28n) + 8n), 'EINVAL', /not one for/);
  refused(() => log(GET_BITMAP, BASE, 4n * PAGE, 1n << 47n), 'EINVAL', /no memory of a process/);
  for (const pgsize of [0n, 0x800n, 0x2000n, 0x200000n])
    refused(() => log(GET_BITMAP, BASE, 4n * PAGE, 1n << 20n, pgsize), 'EINVAL');
  refused(() => log(GET_BITMAP, BASE + 1n, 4n * PAGE), 'EINVAL', /whole pages/);
  refused(() => log(GET_BITMAP, BASE + PAGE, 4n * PAGE), 'EINVAL', /split/);
  refused(() => log(GET_BITMAP, BASE, 3n * PAGE), 'EINVAL', /split/);
  refused(() => one.call(fd, abi.VFIO_IOMMU_DIRTY_PAGES, 47, [[4, GET_BITMAP]]), 'EINVAL', /argsz/);
  const first = await ready({ type: 1 });
  refused(() => first.log(START), 'EACCES', /version 1/);
});

test('UNMAP_DMA with GET_DIRTY_BITMAP says that what it takes out is dirty, or does neither', async () => {
  const { one, fd, log, bitmap } = await ready();
  const unmap = (flags: number, address = bitmap.address, argsz = 48) =>
    one.call(fd, abi.VFIO_IOMMU_UNMAP_DMA, argsz, [
      [4, flags],
      [8, BASE],
      [16, 8n * PAGE],
      [24, PAGE],
      [32, 8n],
      [40, BigInt(address)],
    ]);
  one.map(fd, BASE + 2n * PAGE, 2n * PAGE);
  refused(() => unmap(1), 'EINVAL', /not been started/);
  log(START);
  refused(() => unmap(1, bitmap.address, 47), 'EINVAL', /argsz/);
  for (const flags of [3, 5]) refused(() => unmap(flags), 'EINVAL', /only of a range/);
  refused(() => unmap(1, 0x10), 'EFAULT');
  assert.equal(getBig(unmap(1).data, 16), 2n * PAGE);
  assert.deepEqual(bits(bitmap.bytes), [2, 3]);
  one.map(fd, BASE + 2n * PAGE, 2n * PAGE);
});

test('a bitmap has each mapping as whole words, and nothing but the bits below it stays', async () => {
  const mappings = fc.uniqueArray(fc.tuple(fc.nat(300), fc.integer({ min: 1, max: 200 })), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(mappings, fc.boolean(), async (wanted, filled) => {
      const { one, fd, log, bitmap } = await ready({ bytes: 64 });
      const words = new Array<bigint>(8).fill(filled ? 2n ** 64n - 1n : 0n);
      const memory = BigInt(one.process.allocate(0x100000).address);
      let end = 0;
      log(START);
      for (const [gap, pages] of wanted) {
        const first = end + (gap % 90);
        if (first + pages > 512) break;
        end = first + pages;
        one.map(fd, BASE + BigInt(first) * PAGE, BigInt(pages) * PAGE, memory, abi.MAP_WRITE);
        for (let word = first >>> 6; word <= (end - 1) >>> 6; word++) {
          const below = word === first >>> 6 ? (1n << BigInt(first & 63)) - 1n : 0n;
          const upTo = end - 64 * word >= 64 ? 2n ** 64n - 1n : (1n << BigInt(end - 64 * word)) - 1n;
          words[word] = (words[word]! & below) | (upTo & ~below);
        }
      }
      bitmap.bytes.fill(filled ? 0xff : 0);
      log(GET_BITMAP, BASE, 512n * PAGE);
      const found = words.map((_, n) => getBig(bitmap.bytes, 8 * n));
      assert.deepEqual(found, words);
    }),
    { numRuns: 60 },
  );
});

test('a bitmap of more than one piece is stored whole', async () => {
  const { one, fd, log, bitmap } = await ready({ bytes: 0x20000 });
  for (const n of [0n, 1n]) one.map(fd, BASE + n * 16n * PAGE, 16n * PAGE);
  log(START);
  log(GET_BITMAP, BASE, 0x100000n * PAGE);
  assert.deepEqual(bits(bitmap.bytes.subarray(0, 16)), span(0, 32));
});

test('a mapping that has lost its address gets another, and keeps its rights', async () => {
  const { one, fd, group } = await ready();
  const VADDR = abi.MAP_VADDR;
  const { address, bytes } = one.process.allocate(0x10000);
  const move = (iova: bigint, size: bigint, flags = VADDR) => one.map(fd, iova, size, BigInt(address), flags);
  assert.equal(one.plain(fd, abi.VFIO_CHECK_EXTENSION, 10), 1);
  one.map(fd, BASE, 4n * PAGE);
  one.map(fd, BASE + 4n * PAGE, PAGE);
  refused(() => move(BASE, 4n * PAGE), 'EINVAL', /lost its address/);
  assert.equal(one.unmap(fd, BASE, 4n * PAGE, abi.UNMAP_VADDR), 4n * PAGE);
  refused(() => one.unmap(fd, BASE, 8n * PAGE, abi.UNMAP_VADDR), 'EINVAL', /no address already/);
  refused(() => move(BASE + 4n * PAGE, PAGE), 'EINVAL', /lost its address/);
  refused(() => one.unmap(fd, 0n, 0n, abi.UNMAP_VADDR | abi.UNMAP_FLAG_ALL), 'EINVAL', /no address/);
  refused(() => one.map(fd, BASE, 4n * PAGE), 'EEXIST');
  refused(() => move(BASE, 4n * PAGE, VADDR | abi.MAP_READ), 'EINVAL', /rights/);
  refused(() => move(BASE, 2n * PAGE), 'EINVAL', /lost its address/);
  refused(() => move(BASE + 0x100000n, PAGE), 'ENOENT');
  refused(() => one.map(fd, BASE, 4n * PAGE, 0x7fff_0000_0000n, VADDR), 'EFAULT');
  move(BASE, 4n * PAGE);
  const device = one.device(group);
  const edu = new DataView(new ArrayBuffer(8));
  const write = (at: number, value: bigint) => {
    edu.setBigUint64(0, value, true);
    one.process.pwrite(device, at, new Uint8Array(edu.buffer));
  };
  one.process.pwrite(device, 7 * 2 ** 40 + 4, Uint8Array.of(6, 0));
  for (const [at, value] of [
    [0x80, 0x40000n],
    [0x88, BASE],
    [0x90, 16n],
  ] as const)
    write(at, value);
  bytes.fill(0x77);
  write(0x98, 3n);
  assert.deepEqual([...bytes.subarray(0, 17)], [...new Array(16).fill(0), 0x77]);
  assert.equal(one.unmap(fd, 0n, 0n, abi.UNMAP_VADDR | abi.UNMAP_FLAG_ALL), 5n * PAGE);
  assert.equal(one.unmap(fd, BASE, 4n * PAGE), 4n * PAGE);
  one.map(fd, BASE, 4n * PAGE);
  refused(() => move(BASE, 4n * PAGE), 'EINVAL', /lost its address/);
});

test('no group joins while a mapping lacks its address; beside a mediated device none loses it', async () => {
  const { one, fd } = await ready({ devices: ['edu', 'dsa,mdevs=1'] });
  one.map(fd, BASE, PAGE);
  one.unmap(fd, BASE, PAGE, abi.UNMAP_VADDR);
  const second = one.process.open('vfio/2');
  refused(() => one.join(second, fd), 'EBUSY', /wait for a new address/);
  one.map(fd, BASE, PAGE, undefined, abi.MAP_VADDR);
  one.join(second, fd);
  assert.equal(one.plain(fd, abi.VFIO_CHECK_EXTENSION, 10), 0);
  refused(() => one.unmap(fd, BASE, PAGE, abi.UNMAP_VADDR), 'EBUSY', /mediated/);
});
