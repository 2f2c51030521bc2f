/**
 * The ioctls of an HWPT: alloc, and the invalidation of what it caches of its user's tables.
 */
import type { IommufdContext } from '../../iommufd/context.js';
import { IommufdObject } from '../../iommufd/objects.js';
import { refuse } from '../../linux/errno.js';
import { getBig, getU32, setU32, struct, u32, u64 } from '../struct.js';
import { type Command, type IommufdIoctl, requireZero, respondOrDestroy } from './command.js';

export const HwptAllocStruct = struct('iommu_hwpt_alloc', {
  size: u32,
  flags: u32,
  dev_id: u32,
  pt_id: u32,
  out_hwpt_id: u32,
  reserved: u32,
  data_type: u32,
  data_len: u32,
  data_uptr: u64,
  fault_id: u32,
  reserved2: u32,
});
export const HwptInvalidateStruct = struct('iommu_hwpt_invalidate', {
  size: u32,
  hwpt_id: u32,
  data_uptr: u64,
  data_type: u32,
  entry_len: u32,
  entry_num: u32,
  reserved: u32,
});

export const hwptIoctls = {
  IOMMU_HWPT_ALLOC: { nr: 0x89, struct: HwptAllocStruct, last: 'reserved', handle: hwptAlloc },
  IOMMU_HWPT_INVALIDATE: { nr: 0x8d, struct: HwptInvalidateStruct, last: 'reserved', handle: hwptInvalidate },
} as const satisfies Record<string, IommufdIoctl>;

function hwptAlloc(context: IommufdContext, command: Command): number {
  const { data } = command;
  const { at } = HwptAllocStruct;
  requireZero(data, at.reserved, 'HWPT_ALLOC __reserved');
  const type = getU32(data, at.data_type);
  if ((type === 0) !== (getU32(data, at.data_len) === 0))
    refuse('EINVAL', `data of type ${type} and ${getU32(data, at.data_len)} bytes do not go together`);
  const hwpt = context.allocHwpt(getU32(data, at.dev_id), getU32(data, at.pt_id), getU32(data, at.flags), type, getU32(data, at.fault_id));
  setU32(data, at.out_hwpt_id, hwpt.id);
  return respondOrDestroy(context, hwpt, command);
}

function hwptInvalidate(context: IommufdContext, { data, respond }: Command): number {
  const { at } = HwptInvalidateStruct;
  const number = getU32(data, at.entry_num);
  const length = getU32(data, at.entry_len);
  setU32(data, at.entry_num, 0);
  respond();
  requireZero(data, at.reserved, 'HWPT_INVALIDATE __reserved');
  if (number > 0 && (getBig(data, at.data_uptr) === 0n || length === 0 || length > 4096 || number > 1 << 19)) {
    refuse('EINVAL', `${number} entries of ${length} bytes are no array of invalidations`);
  }
  const object = context.objects.get(getU32(data, at.hwpt_id), IommufdObject);
  return refuse('EINVAL', `object ${object.id} is a ${object.kind}, which caches nothing of its user's`);
}
