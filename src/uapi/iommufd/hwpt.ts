/**
 * The ioctls of an HWPT: alloc, and the invalidation of what it caches of its user's tables.
 */
import { type Work, workOf } from '../../file/work.js';
import type { IommufdContext } from '../../iommufd/context.js';
import {
  HWPT_DIRTY_TRACKING,
  HWPT_FAULT_ID_VALID,
  HWPT_NEST_PARENT,
  HWPT_PASID,
} from '../../iommufd/hwpt.js';
import { NestedHwpt } from '../../iommufd/nested-hwpt.js';
import { IommufdObject } from '../../iommufd/objects.js';
import { Invalidations, UserData } from '../../iommufd/user-data.js';
import { Viommu } from '../../iommufd/viommu.js';
import { hex, refuse } from '../../linux/errno.js';
import { bits, choice, setU32, struct, u32, u64 } from '../struct.js';
import { type Command, type IommufdIoctl, requireZero, respondOrDestroy } from './command.js';
import { HWPT_DATA_VTD_S1 } from './vtd.js';

export const HwptAllocStruct = struct('iommu_hwpt_alloc', {
  size: u32,
  flags: bits({
    IOMMU_HWPT_ALLOC_NEST_PARENT: HWPT_NEST_PARENT,
    IOMMU_HWPT_ALLOC_DIRTY_TRACKING: HWPT_DIRTY_TRACKING,
    IOMMU_HWPT_FAULT_ID_VALID: HWPT_FAULT_ID_VALID,
    IOMMU_HWPT_ALLOC_PASID: HWPT_PASID,
  }),
  dev_id: u32,
  pt_id: u32,
  out_hwpt_id: u32,
  reserved: u32,
  data_type: choice({ IOMMU_HWPT_DATA_NONE: 0, IOMMU_HWPT_DATA_VTD_S1: HWPT_DATA_VTD_S1 }),
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

function* hwptAlloc(context: IommufdContext, command: Command): Work<number> {
  const { data } = command;
  const { at } = HwptAllocStruct;
  requireZero(data, at.reserved, 'HWPT_ALLOC __reserved');
  const { flags, dev_id, pt_id, data_type: type, data_len: length, ...given } = HwptAllocStruct.decode(data);
  if ((type === 0) !== (length === 0))
    refuse('EINVAL', `data of type ${type} and ${length} bytes do not go together`);
  const userData = new UserData(command.caller, type, Number(given.data_uptr), length);
  const hwpt = yield* context.allocHwpt(dev_id, pt_id, flags, userData, given.fault_id);
  setU32(data, at.out_hwpt_id, hwpt.id);
  return yield* workOf(respondOrDestroy(context, hwpt, command));
}

/** As in Linux, the caller is told how many entries were handled whether all went well or not. */
function* hwptInvalidate(context: IommufdContext, { caller, data, respond }: Command): Work<number> {
  const { at } = HwptInvalidateStruct;
  const { hwpt_id, data_uptr, data_type, entry_len, entry_num } = HwptInvalidateStruct.decode(data);
  const array = new Invalidations(caller, data_type, Number(data_uptr), entry_len, entry_num);
  try {
    requireZero(data, at.reserved, 'HWPT_INVALIDATE __reserved');
    if (entry_num > 0) checkEntries(data_uptr, entry_len, entry_num);
    yield* invalidated(context, hwpt_id).invalidate(array);
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
