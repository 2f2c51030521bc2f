/**
 * The ABI of a vhost-vdpa file: the ioctls of <linux/vhost.h> that Linux 7.3 serves there.
 *
 * Ioctls are known by their whole number: some share type and number, and differ in direction. There are
 * three kinds. Those about the device need nothing. All others, numbers that nobody knows too, need the
 * caller to be the owner. What is then left is about a queue, whose index is the first word of the argument,
 * and that is looked at before the number: ENOBUFS comes before ENOTTY.
 */
import type { Caller, IoctlCall } from '../file/open-file.js';
import { after, type Sliced } from '../file/work.js';
import { hex, refuse } from '../linux/errno.js';
import { BACKEND_FEATURES } from '../vdpa/backend-features.js';
import type { VdpaDevice } from '../vdpa/device.js';
import { LAST_IOVA } from '../vdpa/iotlb.js';
import type { NumberedIoctls } from './device-file.js';
import { type IoctlHandler, type IoctlShape, type IoctlTable, ioctlTable, refuseIoctl } from './ioctl.js';
import {
  bits,
  descriptor,
  getBig,
  getS32,
  getU32,
  type Struct,
  setBig,
  setU16,
  setU32,
  struct,
  u8,
  u16,
  u32,
  u64,
} from './struct.js';

/** The ioctl type (VHOST_VIRTIO). */
export const VHOST_TYPE = 0xaf;

export const VringStateStruct = struct('vhost_vring_state', { index: u32, num: u32 });
export const VringFileStruct = struct('vhost_vring_file', { index: u32, fd: descriptor });
export const VringAddrStruct = struct('vhost_vring_addr', {
  index: u32,
  flags: bits({ '1 << VHOST_VRING_F_LOG': 1 }),
  desc_user_addr: u64,
  used_user_addr: u64,
  avail_user_addr: u64,
  log_guest_addr: u64,
});
/** struct vhost_vdpa_config without the bytes behind it. */
export const ConfigStruct = struct('vhost_vdpa_config', { off: u32, len: u32 });
export const IovaRangeStruct = struct('vhost_vdpa_iova_range', { first: u64, last: u64 });
const number = (direction: number, nr: number, size: number) =>
  ((direction << 30) | (size << 16) | (VHOST_TYPE << 8) | nr) >>> 0;
const io = (nr: number) => number(0, nr, 0);
const iow = (nr: number, size: number) => number(1, nr, size);
const ior = (nr: number, size: number) => number(2, nr, size);
const iowr = (nr: number, size: number) => number(3, nr, size);

const STATE = VringStateStruct.size;
const FILE = VringFileStruct.size;

/** Arguments of one number. */
const featuresStruct = struct('__u64', { features: u64 });
const wordStruct = struct('__u32', { value: u32 });
const halfStruct = struct('__u16', { value: u16 });
const statusStruct = struct('__u8', { status: u8 });
const forkStruct = struct('__u8', { fork_owner: u8 });
const fdStruct = struct('int', { fd: descriptor });

