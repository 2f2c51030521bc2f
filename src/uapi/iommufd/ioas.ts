/**
 * The ioctls of an IOAS: alloc, ranges, map, copy, unmap, and whose process its memory belongs to.
 */
import { DmaBuf } from '../../file/dma-buf.js';
import type { Caller, MemoryRange } from '../../file/open-file.js';
import { after, begun, type Sliced, type Work, workOf } from '../../file/work.js';
import { DisjointRanges, LAST_IOVA } from '../../ioasid/iova-ranges.js';
import { READ, WRITE } from '../../iommu/iommu.js';
import type { IommufdContext } from '../../iommufd/context.js';
import type { Ioas, IoasMap } from '../../iommufd/ioas.js';
import { UserArray } from '../../iommufd/user-data.js';
import { hex, Refusal, refuse } from '../../linux/errno.js';
import { bits, descriptor, getBig, getS32, getU32, setBig, setU32, struct, u32, u64 } from '../struct.js';
import { type Command, type IommufdIoctl, requireZero, respondOrDestroy } from './command.js';

export const IoasMapFlags = { FIXED_IOVA: 1, WRITEABLE: 2, READABLE: 4 } as const;
/** Ranges that one ALLOW_IOVAS can name. */
const MOST_RANGES = 4096;
const RANGES_PER_SLICE = 64;
const MAP_FLAGS = IoasMapFlags.FIXED_IOVA | IoasMapFlags.WRITEABLE | IoasMapFlags.READABLE;

const mapFlags = bits({
  IOMMU_IOAS_MAP_FIXED_IOVA: IoasMapFlags.FIXED_IOVA,
  IOMMU_IOAS_MAP_WRITEABLE: IoasMapFlags.WRITEABLE,
  IOMMU_IOAS_MAP_READABLE: IoasMapFlags.READABLE,
});

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
  flags: mapFlags,
  ioas_id: u32,
  reserved: u32,
  user_va: u64,
  length: u64,
  iova: u64,
});
export const IoasMapFileStruct = struct('iommu_ioas_map_file', {
  size: u32,
  flags: mapFlags,
  ioas_id: u32,
  fd: descriptor,
  start: u64,
  length: u64,
  iova: u64,
});
export const IoasCopyStruct = struct('iommu_ioas_copy', {
  size: u32,
  flags: mapFlags,
  dst_ioas_id: u32,
  src_ioas_id: u32,
  length: u64,
  dst_iova: u64,
  src_iova: u64,
});
export const IoasUnmapStruct = struct('iommu_ioas_unmap', {
  size: u32,
  ioas_id: u32,
  iova: u64,
  length: u64,
});
export const NoiommuGetPaStruct = struct('iommu_ioas_noiommu_get_pa', {
  size: u32,
  flags: u32,
  ioas_id: u32,
  reserved: u32,
  iova: u64,
  length: u64,
  out_phys: u64,
});
export const ChangeProcessStruct = struct('iommu_ioas_change_process', { size: u32, reserved: u32 });

export const ioasIoctls = {
  IOMMU_IOAS_ALLOC: { nr: 0x81, struct: IoasAllocStruct, last: 'out_ioas_id', handle: ioasAlloc },
  IOMMU_IOAS_ALLOW_IOVAS: { nr: 0x82, struct: AllowIovasStruct, last: 'allowed_iovas', handle: allowIovas },
  IOMMU_IOAS_COPY: { nr: 0x83, struct: IoasCopyStruct, last: 'src_iova', handle: ioasCopy },
  IOMMU_IOAS_IOVA_RANGES: {
    nr: 0x84,
    struct: IovaRangesStruct,
    last: 'out_iova_alignment',
    handle: iovaRanges,
  },
  IOMMU_IOAS_MAP: { nr: 0x85, struct: IoasMapStruct, last: 'iova', handle: ioasMap },
  IOMMU_IOAS_UNMAP: { nr: 0x86, struct: IoasUnmapStruct, last: 'length', handle: ioasUnmap },
  IOMMU_IOAS_MAP_FILE: { nr: 0x8f, struct: IoasMapFileStruct, last: 'iova', handle: ioasMapFile },
  IOMMU_IOAS_NOIOMMU_GET_PA: { nr: 0x95, struct: NoiommuGetPaStruct, last: 'out_phys', handle: noiommuGetPa },
  IOMMU_IOAS_CHANGE_PROCESS: {
    nr: 0x92,
    struct: ChangeProcessStruct,
    last: 'reserved',
    handle: changeProcess,
  },
} as const satisfies Record<string, IommufdIoctl>;

