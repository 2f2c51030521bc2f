/**
 * The ioctls of a vIOMMU: its making, its devices, its queues. What a machine invalidates goes through
 * HWPT_INVALIDATE.
 */
import type { IommufdContext } from '../../iommufd/context.js';
import { UserData } from '../../iommufd/user-data.js';
import { hex, refuse } from '../../linux/errno.js';
import { getBig, getU32, setU32, struct, u32, u64 } from '../struct.js';
import { type Command, type IommufdIoctl, requireZero, respondOrDestroy } from './command.js';

export const ViommuAllocStruct = struct('iommu_viommu_alloc', {
  size: u32,
  flags: u32,
  type: u32,
  dev_id: u32,
  hwpt_id: u32,
  out_viommu_id: u32,
  data_len: u32,
  reserved: u32,
  data_uptr: u64,
});
export const VdeviceAllocStruct = struct('iommu_vdevice_alloc', {
  size: u32,
  viommu_id: u32,
  dev_id: u32,
  out_vdevice_id: u32,
  virt_id: u64,
});
export const HwQueueAllocStruct = struct('iommu_hw_queue_alloc', {
  size: u32,
  flags: u32,
  viommu_id: u32,
  type: u32,
  index: u32,
  out_hw_queue_id: u32,
  nesting_parent_iova: u64,
  length: u64,
});
/** IOMMU_VIOMMU_TYPE_DEFAULT, IOMMU_HW_QUEUE_TYPE_DEFAULT: no type. */
const NO_TYPE = 0;

export const viommuIoctls = {
  IOMMU_VIOMMU_ALLOC: { nr: 0x90, struct: ViommuAllocStruct, last: 'out_viommu_id', handle: viommuAlloc },
  IOMMU_VDEVICE_ALLOC: { nr: 0x91, struct: VdeviceAllocStruct, last: 'virt_id', handle: vdeviceAlloc },
  IOMMU_HW_QUEUE_ALLOC: { nr: 0x94, struct: HwQueueAllocStruct, last: 'length', handle: hwQueueAlloc },
} as const satisfies Record<string, IommufdIoctl>;

function viommuAlloc(context: IommufdContext, command: Command): number {
  const { caller, data } = command;
  const { at } = ViommuAllocStruct;
  const type = getU32(data, at.type);
  requireZero(data, at.flags, 'VIOMMU_ALLOC flags');
  if (type === NO_TYPE) refuse('EOPNOTSUPP', 'a vIOMMU is of a type, and none is given');
  const userData = new UserData(caller, type, Number(getBig(data, at.data_uptr)), getU32(data, at.data_len));
  const viommu = context.allocViommu(getU32(data, at.dev_id), getU32(data, at.hwpt_id), userData);
  setU32(data, at.out_viommu_id, viommu.id);
  return respondOrDestroy(context, viommu, command);
}

function vdeviceAlloc(context: IommufdContext, command: Command): number {
  const { data } = command;
  const { at } = VdeviceAllocStruct;
  const vdevice = context.allocVdevice(
    getU32(data, at.viommu_id),
    getU32(data, at.dev_id),
    getBig(data, at.virt_id),
  );
  setU32(data, at.out_vdevice_id, vdevice.id);
  return respondOrDestroy(context, vdevice, command);
}

function hwQueueAlloc(context: IommufdContext, command: Command): number {
  const { data } = command;
  const { at } = HwQueueAllocStruct;
  const type = getU32(data, at.type);
  requireZero(data, at.flags, 'HW_QUEUE_ALLOC flags');
  if (type === NO_TYPE) refuse('EOPNOTSUPP', 'a queue is of a type, and none is given');
  const place = { iova: getBig(data, at.nesting_parent_iova), length: getBig(data, at.length) };
  if (place.length === 0n) refuse('EINVAL', 'the length is zero');
  if (place.iova + place.length > 2n ** 64n)
    refuse('EOVERFLOW', `iova range ${hex(place.iova)}+${hex(place.length)} wraps around`);
  const queue = context.allocHwQueue(getU32(data, at.viommu_id), type, getU32(data, at.index), place);
  setU32(data, at.out_hw_queue_id, queue.id);
  return respondOrDestroy(context, queue, command);
}
