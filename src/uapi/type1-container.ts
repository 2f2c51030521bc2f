/**
 * The ABI of a real type1 container, `/dev/vfio/vfio` as most kernels have it. What only a container with an
 * IOMMU answers is EINVAL before SET_IOMMU, known or not.
 *
 * Absent: the log of dirty pages (VFIO_IOMMU_DIRTY_PAGES, ENOTTY) and new addresses for what is mapped
 * (VFIO_UPDATE_VADDR).
 */
import type { Caller, IoctlCall, MemoryRange } from '../file/open-file.js';
import { type Work, workOf } from '../file/work.js';
import type { Access } from '../iommu/iommu.js';
import type { Type1Container } from '../vfio/type1-container.js';
import type { IoctlTable } from './ioctl.js';
import { getU32, setBig } from './struct.js';
import { readStruct } from './vfio-call.js';
import {
  API_VERSION,
  CAP_DMA_AVAIL_BYTES,
  CapIovaRangeStruct,
  encodeDmaAvail,
  encodeIovaRanges,
  exactTable,
  extensions,
  FIRST_INFO,
  INFO_CAPS,
  INFO_PGSIZES,
  MapDmaStruct,
  readMapDma,
  readUnmapDma,
  Type1InfoStruct,
  UnmapDmaStruct,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
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
  }),
]);

/** Does the container take ioctl `key` now? @throws Refusal EINVAL. */
export function checkReady(container: Type1Container, key: number | undefined): void {
  if (key !== undefined && !withoutIommu.has(key)) container.checkReady();
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
  const rangesAt = size + CAP_DMA_AVAIL_BYTES;
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
  answer.set(encodeDmaAvail(container.available, rangesAt), size);
  encodeIovaRanges(answer.subarray(rangesAt), ranges);
  if (fits) caller.writeMemory(call.arg + size, answer.subarray(size));
  caller.writeMemory(call.arg, answer.subarray(0, Math.min(room, size)));
  return 0;
}

function* mapDma(container: Type1Container, caller: Caller, call: IoctlCall): Work<number> {
  const request = readMapDma(caller, call);
  const { address, length, access } = request;
  yield* container.map(request, () => memoryAt(caller, Number(address), Number(length), access));
  return 0;
}

/** As Caller.memory; a mapped BAR is memory here, too. */
function* memoryAt(caller: Caller, address: number, length: number, access: Access): Work<MemoryRange> {
  const ofDevice = yield* workOf(caller.mappedFile?.(address, length, access));
  return ofDevice ?? (yield* workOf(caller.memory(address, length, access)));
}

function* unmapDma(container: Type1Container, caller: Caller, call: IoctlCall): Work<number> {
  const { arg } = call;
  const { data, iova, length, all } = readUnmapDma(caller, call);
  const bytes = yield* workOf(all ? container.unmapAll(iova, length) : container.unmap(iova, length));
  setBig(data, UnmapDmaStruct.at.size, bytes);
  caller.writeMemory(arg, data);
  return 0;
}
