/**
 * The ABI of a VFIO container and of a group file, as <linux/vfio.h> has it.
 *
 * A container is an iommufd context, opened as `/dev/vfio/vfio` or as `/dev/iommu`: its ioctls are the second
 * half of both files' tables, below iommufd's numbers. Errnos are those of Linux 7.3 with
 * IOMMUFD_VFIO_CONTAINER. `argsz` is the caller's size of a struct: less than the first version's is EINVAL.
 * VFIO_IOMMU_DIRTY_PAGES and everything about page tables for guests (SPAPR) is unknown there, so ENOTTY.
 */
import type { Caller, IoctlCall } from '../file/open-file.js';
import { after, type Sliced, type Work } from '../file/work.js';
import type { Unmapped } from '../ioasid/address-space.js';
import type { IovaRange } from '../ioasid/iova-ranges.js';
import { READ, WRITE } from '../iommu/iommu.js';
import {
  checkExtension,
  compatIoas,
  cutDma,
  dmaPageSizes,
  setIommu,
  unmapAllDma,
} from '../iommufd/compat.js';
import type { IommufdContext } from '../iommufd/context.js';
import type { Ioas } from '../iommufd/ioas.js';
import { Errno, hex, Refusal, refuse } from '../linux/errno.js';
import type { VfioDevice } from '../vfio/device.js';
import type { VfioGroup } from '../vfio/group.js';
import { DeviceFile } from './device-file.js';
import type { IoctlHandler, IoctlTable } from './ioctl.js';
import { iommufdTable, mapUserMemory, presentedIommufd } from './iommufd.js';
import { getBig, getS32, getU32, setBig, setU32, struct, u16, u32, u64 } from './struct.js';
import { regionOperations, vfioIoctls } from './vfio.js';
import { io, readStruct } from './vfio-call.js';
import { VFIO_DEVICE_BIND_IOMMUFD } from './vfio-cdev.js';
import { hotResetByGroup, VFIO_DEVICE_PCI_HOT_RESET } from './vfio-hot-reset.js';

export const VFIO_GET_API_VERSION = io(0);
export const VFIO_CHECK_EXTENSION = io(1);
export const VFIO_SET_IOMMU = io(2);
export const VFIO_GROUP_GET_STATUS = io(3);
export const VFIO_GROUP_SET_CONTAINER = io(4);
export const VFIO_GROUP_UNSET_CONTAINER = io(5);
export const VFIO_GROUP_GET_DEVICE_FD = io(6);
export const VFIO_IOMMU_GET_INFO = io(12);
export const VFIO_IOMMU_MAP_DMA = io(13);
export const VFIO_IOMMU_UNMAP_DMA = io(14);

export const API_VERSION = 0;
export const INFO_PGSIZES = 1;
export const INFO_CAPS = 2;
export const CAP_IOVA_RANGE = 1;
export const CAP_DMA_AVAIL = 3;
export const MAP_READ = 1;
export const MAP_WRITE = 2;
export const UNMAP_FLAG_ALL = 2;
export const GROUP_VIABLE = 1;
export const GROUP_CONTAINER_SET = 2;

export const Type1InfoStruct = struct('vfio_iommu_type1_info', {
  argsz: u32,
  flags: u32,
  iova_pgsizes: u64,
  cap_offset: u32,
  pad: u32,
});
export const CapDmaAvailStruct = struct('vfio_iommu_type1_info_dma_avail', {
  id: u16,
  version: u16,
  next: u32,
  avail: u32,
});
export const CapIovaRangeStruct = struct('vfio_iommu_type1_info_cap_iova_range', {
  id: u16,
  version: u16,
  next: u32,
  nr_iovas: u32,
  reserved: u32,
});
export const VfioIovaRangeStruct = struct('vfio_iova_range', { start: u64, end: u64 });
export const MapDmaStruct = struct('vfio_iommu_type1_dma_map', {
  argsz: u32,
  flags: u32,
  vaddr: u64,
  iova: u64,
  size: u64,
});
export const UnmapDmaStruct = struct('vfio_iommu_type1_dma_unmap', {
  argsz: u32,
  flags: u32,
  iova: u64,
  size: u64,
});
export const GroupStatusStruct = struct('vfio_group_status', { argsz: u32, flags: u32 });

/** Bytes of vfio_iommu_type1_info before `cap_offset`, which came later. */
const FIRST_INFO = Type1InfoStruct.at.cap_offset;
/** Bytes of vfio_iommu_type1_info_dma_avail up to the next capability, which is aligned to 8. */
const CAP_DMA_AVAIL_BYTES = 16;
/** There is no limit of mappings here: the largest number, as Linux says it. */
const DMA_AVAIL = 0xffff_ffff;
/** A device's name and its end are looked for in so many bytes. */
const NAME_BYTES = 4096;