/** The ioctls about the device as a whole. */
const deviceIoctls: IoctlTable<VdpaDevice> = ioctlTable<VdpaDevice>({
  VHOST_SET_OWNER: [io(0x01), undefined, setOwner],
  VHOST_SET_FORK_FROM_OWNER: [
    iow(0x84, 1),
    forkStruct,
    (device, _caller, { data }) => answer(() => device.setForkFromOwner(data[0]!)),
  ],
  VHOST_GET_FORK_FROM_OWNER: [
    ior(0x85, 1),
    forkStruct,
    (device, _caller, { data }) => answer(() => data.fill(device.forkFromOwner)),
  ],
  VHOST_GET_FEATURES: [ior(0x00, 8), featuresStruct, telling64((device) => device.virtio.offered)],
  VHOST_SET_FEATURES: [
    iow(0x00, 8),
    featuresStruct,
    (device, _caller, { data }) => answer(() => device.setFeatures(getBig(data, 0))),
  ],
  VHOST_SET_LOG_BASE: [iow(0x04, 8), undefined, noLog],
  VHOST_SET_LOG_FD: [iow(0x07, 4), fdStruct, noLog],
  VHOST_SET_BACKEND_FEATURES: [
    iow(0x25, 8),
    featuresStruct,
    (device, _caller, { data }) => answer(() => device.setBackendFeatures(getBig(data, 0))),
  ],
  VHOST_GET_BACKEND_FEATURES: [ior(0x26, 8), featuresStruct, telling64(() => BACKEND_FEATURES)],
  VHOST_VDPA_GET_DEVICE_ID: [ior(0x70, 4), wordStruct, telling((device) => device.virtio.deviceId)],
  VHOST_VDPA_GET_STATUS: [
    ior(0x71, 1),
    statusStruct,
    (device, _caller, { data }) => answer(() => data.fill(device.virtio.status)),
  ],
  VHOST_VDPA_SET_STATUS: [
    iow(0x72, 1),
    statusStruct,
    (device, _caller, { data }) => after(device.setStatus(data[0]!), () => 0),
  ],
  VHOST_VDPA_GET_CONFIG: [ior(0x73, ConfigStruct.size), ConfigStruct, getConfig],
  VHOST_VDPA_SET_CONFIG: [iow(0x74, ConfigStruct.size), ConfigStruct, setConfig],
  VHOST_VDPA_GET_VRING_NUM: [
    ior(0x76, 2),
    halfStruct,
    (device, _caller, { data }) => answer(() => setU16(data, 0, device.virtio.queueSize)),
  ],
  VHOST_VDPA_SET_CONFIG_CALL: [iow(0x77, 4), fdStruct, setConfigCall],
  VHOST_VDPA_GET_IOVA_RANGE: [ior(0x78, IovaRangeStruct.size), IovaRangeStruct, getIovaRange],
  VHOST_VDPA_GET_CONFIG_SIZE: [ior(0x79, 4), wordStruct, telling((device) => device.configSize)],
  VHOST_VDPA_GET_AS_NUM: [ior(0x7a, 4), wordStruct, telling((device) => device.asids)],
  VHOST_VDPA_SUSPEND: [io(0x7d), undefined, (device) => after(device.suspend(), () => 0)],
  VHOST_VDPA_RESUME: [io(0x7e), undefined, (device) => answer(() => device.resume())],
  VHOST_VDPA_GET_VQS_COUNT: [ior(0x80, 4), wordStruct, telling((device) => device.vrings.length)],
  VHOST_VDPA_GET_GROUP_NUM: [ior(0x81, 4), wordStruct, telling((device) => device.virtio.groups)],
});

/** VHOST_SET_MEM_TABLE: for backends that know no IOTLB. It is looked at, and nothing comes of it. */
const SET_MEM_TABLE = iow(0x03, 8);
const memoryTable = new Map([
  [
    SET_MEM_TABLE,
    { name: 'VHOST_SET_MEM_TABLE', argument: struct('vhost_memory', { nregions: u32, padding: u32 }) },
  ],
]);
const REGION_BYTES = 32;
const MOST_REGIONS = 64;

/** Serves an ioctl about queue `index`, which there is. */
type VringHandler = (device: VdpaDevice, index: number, caller: Caller, call: IoctlCall) => Sliced<void>;

/** An ioctl about a queue. */
interface VringIoctl extends IoctlShape {
  readonly handle: VringHandler;
}

const vringIoctls: ReadonlyMap<number, VringIoctl> = vringTable({
  VHOST_SET_VRING_NUM: [
    iow(0x10, STATE),
    VringStateStruct,
    (device, index, _caller, { data }) => device.setSize(index, getU32(data, 4)),
  ],
  VHOST_SET_VRING_ADDR: [iow(0x11, VringAddrStruct.size), VringAddrStruct, setAddresses],
  VHOST_SET_VRING_BASE: [
    iow(0x12, STATE),
    VringStateStruct,
    (device, index, _caller, { data }) => device.setBase(index, getU32(data, 4)),
  ],
  VHOST_GET_VRING_BASE: [
    iowr(0x12, STATE),
    VringStateStruct,
    (device, index, _caller, { data }) => setU32(data, 4, device.virtio.queues[index]!.base),
  ],
  VHOST_SET_VRING_KICK: [
    iow(0x20, FILE),
    VringFileStruct,
    (device, index, caller, { data }) => setKick(device, index, caller, getS32(data, 4)),
  ],
  VHOST_SET_VRING_CALL: [
    iow(0x21, FILE),
    VringFileStruct,
    (device, index, caller, call) => setSignal(device, index, caller, call, 'call'),
  ],
  VHOST_SET_VRING_ERR: [
    iow(0x22, FILE),
    VringFileStruct,
    (device, index, caller, call) => setSignal(device, index, caller, call, 'error'),
  ],
  VHOST_SET_VRING_BUSYLOOP_TIMEOUT: [
    iow(0x23, STATE),
    VringStateStruct,
    (device, index, _caller, { data }) => {
      device.vrings[index]!.busyLoop = getU32(data, 4);
    },
  ],
  VHOST_GET_VRING_BUSYLOOP_TIMEOUT: [iow(0x24, STATE), VringStateStruct, getBusyLoop],
  VHOST_VDPA_SET_VRING_ENABLE: [
    iow(0x75, STATE),
    VringStateStruct,
    (device, index, _caller, { data }) => device.enable(index, getU32(data, 4) !== 0),
  ],
  VHOST_VDPA_GET_VRING_GROUP: [
    iowr(0x7b, STATE),
    VringStateStruct,
    (device, index, _caller, { data }) => setU32(data, 4, device.groupOf(index)),
  ],
  VHOST_VDPA_SET_GROUP_ASID: [
    iow(0x7c, STATE),
    VringStateStruct,
    (device, index, _caller, { data }) => device.setGroupAsid(index, getU32(data, 4)),
  ],
  VHOST_VDPA_GET_VRING_DESC_GROUP: [
    iowr(0x7f, STATE),
    VringStateStruct,
    (device) => refuse('EOPNOTSUPP', `descriptors of ${device.life.name} have no groups`),
  ],
  VHOST_VDPA_GET_VRING_SIZE: [
    iowr(0x82, STATE),
    VringStateStruct,
    (device) => refuse('EOPNOTSUPP', `queues of ${device.life.name} have no sizes of their own`),
  ],
});

