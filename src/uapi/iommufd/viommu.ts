/**
 * The ioctls of a vIOMMU: its making, its devices, its queues. What a machine invalidates goes through
 * HWPT_INVALIDATE.
 */
import type { Sliced } from '../../file/work.js';
import type { IommufdContext } from '../../iommufd/context.js';
import { UserData } from '../../iommufd/user-data.js';
import { hex, refuse } from '../../linux/errno.js';
import { setU32, struct, u32, u64 } from '../struct.js';
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

function viommuAlloc(context: IommufdContext, command: Command): Sliced<number> {
  const { caller, data } = command;
  const { at } = ViommuAllocStruct;
  const { type, dev_id, hwpt_id, data_len, data_uptr } = ViommuAllocStruct.decode(data);
  requireZero(data, at.flags, 'VIOMMU_ALLOC flags');
  if (type === NO_TYPE) refuse('EOPNOTSUPP', 'a vIOMMU is of a type, and none is given');
  const userData = new UserData(caller, type, Number(data_uptr), data_len);
  const viommu = context.allocViommu(dev_id, hwpt_id, userData);
  setU32(data, at.out_viommu_id, viommu.id);
  return respondOrDestroy(context, viommu, command);
}

function vdeviceAlloc(context: IommufdContext, command: Command): Sliced<number> {
  const { data } = command;
  const { viommu_id, dev_id, virt_id } = VdeviceAllocStruct.decode(data);
  const vdevice = context.allocVdevice(viommu_id, dev_id, virt_id);
  setU32(data, VdeviceAllocStruct.at.out_vdevice_id, vdevice.id);
  return respondOrDestroy(context, vdevice, command);
}

function hwQueueAlloc(context: IommufdContext, command: Command): Sliced<number> {
  const { data } = command;
  const { at } = HwQueueAllocStruct;
  const { viommu_id, type, index, nesting_parent_iova: iova, length } = HwQueueAllocStruct.decode(data);
  requireZero(data, at.flags, 'HW_QUEUE_ALLOC flags');
  if (type === NO_TYPE) refuse('EOPNOTSUPP', 'a queue is of a type, and none is given');
  if (length === 0n) refuse('EINVAL', 'the length is zero');
  if (iova + length > 2n ** 64n) refuse('EOVERFLOW', `iova range ${hex(iova)}+${hex(length)} wraps around`);
  const queue = context.allocHwQueue(viommu_id, type, index, { iova, length });
  setU32(data, at.out_hw_queue_id, queue.id);
  return respondOrDestroy(context, queue, command);
}