/** The ioctls of a container, `/dev/vfio/vfio` or `/dev/iommu`. */
export const containerTable: IoctlTable<IommufdContext> = new Map<number, IoctlHandler<IommufdContext>>([
  ...iommufdTable,
  ...exact<IommufdContext>([
    [VFIO_GET_API_VERSION, () => API_VERSION],
    [VFIO_CHECK_EXTENSION, (context, _caller, { arg }) => checkExtension(context, arg)],
    [VFIO_SET_IOMMU, chooseIommu],
    [VFIO_IOMMU_GET_INFO, getInfo],
    [VFIO_IOMMU_MAP_DMA, mapDma],
    [VFIO_IOMMU_UNMAP_DMA, unmap],
  ]),
]);

/** The ioctls of a group file. */
export const groupTable: IoctlTable<VfioGroup> = new Map(
  exact<VfioGroup>([
    [VFIO_GROUP_GET_STATUS, getStatus],
    [VFIO_GROUP_SET_CONTAINER, setContainer],
    [VFIO_GROUP_UNSET_CONTAINER, unsetContainer],
    [VFIO_GROUP_GET_DEVICE_FD, getDeviceFd],
  ]),
);

/** The ioctls of a device file that was opened through a group: attaching is the group's business. */
export const groupedIoctls: IoctlTable<VfioDevice> = new Map([
  ...vfioIoctls,
  ...exact<VfioDevice>([[VFIO_DEVICE_BIND_IOMMUFD, bindGrouped]]),
  [VFIO_DEVICE_PCI_HOT_RESET, hotResetByGroup],
]);

/** Tables find handlers by type and number; these ioctls have neither size nor direction. */
function exact<T>(
  handlers: readonly (readonly [number, IoctlHandler<T>])[],
): (readonly [number, IoctlHandler<T>])[] {
  return handlers.map(([number, handle]) => [
    number,
    (object, caller, call) => {
      if (call.cmd !== number)
        refuse('ENOTTY', `ioctl ${hex(number)} has no size and no direction, but ${hex(call.cmd)} has`);
      return handle(object, caller, call);
    },
  ]);
}

function chooseIommu(context: IommufdContext, _caller: Caller, { arg }: IoctlCall): number {
  setIommu(context, arg);
  return 0;
}

/** The struct and behind it the capabilities, as many of them as there is room for. */
function getInfo(context: IommufdContext, caller: Caller, call: IoctlCall): number {
  const { at, size } = Type1InfoStruct;
  const room = getU32(readStruct(caller, call, FIRST_INFO), at.argsz);
  const ioas = compatIoas(context);
  const ranges = ioas.space.iovas.ranges();
  const rangesAt = size + CAP_DMA_AVAIL_BYTES;
  const answer = new Uint8Array(
    rangesAt + CapIovaRangeStruct.size + ranges.length * VfioIovaRangeStruct.size,
  );
  const info = Type1InfoStruct.encode({
    argsz: answer.length,
    flags: INFO_PGSIZES | INFO_CAPS,
    iova_pgsizes: dmaPageSizes(ioas),
    cap_offset: room >= answer.length ? size : 0,
  });
  answer.set(info);
  answer.set(dmaAvail(room >= rangesAt ? rangesAt : 0), size);
  encodeRanges(answer.subarray(rangesAt), ranges);
  writeCapabilities(caller, call.arg, answer, rangesAt, room);
  caller.writeMemory(call.arg, answer.subarray(0, Math.min(room, size)));
  return 0;
}

function dmaAvail(next: number): Uint8Array {
  return CapDmaAvailStruct.encode({ id: CAP_DMA_AVAIL, version: 1, next, avail: DMA_AVAIL });
}

function encodeRanges(capability: Uint8Array, ranges: readonly IovaRange[]): void {
  const { size } = CapIovaRangeStruct;
  capability.set(CapIovaRangeStruct.encode({ id: CAP_IOVA_RANGE, version: 1, nr_iovas: ranges.length }));
  for (const [n, { start, last }] of ranges.entries())
    capability.set(VfioIovaRangeStruct.encode({ start, end: last }), size + n * VfioIovaRangeStruct.size);
}

/**
 * What does not fit is left out, but a range that fits is stored even where its capability's header does not:
 * as Linux does it.
 */
function writeCapabilities(
  caller: Caller,
  address: number,
  answer: Uint8Array,
  rangesAt: number,
  room: number,
): void {
  const { size } = Type1InfoStruct;
  if (room >= size + CapDmaAvailStruct.size)
    caller.writeMemory(address + size, answer.subarray(size, size + CapDmaAvailStruct.size));
  const first = rangesAt + CapIovaRangeStruct.size;
  const fitting = Math.floor((Math.min(room, answer.length) - first) / VfioIovaRangeStruct.size);
  if (fitting > 0)
    caller.writeMemory(address + first, answer.subarray(first, first + fitting * VfioIovaRangeStruct.size));
  if (room >= answer.length) caller.writeMemory(address + rangesAt, answer.subarray(rangesAt, first));
}