type VringRow = readonly [number: number, argument: Struct, handle: VringHandler];

function vringTable(rows: Readonly<Record<string, VringRow>>): ReadonlyMap<number, VringIoctl> {
  return new Map(
    Object.entries(rows).map(([name, [number, argument, handle]]) => [number, { name, argument, handle }]),
  );
}

/** All ioctls of a vhost-vdpa file, by their whole numbers. */
export const vhostIoctls: NumberedIoctls<VdpaDevice> = {
  handle: vhostIoctl,
  shapeOf: (cmd) => deviceIoctls.get(cmd) ?? vringIoctls.get(cmd) ?? memoryTable.get(cmd),
};

/** Any ioctl on a vhost-vdpa file. @throws Refusal as the first paragraph says, and the device's own. */
function vhostIoctl(device: VdpaDevice, caller: Caller, call: IoctlCall): Sliced<number> {
  const handler = deviceIoctls.get(call.cmd);
  if (handler !== undefined) return handler.handle(device, caller, call);
  device.checkOwner(caller.pid);
  if (call.cmd === SET_MEM_TABLE) return checkMemoryTable(caller, call);
  const first = new Uint8Array(4);
  caller.readMemory(call.arg, first);
  const index = getU32(first, 0);
  device.checkQueue(index);
  const known = vringIoctls.get(call.cmd) ?? refuseIoctl(call.cmd);
  return after(known.handle(device, index, caller, call), () => 0);
}

/** An answer of 32 bits. */
function telling(value: (device: VdpaDevice) => number): IoctlHandler<VdpaDevice> {
  return (device, _caller, { data }) => answer(() => setU32(data, 0, value(device)));
}

/** An answer of 64 bits. */
function telling64(value: (device: VdpaDevice) => bigint): IoctlHandler<VdpaDevice> {
  return (device, _caller, { data }) => answer(() => setBig(data, 0, value(device)));
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

/**
 * struct vhost_memory. @throws Refusal EOPNOTSUPP unknown flags; E2BIG too many regions; EFAULT one that ends
 * before it begins, or memory that cannot be read.
 */
function checkMemoryTable(caller: Caller, { arg, data }: IoctlCall): number {
  const [regions, padding] = [getU32(data, 0), getU32(data, 4)];
  if (padding !== 0) refuse('EOPNOTSUPP', `a table of memory has ${hex(padding)} where it has zeros`);
  if (regions > MOST_REGIONS) refuse('E2BIG', `${regions} regions of memory are more than ${MOST_REGIONS}`);
  const table = new Uint8Array(regions * REGION_BYTES);
  if (regions > 0) caller.readMemory(arg + data.length, table);
  for (let at = 0; at < table.length; at += REGION_BYTES) {
    const [start, size] = [getBig(table, at), getBig(table, at + 8)];
    if (BigInt.asUintN(64, start + size - 1n) < start)
      refuse('EFAULT', `a region of ${hex(size)} bytes of memory at ${hex(start)} ends before it begins`);
  }
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
