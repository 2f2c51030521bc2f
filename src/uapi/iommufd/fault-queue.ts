/**
 * Queues of page faults: the ioctl that makes one, the faults that its user reads, and the answers that he
 * writes.
 *
 * Faults come in groups, which are read whole and answered by their cookie. A write is a list of answers,
 * which ends with the first bad one.
 */
import type { Sliced } from '../../file/work.js';
import type { IommufdContext } from '../../iommufd/context.js';
import type { FaultQueue } from '../../iommufd/fault-queue.js';
import type { PageRequest } from '../../iommufd/hardware.js';
import { Refusal, refuse } from '../../linux/errno.js';
import { getU32, setBig, setU32, struct, u32, u64 } from '../struct.js';
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
  const file = eventFile(context, queue, {
    read: (_offset, target) => readFaults(queue, target),
    write: (_offset, source) => writeResponses(queue, source),
  });
  return respondWithFile(context, queue, command, at.out_fault_fd, file);
}

function readFaults(queue: FaultQueue, target: Uint8Array): number {
  const { size } = PageFaultStruct;
  if (target.length % size !== 0)
    refuse('ESPIPE', `${target.length} bytes are not a whole number of faults, of ${size} bytes each`);
  let done = 0;
  for (let group = queue.next; group !== undefined; group = queue.next) {
    const { device, requests } = group;
    if (requests.length * size > target.length - done) {
      if (done === 0)
        refuse(
          'EINVAL',
          `${target.length} bytes have no room for the ${requests.length} faults of the next group`,
        );
      break;
    }
    const cookie = queue.take();
    for (const request of requests) {
      encodeFault(target.subarray(done, done + size), request, device.id, cookie);
      done += size;
    }
  }
  return done;
}

function encodeFault(
  target: Uint8Array,
  { pasid, group, last, access, address }: PageRequest,
  device: number,
  cookie: number,
): void {
  const { at } = PageFaultStruct;
  target.fill(0);
  setU32(
    target,
    at.flags,
    (pasid === undefined ? 0 : PGFAULT_FLAGS_PASID_VALID) | (last ? PGFAULT_FLAGS_LAST_PAGE : 0),
  );
  setU32(target, at.dev_id, device);
  setU32(target, at.pasid, pasid ?? 0);
  setU32(target, at.grpid, group);
  setU32(target, at.perm, access);
  setBig(target, at.addr, address);
  setU32(target, at.cookie, cookie);
}

function writeResponses(queue: FaultQueue, source: Uint8Array): number {
  const { at, size } = PageResponseStruct;
  if (source.length % size !== 0)
    refuse('ESPIPE', `${source.length} bytes are not a whole number of answers, of ${size} bytes each`);
  for (let done = 0; done < source.length; done += size) {
    try {
      queue.respond(getU32(source, done + at.cookie), getU32(source, done + at.code));
    } catch (error) {
      if (done > 0 && error instanceof Refusal) return done;
      throw error;
    }
  }
  return source.length;
}
