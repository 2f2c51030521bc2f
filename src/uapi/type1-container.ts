/**
 * The ABI of a real type1 container, `/dev/vfio/vfio` as most kernels have it. What only a container with an
 * IOMMU answers is EINVAL before SET_IOMMU, known or not.
 */
import type { Caller, IoctlCall, MemoryRange } from '../file/open-file.js';
import { begun, type Sliced, type Work, workOf } from '../file/work.js';
import type { Access } from '../iommu/iommu.js';
import { PAGE_SIZE } from '../iommu/page-table.js';
import type { Type1Container } from '../vfio/type1-container.js';
import type { IoctlTable } from './ioctl.js';
import { getU32, setBig } from './struct.js';
import {
  DirtyPagesStruct,
  dirtyPages,
  MAX_BITMAP_BYTES,
  readUnmapBitmap,
  storeDirty,
} from './type1-dirty.js';
import { exactTable, readStruct } from './vfio-call.js';
import {
  API_VERSION,
  CAP_DMA_AVAIL_BYTES,
  CAP_MIGRATION,
  CapIovaRangeStruct,
  CapMigrationStruct,
  type DmaUnmap,
  encodeDmaAvail,
  encodeIovaRanges,
  extensions,
  FIRST_INFO,
  INFO_CAPS,
  INFO_PGSIZES,
  MAP_VADDR,
  MapDmaStruct,
  readMapDma,
  readUnmapDma,
  Type1InfoStruct,
  UNMAP_GET_DIRTY_BITMAP,
  UNMAP_VADDR,
  UnmapDmaStruct,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
  VfioIovaRangeStruct,
} from './vfio-container.js';

const withoutIommu: IoctlTable<Type1Container> = exactTable<Type1Container>({
  VFIO_GET_API_VERSION: [VFIO_GET_API_VERSION, undefined, () => API_VERSION],
  VFIO_CHECK_EXTENSION: [
    VFIO_CHECK_EXTENSION,
    extensions,
    (container, _caller, { arg }) => container.checkExtension(BigInt(arg)),
  ],
  VFIO_SET_IOMMU: [VFIO_SET_IOMMU, extensions, setIommu],
});

export const type1Table: IoctlTable<Type1Container> = new Map([
  ...withoutIommu,
  ...exactTable<Type1Container>({
    VFIO_IOMMU_GET_INFO: [VFIO_IOMMU_GET_INFO, Type1InfoStruct, getInfo],
    VFIO_IOMMU_MAP_DMA: [VFIO_IOMMU_MAP_DMA, MapDmaStruct, mapDma],
    VFIO_IOMMU_UNMAP_DMA: [VFIO_IOMMU_UNMAP_DMA, UnmapDmaStruct, unmapDma],
    VFIO_IOMMU_DIRTY_PAGES: [VFIO_IOMMU_DIRTY_PAGES, DirtyPagesStruct, dirtyPages],
  }),
]);

/** Does the container take ioctl `cmd` now, whether or not there is one? @throws Refusal EINVAL. */
export function checkReady(container: Type1Container, cmd: number | undefined): void {
  if (cmd !== undefined && !withoutIommu.has(cmd)) container.checkReady();
}

function setIommu(container: Type1Container, _caller: Caller, { arg }: IoctlCall): number {
  container.setIommu(BigInt(arg));
  return 0;
}

/** The struct and behind it the capabilities, if there is room for all of them. */
function getInfo(container: Type1Container, caller: Caller, call: IoctlCall): number {
  const { at, size } = Type1InfoStruct;
  const room = getU32(readStruct(caller, call, FIRST_INFO), at.argsz);
  const ranges = container.ranges();
  const availAt = size + CapMigrationStruct.size;
  const rangesAt = availAt + CAP_DMA_AVAIL_BYTES;
  const answer = new Uint8Array(
    rangesAt + CapIovaRangeStruct.size + ranges.length * VfioIovaRangeStruct.size,
  );
  const fits = room >= answer.length;
  const info = Type1InfoStruct.encode({
    argsz: fits ? room : answer.length,
    flags: INFO_PGSIZES | INFO_CAPS,
    iova_pgsizes: container.pageSizes,
    cap_offset: fits ? size : 0,
  });
  answer.set(info);
  answer.set(encodeMigration(availAt), size);
  answer.set(encodeDmaAvail(container.available, rangesAt), availAt);
  encodeIovaRanges(answer.subarray(rangesAt), ranges);
  if (fits) caller.writeMemory(call.arg + size, answer.subarray(size));
  caller.writeMemory(call.arg, answer.subarray(0, Math.min(room, size)));
  return 0;
}

/** The log of dirty pages. `next`: where the next capability lies in the answer. */
function encodeMigration(next: number): Uint8Array {
  return CapMigrationStruct.encode({
    id: CAP_MIGRATION,
    version: 1,
    next,
    pgsize_bitmap: BigInt(PAGE_SIZE),
    max_dirty_bitmap_size: MAX_BITMAP_BYTES,
  });
}

function* mapDma(container: Type1Container, caller: Caller, call: IoctlCall): Work<number> {
  const request = readMapDma(caller, call, MAP_VADDR);
  const { address, length, flags } = request;
  const memory = (access: Access) => memoryAt(caller, Number(address), Number(length), access);
  if (flags & MAP_VADDR) yield* container.updateAddress(request, memory);
  else yield* container.map(request, memory);
  return 0;
}

/** As Caller.memory; a mapped BAR is memory here, too. */
function* memoryAt(caller: Caller, address: number, length: number, access: Access): Work<MemoryRange> {
  const ofDevice = yield* workOf(caller.mappedFile?.(address, length, access));
  return ofDevice ?? (yield* workOf(caller.memory(address, length, access)));
}

function* unmapDma(container: Type1Container, caller: Caller, call: IoctlCall): Work<number> {
  const request = readUnmapDma(caller, call, UNMAP_GET_DIRTY_BITMAP | UNMAP_VADDR);
  const { data, iova, length, flags } = request;
  if (flags & UNMAP_GET_DIRTY_BITMAP) {
    const bitmap = readUnmapBitmap(caller, call, request);
    yield* storeDirty(caller, bitmap, iova, container.dirty(iova, length, bitmap.pageSize));
  }
  const bytes = yield* workOf(unmapBy(container, request));
  setBig(data, UnmapDmaStruct.at.size, bytes);
  caller.writeMemory(call.arg, data);
  return 0;
}

function unmapBy(container: Type1Container, { iova, length, all, flags }: DmaUnmap): Sliced<bigint> {
  if (flags & UNMAP_VADDR) return begun(container.invalidate(iova, length, all));
  return all ? container.unmapAll(iova, length) : container.unmap(iova, length);
}
