import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Machine } from '../machine/machine.js';
import { ContainerProgram as Program, RID } from '../testkit/container-program.js';
import { refused } from '../testkit/refused.js';
import { getBig, getS32, getU32 } from './struct.js';
import { VFIO_DEVICE_GET_INFO } from './vfio.js';
import { BindStruct, VFIO_DEVICE_BIND_IOMMUFD } from './vfio-cdev.js';
import * as abi from './vfio-container.js';

const PAGE = 4096;
const IOMMU_OPTION = 0x3b87;
const VFIO_IOMMU_DIRTY_PAGES = 0x3b75;

const machine = () => Machine.create({ devices: ['edu', 'edu'], container: 'iommufd' });

async function program(): Promise<Program> {
  return new Program(await machine());
}

/** A container with an IOAS, of type1 or type1v2. */
async function container(type: 1 | 3): Promise<{ one: Program; fd: number }> {
  const one = await program();
  const fd = one.process.open('vfio/vfio');
  one.nameIoas(fd);
  one.plain(fd, abi.VFIO_SET_IOMMU, type);
  return { one, fd };
}

for (const path of ['vfio/vfio', 'iommu']) {
  test(`${path} answers what it can do; all that touches memory needs an IOAS`, async () => {
    const one = await program();
    const fd = one.process.open(path);
    assert.equal(one.plain(fd, abi.VFIO_GET_API_VERSION), 0);
    const extensions = Array.from({ length: 12 }, (_, n) => n).filter(
      (n) => n !== 4 && one.plain(fd, abi.VFIO_CHECK_EXTENSION, n) === 1,
    );
    assert.deepEqual(extensions, [1, 3, 9]);
    refused(() => one.plain(fd, abi.VFIO_CHECK_EXTENSION, 4), 'ENODEV');
    refused(() => one.plain(fd, abi.VFIO_SET_IOMMU, 1), 'ENODEV');
    refused(() => one.plain(fd, abi.VFIO_SET_IOMMU, 8), 'EINVAL');
    refused(() => one.map(fd, 0x1000n, 0x1000n), 'ENODEV');
    refused(() => one.unmap(fd, 0x1000n, 0x1000n), 'ENODEV');
    refused(() => one.call(fd, abi.VFIO_IOMMU_GET_INFO, 24), 'ENODEV');
    refused(() => one.call(fd, VFIO_IOMMU_DIRTY_PAGES, 24), 'ENOTTY');
    refused(() => one.call(fd, abi.VFIO_GET_API_VERSION + 0x40040000, 4), 'ENOTTY');
  });
}

test('a container counts memory for the process, /dev/iommu for the user', async () => {
  const one = await program();
  const mode = (fd: number) => getBig(one.call(fd, IOMMU_OPTION, 24, [[8, 1]]).data, 16);
  assert.equal(mode(one.process.open('vfio/vfio')), 1n);
  assert.equal(mode(one.process.open('iommu')), 0n);
});

test('GET_INFO gives the capabilities that there is room for, and the room that all take', async () => {
  const { one, fd } = await container(3);
  const ask = (argsz: number) => one.call(fd, abi.VFIO_IOMMU_GET_INFO, argsz).data;
  for (const argsz of [0, 15]) refused(() => ask(argsz), 'EINVAL');
  const full = ask(256);
  assert.deepEqual(
    [getU32(full, 0), getU32(full, 4), getBig(full, 8), getU32(full, 16)],
    [72, 3, 2n ** 64n - 4096n, 24],
  );
  assert.deepEqual([getU32(full, 24), getU32(full, 28), getU32(full, 32)], [0x10003, 40, 0xffffffff]);
  assert.deepEqual([getU32(full, 40), getU32(full, 44), getU32(full, 48)], [0x10001, 0, 1]);
  assert.deepEqual([getBig(full, 56), getBig(full, 64)], [0n, 2n ** 64n - 1n]);
  assert.equal(getU32(ask(71), 16), 0, 'no offset is given when one capability is missing');
  assert.equal(getU32(ask(71), 24), 0x10003);
  assert.equal(getU32(ask(24), 24), 0);
  assert.equal(getU32(ask(16), 16), 0);
});

