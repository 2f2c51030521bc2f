/**
 * The ABI of a vhost-vdpa file: the ioctls of <linux/vhost.h> that Linux 7.3 serves there, and the IOTLB
 * messages of <linux/vhost_types.h> that are written to it.
 *
 * Ioctls are known by their whole number: some share type and number, and differ in direction. There are
 * three kinds. Those about the device need nothing. All others, numbers that nobody knows too, need the
 * caller to be the owner. What is then left is about a queue, whose index is the first word of the argument,
 * and that is looked at before the number: ENOBUFS comes before ENOTTY.
 */
import type { Caller, IoctlCall } from '../file/open-file.js';
import { after, type Sliced, type Work } from '../file/work.js';
import { type Vpasid, vpasidOf } from '../iommu/pasid.js';
import { Errno, hex, Refusal, refuse } from '../linux/errno.js';
import { BACKEND_FEATURES } from '../vdpa/backend-features.js';
import type { VdpaDevice } from '../vdpa/device.js';
import { LAST_IOVA } from '../vdpa/iotlb.js';
import type { IoctlHandler, IoctlTable } from './ioctl.js';
import { getBig, getS32, getU32, s32, setBig, setU16, setU32, struct, u8, u16, u32, u64 } from './struct.js';

/** The ioctl type (VHOST_VIRTIO). */
export const VHOST_TYPE = 0xaf;

export const VringStateStruct = struct('vhost_vring_state', { index: u32, num: u32 });
export const VringFileStruct = struct('vhost_vring_file', { index: u32, fd: s32 });
export const VringAddrStruct = struct('vhost_vring_addr', {
  index: u32,
  flags: u32,
  desc_user_addr: u64,
  used_user_addr: u64,
  avail_user_addr: u64,
  log_guest_addr: u64,
});
/** struct vhost_vdpa_config without the bytes behind it. */
export const ConfigStruct = struct('vhost_vdpa_config', { off: u32, len: u32 });
export const IovaRangeStruct = struct('vhost_vdpa_iova_range', { first: u64, last: u64 });
/** struct vhost_msg and vhost_msg_v2 up to the end of what is looked at; `asid` is v2's. */
export const MessageStruct = struct('vhost_msg_v2', {
  type: u32,
  asid: u32,
  iova: u64,
  size: u64,
  uaddr: u64,
  perm: u8,
  iotlb_type: u8,
  pad0: u16,
  pad1: u32,
});

const number = (direction: number, nr: number, size: number) =>
  ((direction << 30) | (size << 16) | (VHOST_TYPE << 8) | nr) >>> 0;
const io = (nr: number) => number(0, nr, 0);
const iow = (nr: number, size: number) => number(1, nr, size);
const ior = (nr: number, size: number) => number(2, nr, size);
const iowr = (nr: number, size: number) => number(3, nr, size);

const STATE = VringStateStruct.size;
const FILE = VringFileStruct.size;

