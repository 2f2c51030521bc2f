/**
 * The ABI of `/dev/iommu`: the structs of <linux/iommufd.h> (Linux 7.3), and which method each ioctl becomes.
 *
 * The ioctls are `_IO(';', nr)`: the kernel copies nothing, `arg` is the address of a struct that begins with its size. One table says for
 * every ioctl its struct and the last field of its first version, so that all size and version rules live in `iommufd` below: a shorter
 * struct than the first version is EINVAL, what is missing reads as zero, nonzero bytes beyond what we know are E2BIG. As in Linux, an
 * ioctl has done its work when the reply turns out to have no place (EFAULT), except where it would leave behind an object without a name.
 */
import type { Caller } from '../ioasid/caller.js';
import { type IovaRange, LAST_IOVA, overlaps } from '../ioasid/iova-ranges.js';
import { READ, WRITE } from '../iommu/iommu.js';
import { BoundDevice } from '../iommufd/bound-device.js';
import { IommufdContext } from '../iommufd/context.js';
import type { DirtyLog } from '../iommufd/dirty.js';
import { Hwpt } from '../iommufd/hwpt.js';
import type { Ioas, IoasMap } from '../iommufd/ioas.js';
import { IommufdObject } from '../iommufd/objects.js';
import { Errno, hex, Refusal, refuse } from '../linux/errno.js';
import type { IoctlHandler, IoctlTable } from './ioctl.js';
import { getBig, getS32, getU16, getU32, type Struct, s32, setBig, setU32, struct, u8, u16, u32, u64 } from './struct.js';

export const IOMMUFD_TYPE = 0x3b;

export const IoasMapFlags = { FIXED_IOVA: 1, WRITEABLE: 2, READABLE: 4 } as const;
const MAP_FLAGS = IoasMapFlags.FIXED_IOVA | IoasMapFlags.WRITEABLE | IoasMapFlags.READABLE;
export const OPTION_RLIMIT_MODE = 0;
export const OPTION_HUGE_PAGES = 1;
export const OPTION_SET = 0;
export const OPTION_GET = 1;
export const VFIO_IOAS_GET = 0;
export const VFIO_IOAS_SET = 1;
export const VFIO_IOAS_CLEAR = 2;
export const HW_INFO_FLAG_INPUT_TYPE = 1;
export const HW_CAP_DIRTY_TRACKING = 1;
export const DIRTY_BITMAP_NO_CLEAR = 1;
/** So many bits of a bitmap are copied at once: a page of them. */
const BITMAP_CHUNK_BITS = 32768;
export const HW_CAP_PCI_ATS_NOT_SUPPORTED = 8;

