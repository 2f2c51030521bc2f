import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Machine } from '../machine/machine.js';
import { ContainerProgram, RID } from '../testkit/container-program.js';
import { refused } from '../testkit/refused.js';
import { getBig, getU32 } from './struct.js';
import * as abi from './vfio-container.js';

const PAGE = 4096;
const SECOND = '0000:6a:02.0';
const ALL = abi.UNMAP_FLAG_ALL;

interface Scene {
  readonly machine: Machine;
  readonly one: ContainerProgram;
  /** The container. */
  readonly fd: number;
  /** The group of the first device; it has joined. */
  readonly group: number;
}

async function joined(mappingQuota?: number): Promise<Scene> {
  const options = mappingQuota === undefined ? {} : { mappingQuota };
  const machine = await Machine.create({ devices: ['edu', 'edu'], ...options });
  const one = new ContainerProgram(machine);
  const [fd, group] = [one.process.open('vfio/vfio'), one.process.open('vfio/1')];
  one.join(group, fd);
  return { machine, one, fd, group };
}

/** A container with its IOMMU, of type1 or type1v2. */
async function ready(type: 1 | 3 = 3, mappingQuota?: number): Promise<Scene> {
  const scene = await joined(mappingQuota);
  scene.one.plain(scene.fd, abi.VFIO_SET_IOMMU, type);
  return scene;
}

/** What UNMAP_DMA leaves in the struct when it is refused. */
function refusedUnmap({ one, fd }: Scene, iova: bigint, size: bigint, flags = 0): bigint {
  refused(() => one.unmap(fd, iova, size, flags), 'EINVAL');
  return getBig(one.left, 16);
}

test('only questions are answered before SET_IOMMU, which a group must have joined for', async () => {
  const machine = await Machine.create({ devices: ['edu'] });
  const one = new ContainerProgram(machine);
  const fd = one.process.open('vfio/vfio');
  const nothingWorks = () => {
    refused(() => one.map(fd, 0x10000n, 0x1000n), 'EINVAL');
    refused(() => one.unmap(fd, 0x10000n, 0x1000n), 'EINVAL');
    refused(() => one.call(fd, abi.VFIO_IOMMU_GET_INFO, 24), 'EINVAL');
    refused(() => one.call(fd, abi.VFIO_IOMMU_DIRTY_PAGES, 24), 'EINVAL');
    refused(() => one.plain(fd, 0x3b81), 'EINVAL', /SET_IOMMU/);
    refused(() => one.call(fd, (0xc018 << 16) | abi.VFIO_GET_API_VERSION, 24), 'EINVAL', /SET_IOMMU/);
  };
  assert.equal(one.plain(fd, abi.VFIO_GET_API_VERSION), 0);
  const extensions = Array.from({ length: 12 }, (_, n) => n).filter(
    (n) => one.plain(fd, abi.VFIO_CHECK_EXTENSION, n) === 1,
  );
  assert.deepEqual(extensions, [1, 3, 9]);
  nothingWorks();
  refused(() => one.plain(fd, abi.VFIO_SET_IOMMU, 3), 'EINVAL', /no group/);
  const group = one.process.open('vfio/1');
  refused(() => one.device(group), 'EINVAL');
  one.join(group, fd);
  assert.equal(one.status(group), abi.GROUP_VIABLE | abi.GROUP_CONTAINER_SET);
  nothingWorks();
  refused(() => one.device(group), 'EINVAL', /SET_IOMMU/);
  refused(() => one.plain(fd, abi.VFIO_SET_IOMMU, 99), 'ENODEV');
  refused(() => one.plain(fd, abi.VFIO_SET_IOMMU, 9), 'EINVAL');
  one.plain(fd, abi.VFIO_SET_IOMMU, 3);
  assert.equal(one.plain(fd, abi.VFIO_CHECK_EXTENSION, 4), 1);
  refused(() => one.plain(fd, abi.VFIO_SET_IOMMU, 3), 'EINVAL', /already/);
  refused(() => one.plain(fd, 0x3b76), 'ENOTTY');
  one.device(group);
  one.map(fd, 0x10000n, 0x1000n);
});

test('MAP_DMA checks wrap, pages, overlap, number and reach in this order, the memory last', async () => {
  const { one, fd } = await ready(3, 2);
  one.map(fd, 0x20000n, 0x1000n);
  refused(() => one.map(fd, 0x1f000n, 0x2000n), 'EEXIST');
  for (const [iova, size] of [
    [0x30001n, 0x1000n],
    [0x30000n, 100n],
    [0x30000n, 0n],
    [0xfee00000n, 0x1000n],
    [0xfed00000n, 0x200000n],
    [1n << 48n, 0x1000n],
    [(1n << 48n) - 0x1000n, 0x2000n],
  ] as const)
    refused(() => one.map(fd, iova, size), 'EINVAL');
  refused(() => one.map(fd, 0x30000n, 0x1000n, 0x10001n), 'EINVAL');
  refused(() => one.map(fd, 0x30000n, 0x1000n, 0x10000n, 0), 'EINVAL', /right/);
  refused(() => one.map(fd, 0x30000n, 0x1000n, 0x10000n, 8), 'EINVAL');
  refused(() => one.map(fd, 2n ** 64n - 0x1000n, 0x2000n), 'EOVERFLOW');
  refused(() => one.map(fd, 0x30000n, 2n ** 64n - 1n), 'EOVERFLOW');
  refused(() => one.map(fd, 0x30000n, 0x2000n, 2n ** 64n - 0x1000n), 'EOVERFLOW');
  refused(() => one.map(fd, 0x30000n, 0x1000n, 0x7fff_0000_0000n), 'EFAULT');
  one.map(fd, 0x30000n, 0x1000n);
  refused(() => one.map(fd, 0xfee00000n, 0x1000n), 'ENOSPC');
  refused(() => one.map(fd, 0x30000n, 0x1000n), 'EEXIST');
});