/** The ioctls about the device as a whole. */
const deviceIoctls: IoctlTable<VdpaDevice> = new Map<number, IoctlHandler<VdpaDevice>>([
  [io(0x01), setOwner],
  [ior(0x00, 8), (device, _caller, { data }) => answer(() => setBig(data, 0, device.virtio.offered))],
  [iow(0x00, 8), (device, _caller, { data }) => answer(() => device.setFeatures(getBig(data, 0)))],
  [iow(0x04, 8), noLog],
  [iow(0x07, 4), noLog],
  [iow(0x25, 8), (device, _caller, { data }) => answer(() => device.setBackendFeatures(getBig(data, 0)))],
  [ior(0x26, 8), (_device, _caller, { data }) => answer(() => setBig(data, 0, BACKEND_FEATURES))],
  [ior(0x70, 4), (device, _caller, { data }) => answer(() => setU32(data, 0, device.virtio.deviceId))],
  [ior(0x71, 1), (device, _caller, { data }) => answer(() => data.fill(device.virtio.status))],
  [iow(0x72, 1), (device, _caller, { data }) => after(device.setStatus(data[0]!), () => 0)],
  [ior(0x73, ConfigStruct.size), getConfig],
  [iow(0x74, ConfigStruct.size), setConfig],
  [ior(0x76, 2), (device, _caller, { data }) => answer(() => setU16(data, 0, device.virtio.queueSize))],
  [iow(0x77, 4), setConfigCall],
  [ior(0x78, IovaRangeStruct.size), getIovaRange],
  [ior(0x79, 4), (device, _caller, { data }) => answer(() => setU32(data, 0, device.configSize))],
  [ior(0x7a, 4), (device, _caller, { data }) => answer(() => setU32(data, 0, device.asids))],
  [io(0x7d), (device) => after(device.suspend(), () => 0)],
  [io(0x7e), (device) => answer(() => device.resume())],
  [ior(0x80, 4), (device, _caller, { data }) => answer(() => setU32(data, 0, device.vrings.length))],
  [ior(0x81, 4), (device, _caller, { data }) => answer(() => setU32(data, 0, device.virtio.groups))],
]);

/** VHOST_SET_MEM_TABLE: for backends that know no IOTLB. It is looked at, and nothing comes of it. */
const SET_MEM_TABLE = iow(0x03, 8);
const REGION_BYTES = 32;
const MOST_REGIONS = 64;

/** Serves an ioctl about queue `index`, which there is. */
type VringHandler = (device: VdpaDevice, index: number, caller: Caller, call: IoctlCall) => Sliced<void>;

const vringIoctls: ReadonlyMap<number, VringHandler> = new Map<number, VringHandler>([
  [iow(0x10, STATE), (device, index, _caller, { data }) => device.setSize(index, getU32(data, 4))],
  [iow(0x11, VringAddrStruct.size), setAddresses],
  [iow(0x12, STATE), (device, index, _caller, { data }) => device.setBase(index, getU32(data, 4))],
  [
    iowr(0x12, STATE),
    (device, index, _caller, { data }) => setU32(data, 4, device.virtio.queues[index]!.base),
  ],
  [iow(0x20, FILE), (device, index, caller, { data }) => setKick(device, index, caller, getS32(data, 4))],
  [iow(0x21, FILE), (device, index, caller, call) => setSignal(device, index, caller, call, 'call')],
  [iow(0x22, FILE), (device, index, caller, call) => setSignal(device, index, caller, call, 'error')],
  [
    iow(0x23, STATE),
    (device, index, _caller, { data }) => {
      device.vrings[index]!.busyLoop = getU32(data, 4);
    },
  ],
  [iow(0x24, STATE), getBusyLoop],
  [iow(0x75, STATE), (device, index, _caller, { data }) => device.enable(index, getU32(data, 4) !== 0)],
  [iowr(0x7b, STATE), (device, index, _caller, { data }) => setU32(data, 4, device.groupOf(index))],
  [iow(0x7c, STATE), (device, index, _caller, { data }) => device.setGroupAsid(index, getU32(data, 4))],
  [iowr(0x7f, STATE), (device) => refuse('EOPNOTSUPP', `descriptors of ${device.life.name} have no groups`)],
  [
    iowr(0x82, STATE),
    (device) => refuse('EOPNOTSUPP', `queues of ${device.life.name} have no sizes of their own`),
  ],
]);

/** Any ioctl on a vhost-vdpa file. @throws Refusal as the first paragraph says, and the device's own. */
export function vhostIoctl(device: VdpaDevice, caller: Caller, call: IoctlCall): Sliced<number> {
  const handler = deviceIoctls.get(call.cmd);
  if (handler !== undefined) return handler(device, caller, call);
  device.checkOwner(caller.pid);
  if (call.cmd === SET_MEM_TABLE) return checkMemoryTable(caller, call);
  const first = new Uint8Array(4);
  caller.readMemory(call.arg, first);
  const index = getU32(first, 0);
  device.checkQueue(index);
  const known = vringIoctls.get(call.cmd) ?? refuse('ENOTTY', `this file has no ioctl ${hex(call.cmd)}`);
  return after(known(device, index, caller, call), () => 0);
}

