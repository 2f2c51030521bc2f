/**
 * The ioctls of dirty tracking: on and off, and the bitmap of the pages that were written.
 */
import type { Work } from '../../file/work.js';
import { LAST_IOVA } from '../../ioasid/iova-ranges.js';
import { type DirtyLog, type DirtyPart, DirtyWords } from '../../iommu/dirty-log.js';
import type { IommufdContext } from '../../iommufd/context.js';
import { PagingHwpt } from '../../iommufd/paging-hwpt.js';
import { hex, refuse } from '../../linux/errno.js';
import { bits, struct, u32, u64 } from '../struct.js';
import type { Command, IommufdIoctl } from './command.js';
import { UserBitmap } from './user-bitmap.js';

export const DIRTY_BITMAP_NO_CLEAR = 1;
export const SetDirtyTrackingStruct = struct('iommu_hwpt_set_dirty_tracking', {
  size: u32,
  flags: bits({ IOMMU_HWPT_DIRTY_TRACKING_ENABLE: 1 }),
  hwpt_id: u32,
  reserved: u32,
});
export const GetDirtyBitmapStruct = struct('iommu_hwpt_get_dirty_bitmap', {
  size: u32,
  hwpt_id: u32,
  flags: bits({ IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR: DIRTY_BITMAP_NO_CLEAR }),
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
  const { flags, hwpt_id } = SetDirtyTrackingStruct.decode(data);
  if (flags & ~1) refuse('EOPNOTSUPP', `SET_DIRTY_TRACKING flags ${hex(flags)} are unknown`);
  const dirty = dirtyLog(context.objects.get(hwpt_id, PagingHwpt));
  if (flags & 1) dirty.clear();
  dirty.enabled = (flags & 1) !== 0;
  return 0;
}

function dirtyLog(hwpt: PagingHwpt): DirtyLog {
  return hwpt.dirty ?? refuse('EOPNOTSUPP', `HWPT ${hwpt.id} was not allocated for dirty tracking`);
}

function* getDirtyBitmap(context: IommufdContext, { caller, data }: Command): Work<number> {
  const { flags, reserved, hwpt_id, iova, length, page_size, ...given } = GetDirtyBitmapStruct.decode(data);
  if (flags & ~1 || reserved !== 0)
    refuse('EOPNOTSUPP', `GET_DIRTY_BITMAP flags ${hex(flags)} or __reserved are unknown`);
  const hwpt = context.objects.get(hwpt_id, PagingHwpt);
  checkBitmapRange(hwpt, iova, length, page_size);
  const dirty = dirtyLog(hwpt);
  const mapped = yield* hwpt.ioas.mappedFrom(iova, length);
  if (mapped === 0n) return 0;
  const bitmap = new UserBitmap(caller, Number(given.data));
  const clear = (flags & DIRTY_BITMAP_NO_CLEAR) === 0;
  for (const part of dirty.parts(iova, mapped)) {
    setPart(bitmap, dirty, part, iova, Number(page_size));
    if (clear) dirty.clean(part.iova, part.length);
    yield;
  }
  bitmap.store();
  return 0;
}

/** Of the part that is looked at. */
const words = new DirtyWords();

/** Sets the bits of one part; the first bit is that of `iova`, and each is for `bitBytes` bytes. */
function setPart(bitmap: UserBitmap, dirty: DirtyLog, part: DirtyPart, iova: bigint, bitBytes: number): void {
  const first = Number(iova / dirty.pageSize);
  const pageBytes = Number(dirty.pageSize);
  dirty.read(part, words);
  for (let n = 0; n < words.count; n++) {
    const [page, bits] = [words.pages[n]! - first, words.bits[n]!];
    if (pageBytes === bitBytes) bitmap.or(page, bits);
    else setScaled(bitmap, page, bits, pageBytes, bitBytes);
  }
}

/** As `bitmap.or`, where a page of the log has several bits, or a bit several of its pages. */
function setScaled(
  bitmap: UserBitmap,
  first: number,
  bits: number,
  pageBytes: number,
  bitBytes: number,
): void {
  for (let [page, rest] = [first, bits]; rest !== 0; page++, rest >>>= 1) {
    if ((rest & 1) === 0) continue;
    const end = Math.ceil(((page + 1) * pageBytes) / bitBytes);
    bitmap.set(Math.floor((page * pageBytes) / bitBytes), end - 1);
  }
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