test('a container has 65,535 mappings at most, and DMA_AVAIL tells how many are left', async () => {
  const { one, fd, machine } = await ready();
  const available = () => getU32(one.call(fd, abi.VFIO_IOMMU_GET_INFO, 256).data, 64);
  assert.equal(available(), 65_535);
  for (let n = 0n; n < 65_535n; n++) one.map(fd, n * 0x2000n, 0x1000n);
  assert.equal(available(), 0);
  refused(() => one.map(fd, 0xfff0_0000n, 0x1000n), 'ENOSPC');
  one.unmap(fd, 0n, 0x1000n);
  assert.equal(available(), 1);
  one.map(fd, 0xfff0_0000n, 0x1000n);
  assert.equal(machine.snapshot().mappings, 65_535);
});

test('GET_INFO gives all capabilities or none, and the room that they take', async () => {
  const { one, fd } = await ready();
  const ask = (argsz: number) => one.call(fd, abi.VFIO_IOMMU_GET_INFO, argsz).data;
  refused(() => ask(15), 'EINVAL');
  const full = ask(200);
  assert.deepEqual(
    [getU32(full, 0), getU32(full, 4), getBig(full, 8), getU32(full, 16)],
    [200, 3, 0x40201000n, 24],
  );
  assert.deepEqual([getU32(full, 24), getU32(full, 28), getU32(full, 32)], [0x10002, 56, 0]);
  assert.deepEqual([getBig(full, 40), getBig(full, 48)], [0x1000n, 0x10000000n]);
  assert.deepEqual([getU32(full, 56), getU32(full, 60)], [0x10003, 72]);
  assert.deepEqual([getU32(full, 72), getU32(full, 76), getU32(full, 80)], [0x10001, 0, 2]);
  const range = (n: number) => [getBig(full, 88 + 16 * n), getBig(full, 96 + 16 * n)];
  assert.deepEqual(range(0), [0n, 0xfedfffffn]);
  assert.deepEqual(range(1), [0xfef00000n, 2n ** 48n - 1n]);
  const short = ask(119);
  assert.deepEqual([getU32(short, 0), getU32(short, 16), getU32(short, 24)], [120, 0, 0]);
  assert.equal(getU32(ask(16), 0), 120);
});

test('version 2 unmaps whole mappings only; a refused call leaves the struct as it was', async () => {
  const scene = await ready(3);
  const { one, fd } = scene;
  one.map(fd, 0x200000n, 0x10000n);
  assert.equal(refusedUnmap(scene, 0x204000n, 0x4000n), 0x4000n);
  refused(() => one.map(fd, 0x204000n, 0x4000n), 'EEXIST');
  assert.equal(refusedUnmap(scene, 0x203000n, 0x2000n), 0x2000n);
  assert.equal(one.unmap(fd, 0x1f0000n, 0x40000n), 0x10000n);
  one.map(fd, 0x200000n, 0x10000n);
  one.map(fd, 0x220000n, 0x1000n);
  assert.equal(refusedUnmap(scene, 0x208000n, 0x20000n), 0x20000n);
  assert.equal(refusedUnmap(scene, 0n, 0x1000n, ALL), 0x1000n);
  assert.equal(refusedUnmap(scene, 0x1000n, 0n), 0n);
  assert.equal(refusedUnmap(scene, 0x1000n, 0x1000n, 1), 0x1000n);
  assert.equal(one.unmap(fd, 0n, 0n, ALL), 0x11000n);
  assert.equal(one.unmap(fd, 0n, 0n, ALL), 0n);
  assert.equal(one.unmap(fd, 0n, 2n ** 64n - 0x1000n), 0n);
});

test('version 1 unmaps whole mappings, and nothing from the middle of one', async () => {
  const { one, fd } = await ready(1);
  one.map(fd, 0x200000n, 0x10000n);
  assert.equal(one.unmap(fd, 0x204000n, 0x4000n), 0n);
  refused(() => one.map(fd, 0x204000n, 0x4000n), 'EEXIST');
  assert.equal(one.unmap(fd, 0x203000n, 0x2000n), 0n);
  one.map(fd, 0x220000n, 0x1000n);
  assert.equal(one.unmap(fd, 0x208000n, 0x20000n), 0n);
  assert.equal(one.unmap(fd, 0x1ff000n, 0x2000n), 0x10000n);
  assert.equal(one.unmap(fd, 0n, 0n, ALL), 0x1000n);
});

