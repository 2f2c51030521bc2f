/**
 * The ioctls of dirty tracking: on and off, and the bitmap of the pages that were written.
 */
import { LAST_IOVA } from '../../ioasid/iova-ranges.js';
import type { DirtyLog } from '../../iommu/dirty-log.js';
import type { IommufdContext } from '../../iommufd/context.js';
import { PagingHwpt } from '../../iommufd/paging-hwpt.js';
import { hex, refuse } from '../../linux/errno.js';
import { getBig, getU32, struct, u32, u64 } from '../struct.js';
import type { Command, IommufdIoctl } from './command.js';
import { UserBitmap } from './user-bitmap.js';

export const DIRTY_BITMAP_NO_CLEAR = 1;
export const SetDirtyTrackingStruct = struct('iommu_hwpt_set_dirty_tracking', {
  size: u32,
  flags: u32,
  hwpt_id: u32,
  reserved: u32,
});
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
  IOMMU_HWPT_SET_DIRTY_TRACKING: {
    nr: 0x8b,
    struct: SetDirtyTrackingStruct,
    last: 'reserved',
    handle: setDirtyTracking,
  },
  IOMMU_HWPT_GET_DIRTY_BITMAP: {
    nr: 0x8c,
    struct: GetDirtyBitmapStruct,
    last: 'data',
    handle: getDirtyBitmap,
  },
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
  if (flags & ~1 || getU32(data, at.reserved) !== 0)
    refuse('EOPNOTSUPP', `GET_DIRTY_BITMAP flags ${hex(flags)} or __reserved are unknown`);
  const hwpt = context.objects.get(getU32(data, at.hwpt_id), PagingHwpt);
  const [iova, length, pageSize] = [
    getBig(data, at.iova),
    getBig(data, at.length),
    getBig(data, at.page_size),
  ];
  checkBitmapRange(hwpt, iova, length, pageSize);
  const dirty = dirtyLog(hwpt);
  const mapped = hwpt.ioas.mappedFrom(iova, length);
  if (mapped === 0n) return 0;
  const found = [...dirty.dirty(iova, mapped)];
  if ((flags & DIRTY_BITMAP_NO_CLEAR) === 0) dirty.clean(iova, mapped);
  const bitmap = new UserBitmap(caller, Number(getBig(data, at.data)));
  for (const page of found)
    bitmap.set(Number((page - iova) / pageSize), Number((page + dirty.pageSize - 1n - iova) / pageSize));
  bitmap.store();
  return 0;
}

function checkBitmapRange(hwpt: PagingHwpt, iova: bigint, length: bigint, pageSize: bigint): void {
  if (length === 0n) refuse('EINVAL', 'the length is zero');
  if (iova + length - 1n > LAST_IOVA)
    refuse('EOVERFLOW', `iova range ${hex(iova)}+${hex(length)} wraps around`);
  if (pageSize === 0n) refuse('EINVAL', 'the page size is zero');
  const mask = (hwpt.ioas.space.iovas.alignment - 1n) | (pageSize - 1n);
  if ((iova & mask) !== 0n || ((iova + length) & mask) !== 0n)
    refuse('EINVAL', `iova range ${hex(iova)}+${hex(length)} is not aligned to its pages`);
}
