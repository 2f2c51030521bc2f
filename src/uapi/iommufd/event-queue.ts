/**
 * The ioctls that make queues of events: page faults.
 */
import type { IommufdContext } from '../../iommufd/context.js';
import { refuse } from '../../linux/errno.js';
import { struct, u32 } from '../struct.js';
import { type Command, type IommufdIoctl, requireZero } from './command.js';

export const FaultAllocStruct = struct('iommu_fault_alloc', { size: u32, flags: u32, out_fault_id: u32, out_fault_fd: u32 });

export const eventQueueIoctls = {
  IOMMU_FAULT_QUEUE_ALLOC: { nr: 0x8e, struct: FaultAllocStruct, last: 'out_fault_fd', handle: faultQueueAlloc },
} as const satisfies Record<string, IommufdIoctl>;

function faultQueueAlloc(_context: IommufdContext, { data }: Command): number {
  requireZero(data, FaultAllocStruct.at.flags, 'FAULT_QUEUE_ALLOC flags');
  return refuse('EOPNOTSUPP', 'fault queues are not supported: no device here sends page requests');
}