/** Not for work: its result would be dropped. */
function answer(change: () => void | Uint8Array): number {
  change();
  return 0;
}

function setOwner(device: VdpaDevice, caller: Caller): number {
  device.setOwner(caller.pid);
  return 0;
}

/** struct vhost_memory. @throws Refusal EOPNOTSUPP unknown flags; E2BIG too many regions; EFAULT. */
function checkMemoryTable(caller: Caller, { arg, data }: IoctlCall): number {
  const [regions, padding] = [getU32(data, 0), getU32(data, 4)];
  if (padding !== 0) refuse('EOPNOTSUPP', `a table of memory has ${hex(padding)} where it has zeros`);
  if (regions > MOST_REGIONS) refuse('E2BIG', `${regions} regions of memory are more than ${MOST_REGIONS}`);
  if (regions > 0) caller.readMemory(arg + data.length, new Uint8Array(regions * REGION_BYTES));
  return 0;
}

function noLog(device: VdpaDevice): number {
  return refuse('ENOTTY', `${device.life.name} does not log what it writes`);
}

/** The struct is an answer by its number, and a question by what is in it. */
function getConfig(device: VdpaDevice, caller: Caller, { arg, data }: IoctlCall): number {
  caller.readMemory(arg, data);
  const { off, len } = ConfigStruct.decode(data);
  caller.writeMemory(arg + ConfigStruct.size, device.readConfig(off, len));
  return 0;
}

function setConfig(device: VdpaDevice, caller: Caller, { arg, data }: IoctlCall): number {
  const { off, len } = ConfigStruct.decode(data);
  device.checkConfig(off, len);
  const source = new Uint8Array(len);
  caller.readMemory(arg + ConfigStruct.size, source);
  device.writeConfig(off, source);
  return 0;
}

function setConfigCall(device: VdpaDevice, caller: Caller, { data }: IoctlCall): number {
  const fd = getS32(data, 0);
  device.setConfigCall(fd === NO_FD ? undefined : caller.eventfd(fd));
  return 0;
}

function getIovaRange(_device: VdpaDevice, _caller: Caller, { data }: IoctlCall): number {
  data.set(IovaRangeStruct.encode({ first: 0n, last: LAST_IOVA }));
  return 0;
}

/** VHOST_FILE_UNBIND. */
const NO_FD = -1;

function setAddresses(device: VdpaDevice, index: number, _caller: Caller, { data }: IoctlCall): void {
  const given = VringAddrStruct.decode(data);
  device.setAddresses(index, {
    flags: given.flags,
    descriptors: given.desc_user_addr,
    used: given.used_user_addr,
    available: given.avail_user_addr,
    log: given.log_guest_addr,
  });
}

function setKick(device: VdpaDevice, index: number, caller: Caller, fd: number): void {
  device.setDoorbell(index, fd === NO_FD ? undefined : caller.doorbell(fd));
}

function setSignal(
  device: VdpaDevice,
  index: number,
  caller: Caller,
  { data }: IoctlCall,
  kind: 'call' | 'error',
): void {
  const fd = getS32(data, 4);
  device.setSignal(index, kind, fd === NO_FD ? undefined : caller.eventfd(fd));
}

/** An answer whose number says that it is a question: the program's struct is written by us. */
function getBusyLoop(device: VdpaDevice, index: number, caller: Caller, { arg, data }: IoctlCall): void {
  setU32(data, 4, device.vrings[index]!.busyLoop);
  caller.writeMemory(arg, data);
}

/** Types of a message, and of what is in it (VHOST_IOTLB_*). */
const V1 = 1;
const V2 = 2;
const MESSAGE_BYTES = 72;
const UPDATE = 2;
const INVALIDATE = 3;
const BATCH_BEGIN = 5;
const BATCH_END = 6;

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