test('a group cannot leave with its device open; with the last one all mappings go', async () => {
  const { machine, one, fd, group } = await ready();
  const [second, first] = [one.process.open('vfio/2'), one.device(group)];
  one.join(second, fd);
  one.map(fd, 0x10000n, 0x1000n);
  refused(() => one.plain(group, abi.VFIO_GROUP_UNSET_CONTAINER), 'EBUSY');
  refused(() => one.join(group, fd), 'EINVAL');
  one.process.close(first);
  one.plain(group, abi.VFIO_GROUP_UNSET_CONTAINER);
  refused(() => one.map(fd, 0x10000n, 0x1000n), 'EEXIST');
  one.process.close(second);
  assert.equal(machine.snapshot().mappings, 0);
  assert.equal(machine.snapshot().memories, 0);
  refused(() => one.map(fd, 0x10000n, 0x1000n), 'EINVAL');
  one.join(group, fd);
  refused(() => one.device(group), 'EINVAL');
  one.plain(fd, abi.VFIO_SET_IOMMU, 1);
  one.device(group);
  one.map(fd, 0x10000n, 0x1000n);
});

test('container, group and device can be closed in any order; DMA goes on to the last', async () => {
  const { machine, one, fd, group } = await ready();
  const device = one.device(group);
  const memory = one.process.allocate(PAGE);
  memory.bytes.set(Buffer.from('0123456789abcdef'));
  one.map(fd, 0x10000n, 0x1000n, BigInt(memory.address));
  const write = (offset: number, value: bigint, length: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    one.process.pwrite(device, offset, bytes.subarray(0, length));
  };
  write(7 * 2 ** 40 + 4, 6n, 2);
  one.process.close(fd);
  one.process.close(group);
  const copy = (from: bigint, to: bigint, command: bigint) => {
    for (const [at, value] of [
      [0x80, from],
      [0x88, to],
      [0x90, 16n],
      [0x98, command],
    ] as const)
      write(at, value, 8);
    while (machine.step());
  };
  copy(0x10000n, 0x40000n, 1n);
  copy(0x40000n, 0x10100n, 3n);
  assert.equal(Buffer.from(memory.bytes.subarray(0x100, 0x110)).toString(), '0123456789abcdef');
  refused(() => one.process.open('vfio/1'), 'EBUSY');
  one.process.close(device);
  assert.equal(machine.snapshot().mappings, 0);
  one.process.close(one.process.open('vfio/1'));
});

test('a device in a container is of one ABI, and its own file cannot be bound meanwhile', async () => {
  const { one, fd, group } = await ready();
  const cdev = one.process.open('vfio/devices/vfio0');
  refused(() => one.device(group, RID), 'EBUSY');
  one.process.close(cdev);
  one.device(group, RID);
  refused(() => one.process.open('vfio/devices/vfio0'), 'EBUSY');
  refused(() => one.device(group, SECOND), 'ENODEV');
  assert.equal(one.unmap(fd, 0n, 0n, ALL), 0n);
});

test('mappings are what was mapped less what was unmapped, by any list of calls', async () => {
  const machine = await Machine.create({ devices: ['edu'] });
  const step = fc.record({ unmap: fc.boolean(), page: fc.nat(20), pages: fc.integer({ min: 1, max: 8 }) });
  const run = (type: 1 | 3, steps: readonly { unmap: boolean; page: number; pages: number }[]) => {
    const one = new ContainerProgram(machine);
    const [fd, group] = [one.process.open('vfio/vfio'), one.process.open('vfio/1')];
    one.join(group, fd);
    one.plain(fd, abi.VFIO_SET_IOMMU, type);
    const mapped = new Map<number, number>();
    for (const { unmap, page, pages } of steps) {
      const [iova, size, end] = [BigInt(page * PAGE), BigInt(pages * PAGE), page + pages];
      const touched = [...mapped].filter(([at, length]) => at < end && at + length > page);
      const cut = touched.some(([at, length]) => at < page || (type === 3 && at + length > end));
      if (!unmap && touched.length > 0) refused(() => one.map(fd, iova, size), 'EEXIST');
      else if (!unmap) one.map(fd, iova, size);
      else if (cut && type === 3) refused(() => one.unmap(fd, iova, size), 'EINVAL');
      else {
        const gone = cut ? [] : touched;
        const bytes = gone.reduce((sum, [, length]) => sum + length * PAGE, 0);
        assert.equal(one.unmap(fd, iova, size), BigInt(bytes));
        for (const [at] of gone) mapped.delete(at);
      }
      if (!unmap && touched.length === 0) mapped.set(page, pages);
    }
    assert.equal(machine.snapshot().mappings, mapped.size);
    one.process.exit();
    assert.equal(machine.snapshot().mappings, 0);
    assert.equal(machine.snapshot().memories, 0);
  };
  fc.assert(fc.property(fc.constantFrom(1 as const, 3 as const), fc.array(step, { maxLength: 30 }), run), {
    numRuns: 100,
  });
});