export const DestroyStruct = struct('iommu_destroy', { size: u32, id: u32 });
export const IoasAllocStruct = struct('iommu_ioas_alloc', { size: u32, flags: u32, out_ioas_id: u32 });
export const IovaRangeStruct = struct('iommu_iova_range', { start: u64, last: u64 });
export const IovaRangesStruct = struct('iommu_ioas_iova_ranges', {
  size: u32,
  ioas_id: u32,
  num_iovas: u32,
  reserved: u32,
  allowed_iovas: u64,
  out_iova_alignment: u64,
});
export const AllowIovasStruct = struct('iommu_ioas_allow_iovas', {
  size: u32,
  ioas_id: u32,
  num_iovas: u32,
  reserved: u32,
  allowed_iovas: u64,
});
export const IoasMapStruct = struct('iommu_ioas_map', {
  size: u32,
  flags: u32,
  ioas_id: u32,
  reserved: u32,
  user_va: u64,
  length: u64,
  iova: u64,
});
export const IoasMapFileStruct = struct('iommu_ioas_map_file', {
  size: u32,
  flags: u32,
  ioas_id: u32,
  fd: s32,
  start: u64,
  length: u64,
  iova: u64,
});
export const IoasCopyStruct = struct('iommu_ioas_copy', {
  size: u32,
  flags: u32,
  dst_ioas_id: u32,
  src_ioas_id: u32,
  length: u64,
  dst_iova: u64,
  src_iova: u64,
});
export const IoasUnmapStruct = struct('iommu_ioas_unmap', { size: u32, ioas_id: u32, iova: u64, length: u64 });
export const OptionStruct = struct('iommu_option', { size: u32, option_id: u32, op: u16, reserved: u16, object_id: u32, val64: u64 });
export const VfioIoasStruct = struct('iommu_vfio_ioas', { size: u32, ioas_id: u32, op: u16, reserved: u16 });
export const HwptAllocStruct = struct('iommu_hwpt_alloc', {
  size: u32,
  flags: u32,
  dev_id: u32,
  pt_id: u32,
  out_hwpt_id: u32,
  reserved: u32,
  data_type: u32,
  data_len: u32,
  data_uptr: u64,
  fault_id: u32,
  reserved2: u32,
});
export const HwInfoStruct = struct('iommu_hw_info', {
  size: u32,
  flags: u32,
  dev_id: u32,
  data_len: u32,
  data_uptr: u64,
  data_type: u32,
  out_max_pasid_log2: u8,
  reserved0: u8,
  reserved1: u8,
  reserved2: u8,
  out_capabilities: u64,
});
export const SetDirtyTrackingStruct = struct('iommu_hwpt_set_dirty_tracking', { size: u32, flags: u32, hwpt_id: u32, reserved: u32 });
export const GetDirtyBitmapStruct = struct('iommu_hwpt_get_dirty_bitmap', {
  size: u32,
  hwpt_id: u32,
  flags: u32,
  reserved: u32,
  iova: u64,
  length: u64,
  page_size: u64,
  data: u64,
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
export const FaultAllocStruct = struct('iommu_fault_alloc', { size: u32, flags: u32, out_fault_id: u32, out_fault_fd: u32 });
export const ChangeProcessStruct = struct('iommu_ioas_change_process', { size: u32, reserved: u32 });

/** What a handler sees: its struct with what is missing as zeros, and how to answer. */
export interface Command {
  readonly caller: Caller;
  readonly data: Uint8Array;
  /** Stores the struct in the caller, as much of it as he has. @throws Refusal EFAULT. */
  respond(): void;
}

type Handler = (context: IommufdContext, command: Command) => number;

export interface IommufdIoctl {
  readonly nr: number;
  readonly struct: Struct;
  /** The last field of the first version. */
  readonly last: string;
  readonly handle: Handler;
}

export const iommufdIoctls = {
  IOMMU_DESTROY: { nr: 0x80, struct: DestroyStruct, last: 'id', handle: destroy },
  IOMMU_IOAS_ALLOC: { nr: 0x81, struct: IoasAllocStruct, last: 'out_ioas_id', handle: ioasAlloc },
  IOMMU_IOAS_ALLOW_IOVAS: { nr: 0x82, struct: AllowIovasStruct, last: 'allowed_iovas', handle: allowIovas },
  IOMMU_IOAS_COPY: { nr: 0x83, struct: IoasCopyStruct, last: 'src_iova', handle: ioasCopy },
  IOMMU_IOAS_IOVA_RANGES: { nr: 0x84, struct: IovaRangesStruct, last: 'out_iova_alignment', handle: iovaRanges },
  IOMMU_IOAS_MAP: { nr: 0x85, struct: IoasMapStruct, last: 'iova', handle: ioasMap },
  IOMMU_IOAS_UNMAP: { nr: 0x86, struct: IoasUnmapStruct, last: 'length', handle: ioasUnmap },
  IOMMU_OPTION: { nr: 0x87, struct: OptionStruct, last: 'val64', handle: option },
  IOMMU_VFIO_IOAS: { nr: 0x88, struct: VfioIoasStruct, last: 'reserved', handle: vfioIoas },
  IOMMU_HWPT_ALLOC: { nr: 0x89, struct: HwptAllocStruct, last: 'reserved', handle: hwptAlloc },
  IOMMU_GET_HW_INFO: { nr: 0x8a, struct: HwInfoStruct, last: 'reserved2', handle: hwInfo },
  IOMMU_HWPT_SET_DIRTY_TRACKING: { nr: 0x8b, struct: SetDirtyTrackingStruct, last: 'reserved', handle: setDirtyTracking },
  IOMMU_HWPT_GET_DIRTY_BITMAP: { nr: 0x8c, struct: GetDirtyBitmapStruct, last: 'data', handle: getDirtyBitmap },
  IOMMU_HWPT_INVALIDATE: { nr: 0x8d, struct: HwptInvalidateStruct, last: 'reserved', handle: hwptInvalidate },
  IOMMU_FAULT_QUEUE_ALLOC: { nr: 0x8e, struct: FaultAllocStruct, last: 'out_fault_fd', handle: faultQueueAlloc },
  IOMMU_IOAS_MAP_FILE: { nr: 0x8f, struct: IoasMapFileStruct, last: 'iova', handle: ioasMapFile },
  IOMMU_IOAS_CHANGE_PROCESS: { nr: 0x92, struct: ChangeProcessStruct, last: 'reserved', handle: changeProcess },
} as const satisfies Record<string, IommufdIoctl>;

/** `_IO(';', nr)`. */
export function iommufdNumber(name: keyof typeof iommufdIoctls): number {
  return (IOMMUFD_TYPE << 8) | iommufdIoctls[name].nr;
}

/** The ioctls of `/dev/iommu`. */
export const iommufdTable: IoctlTable<IommufdContext> = new Map(
  Object.entries(iommufdIoctls).map(([name, ioctl]) => [(IOMMUFD_TYPE << 8) | ioctl.nr, iommufd(name, ioctl)]),
);

/** The size and version rules, around a handler. */
export function iommufd(name: string, { nr, struct: layout, last, handle }: IommufdIoctl): IoctlHandler<IommufdContext> {
  const { offset, size } = layout.fields[last]!;
  const least = offset + size;
  return (context, caller, { cmd, arg }) => {
    if (cmd !== ((IOMMUFD_TYPE << 8) | nr)) refuse('ENOTTY', `${name} is ioctl ${hex((IOMMUFD_TYPE << 8) | nr)}, not ${hex(cmd)}`);
    const data = new Uint8Array(layout.size);
    caller.readMemory(arg, data.subarray(0, 4));
    const given = getU32(data, 0);
    if (given < least) refuse('EINVAL', `${name} says size ${given}, which is less than the ${least} bytes of its first version`);
    checkTail(name, caller, arg, layout.size, given);
    const known = data.subarray(0, Math.min(given, layout.size));
    caller.readMemory(arg, known);
    return handle(context, { caller, data, respond: () => caller.writeMemory(arg, known) });
  };
}

/** What lies beyond the struct that we know must be zeros. */
export function checkTail(name: string, caller: Caller, arg: number, size: number, given: number): void {
  const part = new Uint8Array(4096);
  for (let at = size; at < given; at += part.length) {
    const bytes = part.subarray(0, Math.min(part.length, given - at));
    caller.readMemory(arg + at, bytes);
    const nonzero = bytes.findIndex((byte) => byte !== 0);
    if (nonzero >= 0) refuse('E2BIG', `${name} has a byte ${hex(bytes[nonzero]!)} at offset ${at + nonzero}, where no field is known`);
  }
}

function requireZero(data: Uint8Array, at: number, what: string): void {
  if (getU32(data, at) !== 0) refuse('EOPNOTSUPP', `${what} is ${hex(getU32(data, at))} and must be zero`);
}

/** Stores a reply that names a new object; where it has no place the object goes again. */
function respondOrDestroy(context: IommufdContext, object: IommufdObject, command: Command): number {
  try {
    command.respond();
  } catch (error) {
    context.objects.destroy(object.id);
    throw error;
  }
  return 0;
}

function destroy(context: IommufdContext, { data }: Command): number {
  context.destroy(getU32(data, DestroyStruct.at.id));
  return 0;
}

function ioasAlloc(context: IommufdContext, command: Command): number {
  requireZero(command.data, IoasAllocStruct.at.flags, 'IOAS_ALLOC flags');
  const ioas = context.allocIoas();
  setU32(command.data, IoasAllocStruct.at.out_ioas_id, ioas.id);
  return respondOrDestroy(context, ioas, command);
}

function iovaRanges(context: IommufdContext, { caller, data, respond }: Command): number {
  const { at } = IovaRangesStruct;
  requireZero(data, at.reserved, 'IOVA_RANGES __reserved');
  const { space } = context.ioas(getU32(data, at.ioas_id));
  const ranges = space.ranges();
  const room = getU32(data, at.num_iovas);
  const array = getBig(data, at.allowed_iovas);
  for (const [n, range] of ranges.slice(0, room).entries())
    caller.writeMemory(Number(array) + n * IovaRangeStruct.size, encodeRange(range));
  setU32(data, at.num_iovas, ranges.length);
  setBig(data, at.out_iova_alignment, space.alignment);
  respond();
  if (ranges.length > room) refuse('EMSGSIZE', `${ranges.length} ranges do not fit into room for ${room}`);
  return 0;
}

function allowIovas(context: IommufdContext, { caller, data }: Command): number {
  const { at } = AllowIovasStruct;
  requireZero(data, at.reserved, 'ALLOW_IOVAS __reserved');
  const { space } = context.ioas(getU32(data, at.ioas_id));
  const array = Number(getBig(data, at.allowed_iovas));
  const ranges: IovaRange[] = [];
  const entry = new Uint8Array(IovaRangeStruct.size);
  for (let n = 0; n < getU32(data, at.num_iovas); n++) {
    caller.readMemory(array + n * entry.length, entry);
    const range = { start: getBig(entry, IovaRangeStruct.at.start), last: getBig(entry, IovaRangeStruct.at.last) };
    if (range.start >= range.last) refuse('EINVAL', `iova range ${hex(range.start)} to ${hex(range.last)} does not end behind its start`);
    if (ranges.some((other) => overlaps(other, range)))
      refuse('EINVAL', `iova range ${hex(range.start)} to ${hex(range.last)} overlaps another`);
    ranges.push(range);
  }
  space.allow(ranges);
  return 0;
}

function encodeRange(range: IovaRange): Uint8Array {
  const bytes = new Uint8Array(IovaRangeStruct.size);
  setBig(bytes, IovaRangeStruct.at.start, range.start);
  setBig(bytes, IovaRangeStruct.at.last, range.last);
  return bytes;
}

/** The flags, length and IOVA of MAP, MAP_FILE and COPY. */
function mapRequest(data: Uint8Array, lengthAt: number, iovaAt: number, others: readonly bigint[] = []) {
  const flags = getU32(data, 4);
  if (flags & ~MAP_FLAGS) refuse('EOPNOTSUPP', `flags ${hex((flags & ~MAP_FLAGS) >>> 0)} are unknown`);
  const length = getBig(data, lengthAt);
  const iova = getBig(data, iovaAt);
  for (const value of [iova, length, ...others]) if (value === LAST_IOVA) refuse('EOVERFLOW', `${hex(value)} is no address or length`);
  const access = (flags & IoasMapFlags.WRITEABLE ? WRITE : 0) | (flags & IoasMapFlags.READABLE ? READ : 0);
  if (access === 0) refuse('EINVAL', 'a mapping must be readable or writeable');
  return { length, access, iova: flags & IoasMapFlags.FIXED_IOVA ? iova : undefined };
}

function ioasMap(context: IommufdContext, { caller, data, respond }: Command): number {
  const { at } = IoasMapStruct;
  requireZero(data, at.reserved, 'IOAS_MAP __reserved');
  const request = mapRequest(data, at.length, at.iova);
  const ioas = context.ioas(getU32(data, at.ioas_id));
  setBig(data, at.iova, mapUserMemory(caller, ioas, request, getBig(data, at.user_va)));
  respond();
  return 0;
}

/** Maps the caller's memory at `address`. @returns the IOVA. @throws Refusal EOVERFLOW when it wraps around; and as Ioas.map. */
export function mapUserMemory(caller: Caller, ioas: Ioas, request: IoasMap, address: bigint): bigint {
  if (address + request.length > LAST_IOVA) refuse('EOVERFLOW', `memory range ${hex(address)}+${hex(request.length)} wraps around`);
  return ioas.map(request, address, caller.memory(Number(address), Math.max(Number(request.length), 1), 0));
}

/** The context behind the caller's descriptor. @throws Refusal EBADF no such descriptor, EBADFD not an open /dev/iommu or /dev/vfio/vfio. */
export function presentedIommufd(caller: Caller, fd: number): IommufdContext {
  let object: object | undefined;
  try {
    object = caller.presented(fd);
  } catch (error) {
    if (!(error instanceof Refusal) || error.errno === Errno.EBADF) throw error;
  }
  return object instanceof IommufdContext ? object : refuse('EBADFD', `descriptor ${fd} is neither /dev/iommu nor /dev/vfio/vfio`);
}

function ioasMapFile(context: IommufdContext, { caller, data, respond }: Command): number {
  const { at } = IoasMapFileStruct;
  const request = mapRequest(data, at.length, at.iova);
  const ioas = context.ioas(getU32(data, at.ioas_id));
  const start = getBig(data, at.start);
  if (request.length === 0n) refuse('EINVAL', 'the length is zero');
  if (start + request.length - 1n > LAST_IOVA) refuse('EOVERFLOW', `file range ${hex(start)}+${hex(request.length)} wraps around`);
  const range = caller.fileMemory(getS32(data, at.fd), Number(start), Number(request.length), 0);
  setBig(data, at.iova, ioas.map(request, start, range));
  respond();
  return 0;
}

function ioasCopy(context: IommufdContext, { data, respond }: Command): number {
  const { at } = IoasCopyStruct;
  const from = getBig(data, at.src_iova);
  const request = mapRequest(data, at.length, at.dst_iova, [from]);
  setBig(data, at.dst_iova, context.copy(getU32(data, at.dst_ioas_id), getU32(data, at.src_ioas_id), request, from));
  respond();
  return 0;
}

function ioasUnmap(context: IommufdContext, { data, respond }: Command): number {
  const { at } = IoasUnmapStruct;
  const id = getU32(data, at.ioas_id);
  const iova = getBig(data, at.iova);
  const length = getBig(data, at.length);
  context.ioas(id);
  if (!(iova === 0n && length === LAST_IOVA) && (iova === LAST_IOVA || length === LAST_IOVA)) {
    refuse('EOVERFLOW', `iova range ${hex(iova)}+${hex(length)} is no range`);
  }
  setBig(data, at.length, context.unmap(id, iova, length));
  respond();
  return 0;
}

function option(context: IommufdContext, { data, respond }: Command): number {
  const { at } = OptionStruct;
  if (getU16(data, at.reserved) !== 0) refuse('EOPNOTSUPP', 'OPTION __reserved must be zero');
  const id = getU32(data, at.option_id);
  if (id === OPTION_RLIMIT_MODE) rlimitMode(context, data);
  else if (id === OPTION_HUGE_PAGES) hugePages(context, data);
  else refuse('EOPNOTSUPP', `option ${id} is unknown`);
  respond();
  return 0;
}

function rlimitMode(context: IommufdContext, data: Uint8Array): void {
  const { at } = OptionStruct;
  requireZero(data, at.object_id, 'object_id of RLIMIT_MODE');
  const op = getU16(data, at.op);
  if (op === OPTION_GET) {
    setBig(data, at.val64, BigInt(context.rlimitMode));
    return;
  }
  if (op !== OPTION_SET) refuse('EOPNOTSUPP', `operation ${op} on an option is unknown`);
  if (context.objects.size > 0) refuse('EBUSY', 'the context has objects already');
  const value = getBig(data, at.val64);
  if (value > 1n) refuse('EINVAL', `rlimit mode ${value} is neither 0 nor 1`);
  context.rlimitMode = Number(value);
}

function hugePages(context: IommufdContext, data: Uint8Array): void {
  const { at } = OptionStruct;
  const ioas = context.ioas(getU32(data, at.object_id));
  const op = getU16(data, at.op);
  if (op === OPTION_GET) {
    setBig(data, at.val64, ioas.largePages ? 1n : 0n);
    return;
  }
  if (op !== OPTION_SET) refuse('EOPNOTSUPP', `operation ${op} on an option is unknown`);
  const value = getBig(data, at.val64);
  if (value > 1n) refuse('EINVAL', `huge pages ${value} is neither 0 nor 1`);
  ioas.setLargePages(value === 1n);
}

function vfioIoas(context: IommufdContext, { data, respond }: Command): number {
  const { at } = VfioIoasStruct;
  if (getU16(data, at.reserved) !== 0) refuse('EOPNOTSUPP', 'VFIO_IOAS __reserved must be zero');
  switch (getU16(data, at.op)) {
    case VFIO_IOAS_GET:
      setU32(data, at.ioas_id, (context.compatIoas ?? refuse('ENODEV', 'no IOAS was named for the VFIO container ioctls')).id);
      respond();
      return 0;
    case VFIO_IOAS_SET:
      context.compatIoas = context.ioas(getU32(data, at.ioas_id));
      return 0;
    case VFIO_IOAS_CLEAR:
      context.compatIoas = undefined;
      return 0;
    default:
      return refuse('EOPNOTSUPP', `operation ${getU16(data, at.op)} of VFIO_IOAS is unknown`);
  }
}

function hwptAlloc(context: IommufdContext, command: Command): number {
  const { data } = command;
  const { at } = HwptAllocStruct;
  requireZero(data, at.reserved, 'HWPT_ALLOC __reserved');
  const type = getU32(data, at.data_type);
  if ((type === 0) !== (getU32(data, at.data_len) === 0))
    refuse('EINVAL', `data of type ${type} and ${getU32(data, at.data_len)} bytes do not go together`);
  const hwpt = context.allocHwpt(getU32(data, at.dev_id), getU32(data, at.pt_id), getU32(data, at.flags), type);
  setU32(data, at.out_hwpt_id, hwpt.id);
  return respondOrDestroy(context, hwpt, command);
}

function hwInfo(context: IommufdContext, { caller, data, respond }: Command): number {
  const { at } = HwInfoStruct;
  const flags = getU32(data, at.flags);
  if (flags & ~HW_INFO_FLAG_INPUT_TYPE) refuse('EOPNOTSUPP', `GET_HW_INFO flags ${hex(flags)} are unknown`);
  if (data[at.reserved0]! | data[at.reserved1]! | data[at.reserved2]!) refuse('EOPNOTSUPP', 'GET_HW_INFO __reserved must be zero');
  const { hardware } = context.objects.get(getU32(data, at.dev_id), BoundDevice);
  const type = flags & HW_INFO_FLAG_INPUT_TYPE ? getU32(data, at.data_type) : 0;
  if (type !== 0 && hardware.info.type !== 0 && type !== hardware.info.type)
    refuse('EOPNOTSUPP', `device ${getU32(data, at.dev_id)} has information of type ${hex(hardware.info.type)}, and none of ${hex(type)}`);
  const room = getU32(data, at.data_len);
  const answer = new Uint8Array(Math.min(room, 65536));
  answer.set(hardware.info.data.subarray(0, answer.length));
  const target = Number(getBig(data, at.data_uptr));
  for (let done = 0; done < room; done += answer.length) {
    caller.writeMemory(target + done, answer.subarray(0, Math.min(answer.length, room - done)));
    answer.fill(0);
  }
  setU32(data, at.data_type, hardware.info.type);
  setU32(data, at.data_len, hardware.info.data.length);
  data[at.out_max_pasid_log2] = hardware.pasidBits;
  setBig(data, at.out_capabilities, BigInt((hardware.dirtyTracking ? HW_CAP_DIRTY_TRACKING : 0) | HW_CAP_PCI_ATS_NOT_SUPPORTED));
  respond();
  return 0;
}

function setDirtyTracking(context: IommufdContext, { data }: Command): number {
  const { at } = SetDirtyTrackingStruct;
  const flags = getU32(data, at.flags);
  if (flags & ~1) refuse('EOPNOTSUPP', `SET_DIRTY_TRACKING flags ${hex(flags)} are unknown`);
  const hwpt = context.objects.get(getU32(data, at.hwpt_id), Hwpt);
  const dirty = dirtyLog(hwpt);
  if (flags & 1) dirty.clear();
  dirty.enabled = (flags & 1) !== 0;
  return 0;
}

function dirtyLog(hwpt: Hwpt): DirtyLog {
  return hwpt.dirty ?? refuse('EOPNOTSUPP', `HWPT ${hwpt.id} was not allocated for dirty tracking`);
}

function getDirtyBitmap(context: IommufdContext, { caller, data }: Command): number {
  const { at } = GetDirtyBitmapStruct;
  const flags = getU32(data, at.flags);
  if (flags & ~1 || getU32(data, at.reserved) !== 0) refuse('EOPNOTSUPP', `GET_DIRTY_BITMAP flags ${hex(flags)} or __reserved are unknown`);
  const hwpt = context.objects.get(getU32(data, at.hwpt_id), Hwpt);
  const [iova, length, pageSize] = [getBig(data, at.iova), getBig(data, at.length), getBig(data, at.page_size)];
  checkBitmapRange(hwpt, iova, length, pageSize);
  const dirty = dirtyLog(hwpt);
  const mapped = hwpt.ioas.mappedFrom(iova, length);
  if (mapped === 0n) return 0;
  const found = [...dirty.dirty(iova, mapped)];
  if ((flags & DIRTY_BITMAP_NO_CLEAR) === 0) dirty.clean(iova, mapped);
  recordInBitmap(caller, Number(getBig(data, at.data)), found, (page) => [
    (page - iova) / pageSize,
    (page + dirty.pageSize - 1n - iova) / pageSize,
  ]);
  return 0;
}

/** Sets the bits of `pages` in the caller's bitmap, whose other bits stay. As in Linux, bits that have no place are lost without an error. */
function recordInBitmap(caller: Caller, address: number, pages: readonly bigint[], bitsOf: (page: bigint) => [bigint, bigint]): void {
  const chunks = new Map<number, number[]>();
  for (const page of pages) {
    const [first, last] = bitsOf(page);
    for (let bit = Number(first); bit <= Number(last); bit++) {
      const chunk = Math.floor(bit / BITMAP_CHUNK_BITS);
      const bits = chunks.get(chunk);
      if (bits === undefined) chunks.set(chunk, [bit % BITMAP_CHUNK_BITS]);
      else bits.push(bit % BITMAP_CHUNK_BITS);
    }
  }
  for (const [chunk, bits] of chunks) setBits(caller, address + chunk * (BITMAP_CHUNK_BITS / 8), bits);
}

function setBits(caller: Caller, address: number, bits: readonly number[]): void {
  const first = Math.min(...bits) >>> 3;
  const bytes = new Uint8Array((Math.max(...bits) >>> 3) - first + 1);
  try {
    caller.readMemory(address + first, bytes);
    for (const bit of bits) bytes[(bit >>> 3) - first]! |= 1 << (bit & 7);
    caller.writeMemory(address + first, bytes);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}

function checkBitmapRange(hwpt: Hwpt, iova: bigint, length: bigint, pageSize: bigint): void {
  if (length === 0n) refuse('EINVAL', 'the length is zero');
  if (iova + length - 1n > LAST_IOVA) refuse('EOVERFLOW', `iova range ${hex(iova)}+${hex(length)} wraps around`);
  if (pageSize === 0n) refuse('EINVAL', 'the page size is zero');
  const mask = (hwpt.ioas.space.alignment - 1n) | (pageSize - 1n);
  if ((iova & mask) !== 0n || ((iova + length) & mask) !== 0n)
    refuse('EINVAL', `iova range ${hex(iova)}+${hex(length)} is not aligned to its pages`);
}

function hwptInvalidate(context: IommufdContext, { data, respond }: Command): number {
  const { at } = HwptInvalidateStruct;
  const number = getU32(data, at.entry_num);
  const length = getU32(data, at.entry_len);
  setU32(data, at.entry_num, 0);
  respond();
  requireZero(data, at.reserved, 'HWPT_INVALIDATE __reserved');
  if (number > 0 && (getBig(data, at.data_uptr) === 0n || length === 0 || length > 4096 || number > 1 << 19)) {
    refuse('EINVAL', `${number} entries of ${length} bytes are no array of invalidations`);
  }
  const object = context.objects.get(getU32(data, at.hwpt_id), IommufdObject);
  return refuse('EINVAL', `object ${object.id} is a ${object.kind}, which caches nothing of its user's`);
}

function faultQueueAlloc(_context: IommufdContext, { data }: Command): number {
  requireZero(data, FaultAllocStruct.at.flags, 'FAULT_QUEUE_ALLOC flags');
  return refuse('EOPNOTSUPP', 'fault queues are not supported: no device here sends page requests');
}

function changeProcess(context: IommufdContext, { data }: Command): number {
  requireZero(data, ChangeProcessStruct.at.reserved, 'CHANGE_PROCESS __reserved');
  context.changeProcess();
  return 0;
}
