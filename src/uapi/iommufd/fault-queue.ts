/**
 * Queues of page faults: the ioctl that makes one, the faults that its user reads, and the answers that he
 * writes.
 */
import type { Sliced } from '../../file/work.js';
import { type FaultGroup, PAGE_RESPONSE_INVALID, type PageRequest } from '../../ioasid/page-faults.js';
import type { IommufdContext } from '../../iommufd/context.js';
import type { FaultQueue } from '../../iommufd/fault-queue.js';
import { refuse } from '../../linux/errno.js';
import { readGroups, writeAnswers } from '../page-faults.js';
import { setBig, setU32, struct, u32, u64 } from '../struct.js';
import { type Command, type IommufdIoctl, requireZero, respondWithFile } from './command.js';
import { eventFile } from './event-queue.js';

export const FaultAllocStruct = struct('iommu_fault_alloc', {
  size: u32,
  flags: u32,
  out_fault_id: u32,
  out_fault_fd: u32,
});
export const PageFaultStruct = struct('iommu_hwpt_pgfault', {
  flags: u32,
  dev_id: u32,
  pasid: u32,
  grpid: u32,
  perm: u32,
  reserved: u32,
  addr: u64,
  length: u32,
  cookie: u32,
});
export const PageResponseStruct = struct('iommu_hwpt_page_response', { cookie: u32, code: u32 });

/** enum iommu_hwpt_pgfault_flags. */
export const PGFAULT_FLAGS_PASID_VALID = 1;
export const PGFAULT_FLAGS_LAST_PAGE = 2;

export const faultQueueIoctls = {
  IOMMU_FAULT_QUEUE_ALLOC: {
    nr: 0x8e,
    struct: FaultAllocStruct,
    last: 'out_fault_fd',
    handle: faultQueueAlloc,
  },
} as const satisfies Record<string, IommufdIoctl>;

function faultQueueAlloc(context: IommufdContext, command: Command): Sliced<number> {
  const { data } = command;
  const { at } = FaultAllocStruct;
  requireZero(data, at.flags, 'FAULT_QUEUE_ALLOC flags');
  const queue = context.allocFaultQueue();
  setU32(data, at.out_fault_id, queue.id);
  const file = eventFile(context, queue, queue.faults, {
    called: `fault queue ${queue.id}`,
    reads: PageFaultStruct,
    writes: PageResponseStruct,
    read: (_offset, target) => readFaults(queue, target),
    write: (_offset, source) => writeResponses(queue, source),
  });
  return respondWithFile(context, queue, command, at.out_fault_fd, file);
}

function readFaults(queue: FaultQueue, target: Uint8Array): number {
  const { size } = PageFaultStruct;
  if (target.length % size !== 0)
    refuse('ESPIPE', `${target.length} bytes are not a whole number of faults, of ${size} bytes each`);
  return readGroups(queue.faults, target, size, encodeFault);
}

function encodeFault(
  target: Uint8Array,
  { id }: FaultGroup,
  { pasid, group, last, access, address }: PageRequest,
  cookie: number,
): void {
  const { at } = PageFaultStruct;
  setU32(
    target,
    at.flags,
    (pasid === undefined ? 0 : PGFAULT_FLAGS_PASID_VALID) | (last ? PGFAULT_FLAGS_LAST_PAGE : 0),
  );
  setU32(target, at.dev_id, id);
  setU32(target, at.pasid, pasid ?? 0);
  setU32(target, at.grpid, group);
  setU32(target, at.perm, access);
  setBig(target, at.addr, address);
  setU32(target, at.cookie, cookie);
}

function writeResponses(queue: FaultQueue, source: Uint8Array): number {
  const { size } = PageResponseStruct;
  if (source.length % size !== 0)
    refuse('ESPIPE', `${source.length} bytes are not a whole number of answers, of ${size} bytes each`);
  return writeAnswers(queue.faults, source, PageResponseStruct, PAGE_RESPONSE_INVALID);
}