function ioasAlloc(context: IommufdContext, command: Command): Sliced<number> {
  requireZero(command.data, IoasAllocStruct.at.flags, 'IOAS_ALLOC flags');
  const ioas = context.allocIoas();
  setU32(command.data, IoasAllocStruct.at.out_ioas_id, ioas.id);
  return respondOrDestroy(context, ioas, command);
}

function iovaRanges(context: IommufdContext, { caller, data, respond }: Command): number {
  const { at } = IovaRangesStruct;
  requireZero(data, at.reserved, 'IOVA_RANGES __reserved');
  const { space } = context.ioas(getU32(data, at.ioas_id));
  const ranges = space.iovas.ranges();
  const room = getU32(data, at.num_iovas);
  const array = getBig(data, at.allowed_iovas);
  const told = ranges.slice(0, room).map((range) => IovaRangeStruct.encode(range));
  if (told.length > 0) caller.writeMemory(Number(array), Buffer.concat(told));
  setU32(data, at.num_iovas, ranges.length);
  setBig(data, at.out_iova_alignment, space.iovas.alignment);
  respond();
  if (ranges.length > room) refuse('EMSGSIZE', `${ranges.length} ranges do not fit into room for ${room}`);
  return 0;
}

function* allowIovas(context: IommufdContext, { caller, data }: Command): Work<number> {
  const { ioas_id, num_iovas, allowed_iovas } = AllowIovasStruct.decode(data);
  requireZero(data, AllowIovasStruct.at.reserved, 'ALLOW_IOVAS __reserved');
  const { space } = context.ioas(ioas_id);
  const ranges = new DisjointRanges();
  const { size } = IovaRangeStruct;
  const array = new UserArray(caller, Number(allowed_iovas), size, Math.min(num_iovas, MOST_RANGES));
  for (const entry of array.entries(size)) {
    const range = IovaRangeStruct.decode(entry);
    if (range.start >= range.last)
      refuse('EINVAL', `iova range ${hex(range.start)} to ${hex(range.last)} does not end behind its start`);
    if (!ranges.add(range))
      refuse('EINVAL', `iova range ${hex(range.start)} to ${hex(range.last)} overlaps another`);
    if (ranges.count % RANGES_PER_SLICE === 0) yield;
  }
  if (num_iovas > MOST_RANGES) refuse('ENOMEM', `${num_iovas} ranges are more than ${MOST_RANGES}`);
  space.iovas.allow(ranges.all);
  return 0;
}

/** The flags, length and IOVA of MAP, MAP_FILE and COPY. */
function mapRequest(data: Uint8Array, lengthAt: number, iovaAt: number, others: readonly bigint[] = []) {
  const flags = getU32(data, 4);
  if (flags & ~MAP_FLAGS) refuse('EOPNOTSUPP', `flags ${hex((flags & ~MAP_FLAGS) >>> 0)} are unknown`);
  const length = getBig(data, lengthAt);
  const iova = getBig(data, iovaAt);
  for (const value of [iova, length, ...others])
    if (value === LAST_IOVA) refuse('EOVERFLOW', `${hex(value)} is no address or length`);
  const access = (flags & IoasMapFlags.WRITEABLE ? WRITE : 0) | (flags & IoasMapFlags.READABLE ? READ : 0);
  if (access === 0) refuse('EINVAL', 'a mapping must be readable or writeable');
  return { length, access, iova: flags & IoasMapFlags.FIXED_IOVA ? iova : undefined };
}

