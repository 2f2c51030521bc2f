/**
 * The ioctls of dirty tracking: on and off, and the bitmap of the pages that were written.
 */
import type { Caller } from '../../ioasid/caller.js';
import { LAST_IOVA } from '../../ioasid/iova-ranges.js';
import type { DirtyLog } from '../../iommu/dirty-log.js';
import type { IommufdContext } from '../../iommufd/context.js';
import { PagingHwpt } from '../../iommufd/paging-hwpt.js';
import { hex, Refusal, refuse } from '../../linux/errno.js';
import { getBig, getU32, struct, u32, u64 } from '../struct.js';
import type { Command, IommufdIoctl } from './command.js';

export const DIRTY_BITMAP_NO_CLEAR = 1;
/** So many bits of a bitmap are copied at once: a page of them. */
const BITMAP_CHUNK_BITS = 32768;
export const SetDirtyTrackingStruct = struct('iommu_hwpt_set_dirty_tracking', { size: u32, flags: u32, hwpt_id: u32, reserved: u32 });
export const GetDirtyBitmapStruct = struct('iommu_hwpt_get_dirty_bitmap', {
  size: u32,
  hwpt_id: u32,
  flags: u32,
  reserved: u32,
  iova: u64,
  length: u64,
  page_size: u64,
  data: u64,
});

export const dirtyIoctls = {
  IOMMU_HWPT_SET_DIRTY_TRACKING: { nr: 0x8b, struct: SetDirtyTrackingStruct, last: 'reserved', handle: setDirtyTracking },
  IOMMU_HWPT_GET_DIRTY_BITMAP: { nr: 0x8c, struct: GetDirtyBitmapStruct, last: 'data', handle: getDirtyBitmap },
} as const satisfies Record<string, IommufdIoctl>;

function setDirtyTracking(context: IommufdContext, { data }: Command): number {
  const { at } = SetDirtyTrackingStruct;
  const flags = getU32(data, at.flags);
  if (flags & ~1) refuse('EOPNOTSUPP', `SET_DIRTY_TRACKING flags ${hex(flags)} are unknown`);
  const hwpt = context.objects.get(getU32(data, at.hwpt_id), PagingHwpt);
  const dirty = dirtyLog(hwpt);
  if (flags & 1) dirty.clear();
  dirty.enabled = (flags & 1) !== 0;
  return 0;
}

function dirtyLog(hwpt: PagingHwpt): DirtyLog {
  return hwpt.dirty ?? refuse('EOPNOTSUPP', `HWPT ${hwpt.id} was not allocated for dirty tracking`);
}

function getDirtyBitmap(context: IommufdContext, { caller, data }: Command): number {
  const { at } = GetDirtyBitmapStruct;
  const flags = getU32(data, at.flags);
  if (flags & ~1 || getU32(data, at.reserved) !== 0) refuse('EOPNOTSUPP', `GET_DIRTY_BITMAP flags ${hex(flags)} or __reserved are unknown`);
  const hwpt = context.objects.get(getU32(data, at.hwpt_id), PagingHwpt);
  const [iova, length, pageSize] = [getBig(data, at.iova), getBig(data, at.length), getBig(data, at.page_size)];
  checkBitmapRange(hwpt, iova, length, pageSize);
  const dirty = dirtyLog(hwpt);
  const mapped = hwpt.ioas.mappedFrom(iova, length);
  if (mapped === 0n) return 0;
  const found = [...dirty.dirty(iova, mapped)];
  if ((flags & DIRTY_BITMAP_NO_CLEAR) === 0) dirty.clean(iova, mapped);
  recordInBitmap(caller, Number(getBig(data, at.data)), found, (page) => [
    (page - iova) / pageSize,
    (page + dirty.pageSize - 1n - iova) / pageSize,
  ]);
  return 0;
}

/** Sets the bits of `pages` in the caller's bitmap, whose other bits stay. As in Linux, bits that have no place are lost without an error. */
function recordInBitmap(caller: Caller, address: number, pages: readonly bigint[], bitsOf: (page: bigint) => [bigint, bigint]): void {
  const chunks = new Map<number, number[]>();
  for (const page of pages) {
    const [first, last] = bitsOf(page);
    for (let bit = Number(first); bit <= Number(last); bit++) {
      const chunk = Math.floor(bit / BITMAP_CHUNK_BITS);
      const bits = chunks.get(chunk);
      if (bits === undefined) chunks.set(chunk, [bit % BITMAP_CHUNK_BITS]);
      else bits.push(bit % BITMAP_CHUNK_BITS);
    }
  }
  for (const [chunk, bits] of chunks) setBits(caller, address + chunk * (BITMAP_CHUNK_BITS / 8), bits);
}

function setBits(caller: Caller, address: number, bits: readonly number[]): void {
  const first = Math.min(...bits) >>> 3;
  const bytes = new Uint8Array((Math.max(...bits) >>> 3) - first + 1);
  try {
    caller.readMemory(address + first, bytes);
    for (const bit of bits) bytes[(bit >>> 3) - first]! |= 1 << (bit & 7);
    caller.writeMemory(address + first, bytes);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}

function checkBitmapRange(hwpt: PagingHwpt, iova: bigint, length: bigint, pageSize: bigint): void {
  if (length === 0n) refuse('EINVAL', 'the length is zero');
  if (iova + length - 1n > LAST_IOVA) refuse('EOVERFLOW', `iova range ${hex(iova)}+${hex(length)} wraps around`);
  if (pageSize === 0n) refuse('EINVAL', 'the page size is zero');
  const mask = (hwpt.ioas.space.alignment - 1n) | (pageSize - 1n);
  if ((iova & mask) !== 0n || ((iova + length) & mask) !== 0n)
    refuse('EINVAL', `iova range ${hex(iova)}+${hex(length)} is not aligned to its pages`);
}
