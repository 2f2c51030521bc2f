import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Caller } from '../../file/open-file.js';
import { Iommu, READ, WRITE } from '../../iommu/iommu.js';
import { BufferMemory } from '../../iommu/memory.js';
import { HWPT_DIRTY_TRACKING } from '../../iommufd/hwpt.js';
import { PagingHwpt } from '../../iommufd/paging-hwpt.js';
import { IommufdSubsystem } from '../../iommufd/subsystem.js';
import { UserData } from '../../iommufd/user-data.js';
import { refuse } from '../../linux/errno.js';
import { FakeHardware } from '../../testkit/fake-hardware.js';
import { setBig, setU32 } from '../struct.js';
import { iommufd } from './command.js';
import { dirtyIoctls, GetDirtyBitmapStruct } from './dirty.js';
import { UserBitmap } from './user-bitmap.js';

const ADDRESS = 0x1000;

/** A caller whose memory ends with `bytes`. */
function callerWith(bytes: Uint8Array): Caller {
  const part = (address: number, length: number) => {
    if (address + length > bytes.length) refuse('EFAULT', `there is no memory at ${address}`);
    return bytes.subarray(address, address + length);
  };
  return {
    readMemory: (address: number, target: Uint8Array) => target.set(part(address, target.length)),
    writeMemory: (address: number, source: Uint8Array) => part(address, source.length).set(source),
  } as unknown as Caller;
}

test('exactly the bits that are asked for are set, in whatever order and length, and all others stay', () => {
  const bits = 3 * 32768;
  const range = fc.tuple(fc.nat({ max: bits - 1 }), fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 40_000 })));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 20 }), (ranges) => {
      const memory = new Uint8Array(ADDRESS + bits / 8).fill(0x10);
      const expected = memory.slice();
      const bitmap = new UserBitmap(callerWith(memory), ADDRESS);
      for (const [first, more] of ranges) {
        const last = Math.min(first + more, bits - 1);
        bitmap.set(first, last);
        for (let bit = first; bit <= last; bit++) expected[ADDRESS + (bit >>> 3)]! |= 1 << (bit & 7);
      }
      bitmap.store();
      assert.equal(Buffer.compare(memory, expected), 0);
    }),
    { numRuns: 50 },
  );
});

test('bits that have no place are lost, and those before them are not', () => {
  const memory = new Uint8Array(ADDRESS + 4096);
  const bitmap = new UserBitmap(callerWith(memory), ADDRESS);
  bitmap.set(5, 5);
  bitmap.set(32768 + 5, 32768 + 5);
  bitmap.set(9, 9);
  bitmap.store();
  assert.deepEqual([...memory.subarray(ADDRESS, ADDRESS + 3)], [0x20, 2, 0]);
});

test('any number of dirty pages can be in one bit', () => {
  const memory = new Uint8Array(2 * ADDRESS);
  const context = new IommufdSubsystem(new Iommu()).open(1);
  const ioas = context.allocIoas();
  const hardware = Object.assign(new FakeHardware(), { dirtyTracking: true });
  const hwpt = PagingHwpt.create(
    ioas,
    hardware,
    HWPT_DIRTY_TRACKING,
    new UserData(callerWith(memory), 0, 0, 0),
  );
  context.objects.add(hwpt);
  // More than a call can have arguments. The same memory many times is as good as much memory.
  const [block, blocks] = [2 ** 22, 256];
  const ram = new BufferMemory(new Uint8Array(block));
  for (let n = 0; n < blocks; n++)
    ioas.map({ length: BigInt(block), access: READ | WRITE, iova: BigInt(n * block) }, 0n, {
      memory: ram,
      offset: 0,
    });
  hwpt.dirty!.enabled = true;
  hwpt.dirty!.written(0, blocks * block);
  const question = new Uint8Array(GetDirtyBitmapStruct.size);
  const { at } = GetDirtyBitmapStruct;
  setU32(question, 0, question.length);
  setU32(question, at.hwpt_id, hwpt.id);
  setBig(question, at.length, BigInt(blocks * block));
  setBig(question, at.page_size, BigInt(blocks * block));
  setBig(question, at.data, BigInt(ADDRESS));
  memory.set(question);
  const ioctl = dirtyIoctls.IOMMU_HWPT_GET_DIRTY_BITMAP;
  assert.equal(
    iommufd('', ioctl)(context, callerWith(memory), {
      cmd: 0x3b00 | ioctl.nr,
      arg: 0,
      data: new Uint8Array(0),
    }),
    0,
  );
  assert.deepEqual([...memory.subarray(ADDRESS, ADDRESS + 2)], [1, 0]);
  assert.equal(hwpt.dirty!.dirty(0n, BigInt(blocks * block)).next().done, true);
});
