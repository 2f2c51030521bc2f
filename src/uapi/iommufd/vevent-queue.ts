/**
 * Queues of a vIOMMU's events: the ioctl that makes one, and the events that its user reads: a header each,
 * and what belongs to the event's type.
 */
import type { Sliced } from '../../file/work.js';
import type { IommufdContext } from '../../iommufd/context.js';
import type { Vevent, VeventQueue } from '../../iommufd/vevent-queue.js';
import { refuse } from '../../linux/errno.js';
import { getU32, setU32, struct, u32 } from '../struct.js';
import { type Command, type IommufdIoctl, requireZero, respondWithFile } from './command.js';
import { eventFile } from './event-queue.js';

export const VeventqAllocStruct = struct('iommu_veventq_alloc', {
  size: u32,
  flags: u32,
  viommu_id: u32,
  type: u32,
  veventq_depth: u32,
  out_veventq_id: u32,
  out_veventq_fd: u32,
  reserved: u32,
});
export const VeventHeaderStruct = struct('iommufd_vevent_header', { flags: u32, sequence: u32 });

/** enum iommu_veventq_flag: events before this were lost. */
export const VEVENTQ_FLAG_LOST_EVENTS = 1;
/** IOMMU_VEVENTQ_TYPE_DEFAULT: no type. */
const NO_TYPE = 0;
const VEVENTQ_MAX_DEPTH = 2 ** 19;

export const veventQueueIoctls = {
  IOMMU_VEVENTQ_ALLOC: { nr: 0x93, struct: VeventqAllocStruct, last: 'out_veventq_fd', handle: veventqAlloc },
} as const satisfies Record<string, IommufdIoctl>;

function veventqAlloc(context: IommufdContext, command: Command): Sliced<number> {
  const { data } = command;
  const { at } = VeventqAllocStruct;
  const type = getU32(data, at.type);
  requireZero(data, at.flags, 'VEVENTQ_ALLOC flags');
  requireZero(data, at.reserved, 'VEVENTQ_ALLOC __reserved');
  if (type === NO_TYPE) refuse('EOPNOTSUPP', 'a queue is for events of a type, and none is given');
  const depth = getU32(data, at.veventq_depth);
  if (depth === 0 || depth > VEVENTQ_MAX_DEPTH)
    refuse('EINVAL', `a queue of ${depth} events is none, or more than ${VEVENTQ_MAX_DEPTH}`);
  const queue = context.allocVeventQueue(getU32(data, at.viommu_id), type, depth);
  setU32(data, at.out_veventq_id, queue.id);
  const file = eventFile(context, queue, queue, {
    called: `event queue ${queue.id}`,
    read: (_offset, target) => readEvents(queue, target),
  });
  return respondWithFile(context, queue, command, at.out_veventq_fd, file);
}

function readEvents(queue: VeventQueue, target: Uint8Array): number {
  const { size } = VeventHeaderStruct;
  if (target.length < size)
    refuse('EINVAL', `${target.length} bytes have no room for the ${size} bytes of an event's header`);
  let done = 0;
  for (let event = queue.next; event !== undefined; event = queue.next) {
    const length = size + (event.data?.length ?? 0);
    if (length > target.length - done) {
      if (done === 0)
        refuse('EINVAL', `${target.length} bytes have no room for the ${length} bytes of the next event`);
      break;
    }
    encodeEvent(target.subarray(done, done + length), event);
    queue.take();
    done += length;
  }
  return done;
}

function encodeEvent(target: Uint8Array, { sequence, data }: Vevent): void {
  const flags = data === undefined ? VEVENTQ_FLAG_LOST_EVENTS : 0;
  target.set(VeventHeaderStruct.encode({ flags, sequence }));
  if (data !== undefined) target.set(data, VeventHeaderStruct.size);
}
