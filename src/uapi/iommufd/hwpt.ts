/**
 * The ioctls of an HWPT: alloc, and the invalidation of what it caches of its user's tables.
 */
import type { IommufdContext } from '../../iommufd/context.js';
import { NestedHwpt } from '../../iommufd/nested-hwpt.js';
import { IommufdObject } from '../../iommufd/objects.js';
import { UserArray, UserData } from '../../iommufd/user-data.js';
import { Viommu } from '../../iommufd/viommu.js';
import { hex, refuse } from '../../linux/errno.js';
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

/** What one HWPT_INVALIDATE may ask for. */
const LARGEST_ENTRY = 4096;
const MOST_ENTRIES = 1 << 19;

export const hwptIoctls = {
  IOMMU_HWPT_ALLOC: { nr: 0x89, struct: HwptAllocStruct, last: 'reserved', handle: hwptAlloc },
  IOMMU_HWPT_INVALIDATE: { nr: 0x8d, struct: HwptInvalidateStruct, last: 'reserved', handle: hwptInvalidate },
} as const satisfies Record<string, IommufdIoctl>;

function hwptAlloc(context: IommufdContext, command: Command): number {
  const { data } = command;
  const { at } = HwptAllocStruct;
  requireZero(data, at.reserved, 'HWPT_ALLOC __reserved');
  const [type, length] = [getU32(data, at.data_type), getU32(data, at.data_len)];
  if ((type === 0) !== (length === 0))
    refuse('EINVAL', `data of type ${type} and ${length} bytes do not go together`);
  const userData = new UserData(command.caller, type, Number(getBig(data, at.data_uptr)), length);
  const flags = getU32(data, at.flags);
  const hwpt = context.allocHwpt(
    getU32(data, at.dev_id),
    getU32(data, at.pt_id),
    flags,
    userData,
    getU32(data, at.fault_id),
  );
  setU32(data, at.out_hwpt_id, hwpt.id);
  return respondOrDestroy(context, hwpt, command);
}

/** As in Linux, the caller is told how many entries were handled whether all went well or not. */
function hwptInvalidate(context: IommufdContext, { caller, data, respond }: Command): number {
  const { at } = HwptInvalidateStruct;
  const count = getU32(data, at.entry_num);
  const array = new UserArray(
    caller,
    getU32(data, at.data_type),
    Number(getBig(data, at.data_uptr)),
    getU32(data, at.entry_len),
    count,
  );
  try {
    requireZero(data, at.reserved, 'HWPT_INVALIDATE __reserved');
    if (count > 0) checkEntries(getBig(data, at.data_uptr), getU32(data, at.entry_len), count);
    invalidated(context, getU32(data, at.hwpt_id)).invalidate(array);
  } finally {
    setU32(data, at.entry_num, array.handled);
    respond();
  }
  return 0;
}

function checkEntries(address: bigint, length: number, count: number): void {
  if (address === 0n || length === 0 || length > LARGEST_ENTRY || count > MOST_ENTRIES)
    refuse('EINVAL', `${count} entries of ${length} bytes at ${hex(address)} are no array of invalidations`);
}

function invalidated(context: IommufdContext, id: number): NestedHwpt | Viommu {
  const object = context.objects.get(id, IommufdObject);
  if (object instanceof NestedHwpt || object instanceof Viommu) return object;
  return refuse('EINVAL', `object ${id} is a ${object.kind}, which caches nothing of its user's`);
}