function mapDma(context: IommufdContext, caller: Caller, call: IoctlCall): number {
  const { at, size } = MapDmaStruct;
  const data = readStruct(caller, call, size);
  const flags = getU32(data, at.flags);
  if (flags & ~(MAP_READ | MAP_WRITE))
    refuse('EINVAL', `flags ${hex(flags)} have bits that MAP_DMA does not know`);
  const access = (flags & MAP_READ ? READ : 0) | (flags & MAP_WRITE ? WRITE : 0);
  const request = { length: getBig(data, at.size), access, iova: getBig(data, at.iova) };
  mapUserMemory(caller, compatIoas(context), request, getBig(data, at.vaddr));
  return 0;
}

function* unmap(context: IommufdContext, caller: Caller, call: IoctlCall): Work<number> {
  const { arg } = call;
  const { at, size } = UnmapDmaStruct;
  const data = readStruct(caller, call, size);
  const flags = getU32(data, at.flags);
  if (flags & ~UNMAP_FLAG_ALL) refuse('EINVAL', `flags ${hex(flags)} have bits that UNMAP_DMA does not know`);
  const ioas = compatIoas(context);
  const [iova, length] = [getBig(data, at.iova), getBig(data, at.size)];
  const { bytes, refusal } = yield* flags & UNMAP_FLAG_ALL
    ? unmapAllDma(ioas, iova, length)
    : unmapRange(ioas, iova, length);
  setBig(data, at.size, bytes);
  caller.writeMemory(arg, data);
  if (refusal !== undefined) throw refusal;
  return 0;
}

/** Even a range that is refused gets its answer: how much was unmapped. @throws Refusal as cutDma. */
function* unmapRange(ioas: Ioas, iova: bigint, length: bigint): Work<Unmapped> {
  cutDma(ioas, iova, length);
  try {
    return yield* ioas.unmap(iova, length);
  } catch (error) {
    if (error instanceof Refusal) return { bytes: 0n, refusal: error };
    throw error;
  }
}

function getStatus(group: VfioGroup, caller: Caller, call: IoctlCall): number {
  const { at, size } = GroupStatusStruct;
  const data = readStruct(caller, call, size);
  setU32(
    data,
    at.flags,
    (group.viable ? GROUP_VIABLE : 0) | (group.container === undefined ? 0 : GROUP_CONTAINER_SET),
  );
  caller.writeMemory(call.arg, data);
  return 0;
}

/** Both descriptors are presented: the group's, and that of a container. */
function setContainer(group: VfioGroup, caller: Caller, call: IoctlCall): number {
  const data = new Uint8Array(4);
  caller.readMemory(call.arg, data);
  group.setContainer(presentedContainer(group, caller, getS32(data, 0)));
  return 0;
}

/** A group that has a container takes no other file, whatever it is; but it must be one. */
function presentedContainer(group: VfioGroup, caller: Caller, fd: number): IommufdContext {
  try {
    return presentedIommufd(caller, fd);
  } catch (error) {
    if (group.container !== undefined && error instanceof Refusal && error.errno === Errno.EBADFD)
      group.refuseContainer();
    throw error;
  }
}

function unsetContainer(group: VfioGroup): Sliced<number> {
  return after(group.unsetContainer(), () => 0);
}

/** A new descriptor for the device whose name stands at the argument's address. */
function* getDeviceFd(group: VfioGroup, caller: Caller, call: IoctlCall): Work<number> {
  group.find(readName(caller, call.arg));
  yield* group.openDevice(caller.pid);
  const operations = { ...regionOperations(group.device), release: () => group.closeDevice() };
  return caller.install(new DeviceFile(group.device, groupedIoctls, operations));
}

/** A NUL-terminated string of at most a page. */
function readName(caller: Caller, address: number): string {
  const name: number[] = [];
  for (let at = address; name.length < NAME_BYTES; ) {
    const part = new Uint8Array(Math.min(NAME_BYTES - (at % NAME_BYTES), NAME_BYTES - name.length));
    caller.readMemory(at, part);
    const end = part.indexOf(0);
    name.push(...part.subarray(0, end < 0 ? part.length : end));
    if (end >= 0) return Buffer.from(name).toString('latin1');
    at += part.length;
  }
  return refuse('EINVAL', `the name at ${hex(address)} does not end within ${NAME_BYTES} bytes`);
}

function bindGrouped(device: VfioDevice): number {
  return refuse('EINVAL', `${device.name} was opened through its group, which has bound it already`);
}