test('with a device in the container the ranges leave out what it cannot reach', async () => {
  const one = await program();
  const fd = one.process.open('vfio/vfio');
  const group = one.process.open('vfio/1');
  one.join(group, fd);
  one.device(group);
  assert.equal(one.plain(fd, abi.VFIO_CHECK_EXTENSION, 4), 1);
  const { data } = one.call(fd, abi.VFIO_IOMMU_GET_INFO, 256);
  const ranges = Array.from({ length: getU32(data, 48) }, (_, n) => [
    getBig(data, 56 + 16 * n),
    getBig(data, 64 + 16 * n),
  ]);
  assert.deepEqual(ranges, [
    [0n, 0xfedfffffn],
    [0xfef00000n, 2n ** 48n - 1n],
  ]);
});

test('MAP_DMA maps at the IOVA that it names; UNMAP_DMA answers the bytes, which may be none', async () => {
  const { one, fd } = await container(3);
  one.map(fd, 0x10000n, 0x4000n);
  refused(() => one.map(fd, 0x13000n, 0x2000n), 'EEXIST');
  refused(() => one.map(fd, 0x0n, 0n), 'EINVAL');
  refused(() => one.map(fd, 0x0n, 0x1000n, 0x10000n, 4), 'EINVAL');
  refused(() => one.map(fd, 0x0n, 0x1000n, 2n ** 64n - 0x100n), 'EOVERFLOW');
  refused(() => one.map(fd, 2n ** 64n - 0x100n, 0x1000n), 'EOVERFLOW');
  assert.equal(one.unmap(fd, 0x20000n, 0x1000n), 0n);
  assert.equal(one.unmap(fd, 0x10000n, 0x4000n), 0x4000n);
  one.map(fd, 0x10000n, 0x1000n);
  one.map(fd, 0x30000n, 0x2000n);
  refused(() => one.unmap(fd, 0x1000n, 0n, abi.UNMAP_FLAG_ALL), 'EINVAL');
  refused(() => one.unmap(fd, 0n, 0x1000n, abi.UNMAP_FLAG_ALL), 'EINVAL');
  refused(() => one.unmap(fd, 0n, 0n, 1), 'EINVAL');
  assert.equal(one.unmap(fd, 0n, 0n, abi.UNMAP_FLAG_ALL), 0x3000n);
});

test('version 2 splits no mapping: what lies below the cut is unmapped, and its size answered', async () => {
  const { one, fd } = await container(3);
  one.map(fd, 0x10000n, 0x1000n);
  one.map(fd, 0x20000n, 0x4000n);
  refused(() => one.unmap(fd, 0x21000n, 0x1000n), 'ENOENT');
  assert.equal(getBig(one.left, 16), 0n);
  refused(() => one.unmap(fd, 0x10000n, 0x11000n), 'ENOENT');
  assert.equal(getBig(one.left, 16), 0x1000n);
  assert.equal(one.unmap(fd, 0x20000n, 0x4000n), 0x4000n);
});

test('version 1 unmaps the middle of a mapping; the rest still means the memory that it did', async () => {
  const system = await machine();
  const one = new Program(system);
  const fd = one.process.open('vfio/vfio');
  one.nameIoas(fd);
  one.plain(fd, abi.VFIO_SET_IOMMU, 1);
  one.map(fd, 0x10000n, 0x4000n, 0x50000n);
  assert.equal(one.unmap(fd, 0x11000n, 0x1000n), 0x1000n);
  const [context] = system.iommufd.contexts();
  const left = context!
    .compatIoas!.space.mappings(9)
    .map(({ iova, length, offset }) => [iova, length, offset]);
  assert.deepEqual(left, [
    [0x10000n, 0x1000n, 0x50000n],
    [0x12000n, 0x2000n, 0x52000n],
  ]);
  refused(() => one.map(fd, 0x12000n, 0x1000n), 'EEXIST');
  refused(() => one.unmap(fd, 0x10800n, 0x800n), 'EINVAL');
  refused(() => one.unmap(fd, 0x12800n, 0x800n), 'EINVAL');
  assert.equal(one.unmap(fd, 0n, 0n, abi.UNMAP_FLAG_ALL), 0x3000n);
});

