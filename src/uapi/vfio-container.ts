/**
 * Numbers and structs of a VFIO container and of a group file, as <linux/vfio.h> has them, whichever kind the
 * container is of. `argsz` is the caller's size of a struct: less than the first version's is EINVAL.
 */
import type { Caller, IoctlCall } from '../file/open-file.js';
import type { IovaRange } from '../ioasid/iova-ranges.js';
import { type Access, READ, WRITE } from '../iommu/iommu.js';
import { hex, refuse } from '../linux/errno.js';
import { bits, descriptor, getBig, getU32, type Meaning, struct, u16, u32, u64 } from './struct.js';
import { io, readStruct } from './vfio-call.js';

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
export const VFIO_IOMMU_DIRTY_PAGES = io(17);

export const API_VERSION = 0;
export const INFO_PGSIZES = 1;
export const INFO_CAPS = 2;
export const CAP_IOVA_RANGE = 1;
export const CAP_MIGRATION = 2;
export const CAP_DMA_AVAIL = 3;
export const MAP_READ = 1;
export const MAP_WRITE = 2;
export const MAP_VADDR = 4;
export const UNMAP_GET_DIRTY_BITMAP = 1;
export const UNMAP_FLAG_ALL = 2;
export const UNMAP_VADDR = 4;
export const GROUP_VIABLE = 1;
export const GROUP_CONTAINER_SET = 2;

export const Type1InfoStruct = struct('vfio_iommu_type1_info', {
  argsz: u32,
  flags: bits({ VFIO_IOMMU_INFO_PGSIZES: INFO_PGSIZES, VFIO_IOMMU_INFO_CAPS: INFO_CAPS }),
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
export const CapMigrationStruct = struct('vfio_iommu_type1_info_cap_migration', {
  id: u16,
  version: u16,
  next: u32,
  flags: u32,
  pad: u32,
  pgsize_bitmap: u64,
  max_dirty_bitmap_size: u64,
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
  flags: bits({
    VFIO_DMA_MAP_FLAG_READ: MAP_READ,
    VFIO_DMA_MAP_FLAG_WRITE: MAP_WRITE,
    VFIO_DMA_MAP_FLAG_VADDR: MAP_VADDR,
  }),
  vaddr: u64,
  iova: u64,
  size: u64,
});
export const UnmapDmaStruct = struct('vfio_iommu_type1_dma_unmap', {
  argsz: u32,
  flags: bits({
    VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP: UNMAP_GET_DIRTY_BITMAP,
    VFIO_DMA_UNMAP_FLAG_ALL: UNMAP_FLAG_ALL,
    VFIO_DMA_UNMAP_FLAG_VADDR: UNMAP_VADDR,
  }),
  iova: u64,
  size: u64,
});
export const GroupStatusStruct = struct('vfio_group_status', {
  argsz: u32,
  flags: bits({
    VFIO_GROUP_FLAGS_VIABLE: GROUP_VIABLE,
    VFIO_GROUP_FLAGS_CONTAINER_SET: GROUP_CONTAINER_SET,
  }),
});
/** What SET_CONTAINER points to. */
export const ContainerFdStruct = struct('int', { container_fd: descriptor });

/** What CHECK_EXTENSION asks for; SET_IOMMU takes the first ones. */
export const extensions: Meaning = {
  kind: 'value',
  names: {
    VFIO_TYPE1_IOMMU: 1,
    VFIO_SPAPR_TCE_IOMMU: 2,
    VFIO_TYPE1v2_IOMMU: 3,
    VFIO_DMA_CC_IOMMU: 4,
    VFIO_EEH: 5,
    VFIO_SPAPR_TCE_v2_IOMMU: 7,
    VFIO_NOIOMMU_IOMMU: 8,
    VFIO_UNMAP_ALL: 9,
    VFIO_UPDATE_VADDR: 10,
  },
};

/** Bytes of vfio_iommu_type1_info before `cap_offset`, which came later. */
export const FIRST_INFO = Type1InfoStruct.at.cap_offset;
/** Bytes of vfio_iommu_type1_info_dma_avail up to the next capability, which is aligned to 8. */
export const CAP_DMA_AVAIL_BYTES = 16;

/** How many mappings more there may be. `next`: where the next capability lies in the answer; 0 none. */
export function encodeDmaAvail(avail: number, next: number): Uint8Array {
  return CapDmaAvailStruct.encode({ id: CAP_DMA_AVAIL, version: 1, next, avail });
}

/** The ranges that can be mapped, to be stored in `capability`. It is the last one. */
export function encodeIovaRanges(capability: Uint8Array, ranges: readonly IovaRange[]): void {
  const { size } = CapIovaRangeStruct;
  capability.set(CapIovaRangeStruct.encode({ id: CAP_IOVA_RANGE, version: 1, nr_iovas: ranges.length }));
  for (const [n, { start, last }] of ranges.entries())
    capability.set(VfioIovaRangeStruct.encode({ start, end: last }), size + n * VfioIovaRangeStruct.size);
}

/** What VFIO_IOMMU_MAP_DMA asks for. Bytes. */
export interface DmaMap {
  readonly iova: bigint;
  readonly length: bigint;
  /** Of the memory, in the caller. */
  readonly address: bigint;
  readonly access: Access;
  readonly flags: number;
}

/**
 * @param known flags beside the rights. @throws Refusal EFAULT, EINVAL the struct is bad; EINVAL for flags
 * that are not known.
 */
export function readMapDma(caller: Caller, call: IoctlCall, known = 0): DmaMap {
  const { at, size } = MapDmaStruct;
  const data = readStruct(caller, call, size);
  const flags = getU32(data, at.flags);
  if (flags & ~(MAP_READ | MAP_WRITE | known))
    refuse('EINVAL', `flags ${hex(flags)} have bits that MAP_DMA does not know`);
  const access = (flags & MAP_READ ? READ : 0) | (flags & MAP_WRITE ? WRITE : 0);
  return {
    iova: getBig(data, at.iova),
    length: getBig(data, at.size),
    address: getBig(data, at.vaddr),
    access,
    flags,
  };
}

/** What VFIO_IOMMU_UNMAP_DMA asks for. `data` is its struct, in which the answer goes back. */
export interface DmaUnmap {
  readonly data: Uint8Array;
  readonly iova: bigint;
  readonly length: bigint;
  readonly all: boolean;
  readonly flags: number;
}

/** @param known flags beside ALL. @throws Refusal as readMapDma. */
export function readUnmapDma(caller: Caller, call: IoctlCall, known = 0): DmaUnmap {
  const { at, size } = UnmapDmaStruct;
  const data = readStruct(caller, call, size);
  const flags = getU32(data, at.flags);
  if (flags & ~(UNMAP_FLAG_ALL | known))
    refuse('EINVAL', `flags ${hex(flags)} have bits that UNMAP_DMA does not know`);
  const all = (flags & UNMAP_FLAG_ALL) !== 0;
  return { data, iova: getBig(data, at.iova), length: getBig(data, at.size), all, flags };
}