function ioasMap(context: IommufdContext, { caller, data, respond }: Command): Sliced<number> {
  const { at } = IoasMapStruct;
  requireZero(data, at.reserved, 'IOAS_MAP __reserved');
  const request = mapRequest(data, at.length, at.iova);
  const ioas = context.ioas(getU32(data, at.ioas_id));
  return after(mapUserMemory(caller, ioas, request, getBig(data, at.user_va)), (iova) => {
    setBig(data, at.iova, iova);
    respond();
    return 0;
  });
}

/**
 * Maps the caller's memory at `address`. @returns the IOVA. @throws Refusal EOVERFLOW when it wraps around;
 * and as Ioas.map.
 */
export function mapUserMemory(caller: Caller, ioas: Ioas, request: IoasMap, address: bigint): Sliced<bigint> {
  return begun(mapRange(caller, ioas, request, address));
}

function* mapRange(caller: Caller, ioas: Ioas, request: IoasMap, address: bigint): Work<bigint> {
  if (address + request.length > LAST_IOVA)
    refuse('EOVERFLOW', `memory range ${hex(address)}+${hex(request.length)} wraps around`);
  const range = yield* workOf(caller.memory(Number(address), Math.max(Number(request.length), 1), 0));
  return yield* workOf(ioas.map(request, address, range));
}

function ioasMapFile(context: IommufdContext, { caller, data, respond }: Command): Sliced<number> {
  const { at } = IoasMapFileStruct;
  const request = mapRequest(data, at.length, at.iova);
  const ioas = context.ioas(getU32(data, at.ioas_id));
  const start = getBig(data, at.start);
  if (request.length === 0n) refuse('EINVAL', 'the length is zero');
  if (start + request.length - 1n > LAST_IOVA)
    refuse('EOVERFLOW', `file range ${hex(start)}+${hex(request.length)} wraps around`);
  const range = fileRange(caller, getS32(data, at.fd), Number(start), Number(request.length));
  if (context.strict && range.memory.onDisk === true) {
    range.memory.close();
    refuse(
      'EINVAL',
      `${range.memory.description} is on a disk, and neither a memfd nor in a tmpfs (--strict)`,
    );
  }
  return after(ioas.map(request, start, range), (iova) => {
    setBig(data, at.iova, iova);
    respond();
    return 0;
  });
}

/** A dma-buf, or what Caller.fileMemory has. @throws Refusal as these. */
function fileRange(caller: Caller, fd: number, start: number, length: number): MemoryRange {
  const ours = presentedFile(caller, fd);
  return ours instanceof DmaBuf ? ours.take(start, length) : caller.fileMemory(fd, start, length, 0);
}

/** The object behind `fd`; undefined when it is no file of this system. */
function presentedFile(caller: Caller, fd: number): object | undefined {
  try {
    return caller.presented(fd);
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}

function* ioasCopy(context: IommufdContext, { data, respond }: Command): Work<number> {
  const { at } = IoasCopyStruct;
  const from = getBig(data, at.src_iova);
  const request = mapRequest(data, at.length, at.dst_iova, [from]);
  setBig(
    data,
    at.dst_iova,
    yield* context.copy(getU32(data, at.dst_ioas_id), getU32(data, at.src_ioas_id), request, from),
  );
  respond();
  return 0;
}

function* ioasUnmap(context: IommufdContext, { data, respond }: Command): Work<number> {
  const { at } = IoasUnmapStruct;
  const id = getU32(data, at.ioas_id);
  const iova = getBig(data, at.iova);
  const length = getBig(data, at.length);
  context.ioas(id);
  if (!(iova === 0n && length === LAST_IOVA) && (iova === LAST_IOVA || length === LAST_IOVA)) {
    refuse('EOVERFLOW', `iova range ${hex(iova)}+${hex(length)} is no range`);
  }
  setBig(data, at.length, yield* context.unmap(id, iova, length));
  respond();
  return 0;
}

function changeProcess(context: IommufdContext, { data }: Command): Work<number> {
  requireZero(data, ChangeProcessStruct.at.reserved, 'CHANGE_PROCESS __reserved');
  return context.changeProcess();
}

/** As of a kernel without CONFIG_IOMMUFD_NOIOMMU. */
function noiommuGetPa(): number {
  return refuse(
    'EOPNOTSUPP',
    'there are no physical addresses to ask for: every device here is behind an IOMMU',
  );
}