test('version 1 by a list of bytes: what is mapped is what was not unmapped, in whole pages', async () => {
  const system = await machine();
  const range = fc.record({ unmap: fc.boolean(), page: fc.nat(20), pages: fc.integer({ min: 1, max: 8 }) });
  fc.assert(
    fc.property(fc.array(range, { maxLength: 30 }), (steps) => {
      const one = new Program(system);
      const fd = one.process.open('vfio/vfio');
      one.nameIoas(fd);
      one.plain(fd, abi.VFIO_SET_IOMMU, 1);
      const mapped = new Set<number>();
      for (const { unmap, page, pages } of steps) {
        const touched = Array.from({ length: pages }, (_, n) => page + n);
        const [iova, size] = [BigInt(page * PAGE), BigInt(pages * PAGE)];
        const there = touched.filter((each) => mapped.has(each));
        if (unmap) {
          assert.equal(one.unmap(fd, iova, size), BigInt(there.length * PAGE));
          for (const each of touched) mapped.delete(each);
        } else if (there.length > 0) {
          refused(() => one.map(fd, iova, size), 'EEXIST');
        } else {
          one.map(fd, iova, size);
          for (const each of touched) mapped.add(each);
        }
      }
      assert.equal(one.unmap(fd, 0n, 0n, abi.UNMAP_FLAG_ALL), BigInt(mapped.size * PAGE));
      one.process.exit();
    }),
    { numRuns: 50 },
  );
  assert.equal(system.snapshot().mappings, 0);
  assert.equal(system.snapshot().memories, 0);
});

test('a group is opened once; its status tells whether it has a container', async () => {
  const one = await program();
  const group = one.process.open('vfio/1');
  refused(() => one.process.open('vfio/1'), 'EBUSY');
  assert.equal(one.status(group), abi.GROUP_VIABLE);
  refused(() => one.call(group, abi.VFIO_GROUP_GET_STATUS, 7), 'EINVAL');
  refused(() => one.plain(group, abi.VFIO_GROUP_UNSET_CONTAINER), 'EINVAL');
  const fd = one.process.open('vfio/vfio');
  one.join(group, fd);
  assert.equal(one.status(group), abi.GROUP_VIABLE | abi.GROUP_CONTAINER_SET);
  refused(() => one.join(group, fd), 'EINVAL');
  refused(() => one.join(group, group), 'EINVAL');
  refused(() => one.join(group, 999), 'EBADF');
  one.plain(group, abi.VFIO_GROUP_UNSET_CONTAINER);
  assert.equal(one.status(group), abi.GROUP_VIABLE);
  one.process.close(group);
  one.process.close(one.process.open('vfio/1'));
});

test('SET_CONTAINER takes a container only: both files of iommufds, no others', async () => {
  const one = await program();
  const group = one.process.open('vfio/1');
  const memfd = one.process.createMemfd(PAGE).fd;
  refused(() => one.join(group, 999), 'EBADF');
  refused(() => one.join(group, -1), 'EBADF');
  for (const fd of [memfd, group, one.process.open('ioasid'), one.process.open('vfio/devices/vfio1')]) {
    refused(() => one.join(group, fd), 'EBADFD');
  }
  refused(() => one.plain(group, abi.VFIO_GROUP_SET_CONTAINER, 8), 'EFAULT');
  one.join(group, one.process.open('iommu'));
  one.join(one.process.open('vfio/2'), one.process.open('vfio/vfio'));
});

