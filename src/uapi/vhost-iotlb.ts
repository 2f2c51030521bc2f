/**
 * The IOTLB messages that are written to a vhost-vdpa file (<linux/vhost_types.h>): what an address space id
 * maps.
 */
import type { Caller } from '../file/open-file.js';
import type { Sliced, Work } from '../file/work.js';
import { type Vpasid, vpasidOf } from '../iommu/pasid.js';
import { Errno, Refusal, refuse } from '../linux/errno.js';
import type { VdpaDevice } from '../vdpa/device.js';
import { choice, struct, u8, u16, u32, u64 } from './struct.js';

/** Types of a message, and of what is in it (VHOST_IOTLB_*). */
const V1 = 1;
const V2 = 2;
const MESSAGE_BYTES = 72;
const UPDATE = 2;
const INVALIDATE = 3;
const BATCH_BEGIN = 5;
const BATCH_END = 6;

/** struct vhost_msg and vhost_msg_v2 up to the end of what is looked at; `asid` is v2's. */
export const MessageStruct = struct('vhost_msg_v2', {
  type: choice({ VHOST_IOTLB_MSG: V1, VHOST_IOTLB_MSG_V2: V2 }),
  asid: u32,
  iova: u64,
  size: u64,
  uaddr: u64,
  perm: choice({ VHOST_ACCESS_RO: 1, VHOST_ACCESS_WO: 2, VHOST_ACCESS_RW: 3 }, u8),
  iotlb_type: choice(
    {
      VHOST_IOTLB_UPDATE: UPDATE,
      VHOST_IOTLB_INVALIDATE: INVALIDATE,
      VHOST_IOTLB_BATCH_BEGIN: BATCH_BEGIN,
      VHOST_IOTLB_BATCH_END: BATCH_END,
    },
    u8,
  ),
  pad0: u16,
  pad1: u32,
});

/**
 * A message about the IOTLB. @returns the bytes of a whole one, or of what was given when that is less.
 * @throws Refusal EINVAL it is cut short, of an unknown version, or maps nothing; EFAULT for all that is
 * wrong with what it asks for.
 */
export function writeMessage(device: VdpaDevice, caller: Caller, source: Uint8Array): Sliced<number> {
  if (source.length < MessageStruct.size)
    refuse('EINVAL', `a message of ${source.length} bytes is shorter than ${MessageStruct.size}`);
  const message = MessageStruct.decode(source);
  const { type, iotlb_type, size } = message;
  if (type !== V1 && type !== V2) refuse('EINVAL', `messages of type ${type} are not known`);
  if (iotlb_type === UPDATE && size === 0n) refuse('EINVAL', 'an UPDATE of 0 bytes maps nothing');
  const asid = vpasidOf(type === V2 && device.namesAsids ? message.asid : 0);
  return served(() => change(device, caller, asid, message), Math.min(source.length, MESSAGE_BYTES));
}

type Message = ReturnType<typeof MessageStruct.decode>;

function* served(change: () => Work<void>, bytes: number): Work<number> {
  try {
    yield* change();
  } catch (error) {
    throw error instanceof Refusal ? new Refusal(Errno.EFAULT, error.reason) : error;
  }
  return bytes;
}

function* change(device: VdpaDevice, caller: Caller, asid: Vpasid, message: Message): Work<void> {
  const { iova, size, uaddr, perm, iotlb_type } = message;
  const { iotlb } = device;
  device.checkOwner(caller.pid);
  const range = { asid, iova, size };
  if (iotlb_type === UPDATE)
    yield* iotlb.update(range, perm, () => caller.memory(Number(uaddr), Number(size), perm & 3));
  else if (iotlb_type === INVALIDATE) yield* iotlb.invalidate(range);
  else if (iotlb_type === BATCH_BEGIN) iotlb.beginBatch(asid);
  else if (iotlb_type === BATCH_END) iotlb.endBatch(asid);
  else refuse('EINVAL', `${iotlb_type} is no type of an IOTLB message to a device`);
}