test('GET_DEVICE_FD gives a device that is attached to the container, as good as by its file', async () => {
  const one = await program();
  const [fd, group] = [one.process.open('vfio/vfio'), one.process.open('vfio/1')];
  refused(() => one.device(group), 'EINVAL');
  one.join(group, fd);
  refused(() => one.device(group, '0000:6a:02.0'), 'ENODEV');
  refused(() => one.device(group, `${RID}x`), 'ENODEV');
  refused(() => one.device(group, `${RID} vf_token=5b4ab9ac-5bc4-4a5c-9f9c-6d7a0f1f1b1b`), 'EINVAL');
  refused(() => one.plain(group, abi.VFIO_GROUP_GET_DEVICE_FD, 8), 'EFAULT');
  const device = one.device(group);
  assert.equal(getU32(one.call(device, VFIO_DEVICE_GET_INFO, 20).data, 8), 9);
  refused(
    () => one.call(device, VFIO_DEVICE_BIND_IOMMUFD, BindStruct.at.token_uuid_ptr, [[8, fd]]),
    'EINVAL',
  );
  const id = new Uint8Array(4);
  assert.equal(one.process.pread(device, 7 * 2 ** 40, id), 4);
  assert.equal(getS32(id, 0) & 0xffff, 0x1234);
});

test('a device opened twice is closed with its last file, its group in an iommufd with its own', async () => {
  const one = await program();
  const [fd, group] = [one.process.open('vfio/vfio'), one.process.open('vfio/1')];
  one.join(group, fd);
  const devices = [one.device(group), one.device(group)] as const;
  one.process.close(group);
  one.process.close(fd);
  const again = one.process.open('vfio/1');
  assert.equal(one.status(again), 0);
  one.process.close(devices[0]);
  one.call(devices[1], VFIO_DEVICE_GET_INFO, 20);
  assert.equal(one.status(again), 0);
  one.process.close(devices[1]);
  assert.equal(one.status(again), abi.GROUP_VIABLE);
});

test('a device is used through its own file or through its group, not through both', async () => {
  const one = await program();
  const fd = one.process.open('iommu');
  const bind = (device: number) =>
    one.call(device, VFIO_DEVICE_BIND_IOMMUFD, BindStruct.at.token_uuid_ptr, [[8, fd]]);
  const own = one.process.open('vfio/devices/vfio0');
  const group = one.process.open('vfio/1');
  one.join(group, fd);
  refused(() => one.device(group), 'EBUSY');
  refused(() => bind(own), 'EBUSY');
  one.process.close(group);
  bind(own);
  refused(() => one.process.open('vfio/1'), 'EBUSY');
});

test('whatever is asked of a container or group, it is done or refused, and nothing is left', async () => {
  const system = await machine();
  const names = Object.values(abi).filter(
    (each): each is number => typeof each === 'number' && each >>> 8 === 0x3b,
  );
  const word = fc.oneof(fc.constantFrom(0, 1, 2, 8, 16, 24, 32, 64, 0xffffffff), fc.nat(0xffffffff));
  const calls = fc.record({
    on: fc.nat(2),
    cmd: fc.constantFrom(...names),
    words: fc.array(word, { maxLength: 8 }),
    address: fc.option(fc.constantFrom(0, 1, 8, 2 ** 47, 2 ** 63)),
  });
  fc.assert(
    fc.property(fc.array(calls, { maxLength: 12 }), (asked) => {
      const one = new Program(system);
      const files = [
        one.process.open('vfio/vfio'),
        one.process.open('vfio/1'),
        one.process.open('vfio/2'),
      ] as const;
      one.nameIoas(files[0]);
      one.join(files[2], files[0]);
      for (const { on, cmd, words, address } of asked) {
        try {
          if (address === null)
            one.call(
              files[on]!,
              cmd,
              words[0] ?? 0,
              words.map((value, n) => [4 * n, value] as const),
            );
          else one.plain(files[on]!, cmd, address);
        } catch (error) {
          assert.equal((error as Error).name, 'Refusal', String(error));
        }
      }
      one.process.exit();
    }),
    { numRuns: 300 },
  );
  assert.equal(system.snapshot().mappings, 0);
  assert.equal([...system.iommufd.contexts()].length, 0);
});
