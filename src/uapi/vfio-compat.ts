/**
 * The container that an iommufd context stands in for, opened as `/dev/iommu`, or as `/dev/vfio/vfio` where
 * that is asked for: the second half of both files' tables, below iommufd's numbers.
 *
 * Errnos are those of Linux 7.3 with IOMMUFD_VFIO_CONTAINER. VFIO_IOMMU_DIRTY_PAGES and everything about page
 * tables for guests (SPAPR) is unknown there, so ENOTTY.
 */
import type { Caller, IoctlCall } from '../file/open-file.js';
import { after, type Sliced, type Work } from '../file/work.js';
import type { Unmapped } from '../ioasid/address-space.js';
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
import { Refusal } from '../linux/errno.js';
import type { IoctlTable } from './ioctl.js';
import { iommufdTable, mapUserMemory } from './iommufd.js';
import { getU32, setBig } from './struct.js';
import { exactTable, readStruct } from './vfio-call.js';
import {
  API_VERSION,
  CAP_DMA_AVAIL_BYTES,
  CapDmaAvailStruct,
  CapIovaRangeStruct,
  encodeDmaAvail,
  encodeIovaRanges,
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

/** Mappings have no limit of type1's here: the largest number, as Linux says it. */
const DMA_AVAIL = 0xffff_ffff;

/** The ioctls of such a container. */
export const compatTable: IoctlTable<IommufdContext> = new Map([
  ...iommufdTable,
  ...exactTable<IommufdContext>({
    VFIO_GET_API_VERSION: [VFIO_GET_API_VERSION, undefined, () => API_VERSION],
    VFIO_CHECK_EXTENSION: [
      VFIO_CHECK_EXTENSION,
      extensions,
      (context, _caller, { arg }) => checkExtension(context, arg),
    ],
    VFIO_SET_IOMMU: [VFIO_SET_IOMMU, extensions, chooseIommu],
    VFIO_IOMMU_GET_INFO: [VFIO_IOMMU_GET_INFO, Type1InfoStruct, getInfo],
    VFIO_IOMMU_MAP_DMA: [VFIO_IOMMU_MAP_DMA, MapDmaStruct, mapDma],
    VFIO_IOMMU_UNMAP_DMA: [VFIO_IOMMU_UNMAP_DMA, UnmapDmaStruct, unmap],
  }),
]);

function chooseIommu(context: IommufdContext, _caller: Caller, { arg }: IoctlCall): Sliced<number> {
  return after(setIommu(context, arg), () => 0);
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
  answer.set(encodeDmaAvail(DMA_AVAIL, room >= rangesAt ? rangesAt : 0), size);
  encodeIovaRanges(answer.subarray(rangesAt), ranges);
  writeCapabilities(caller, call.arg, answer, rangesAt, room);
  caller.writeMemory(call.arg, answer.subarray(0, Math.min(room, size)));
  return 0;
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

function mapDma(context: IommufdContext, caller: Caller, call: IoctlCall): Sliced<number> {
  const { address, iova, length, access } = readMapDma(caller, call);
  return after(mapUserMemory(caller, compatIoas(context), { iova, length, access }, address), () => 0);
}

function* unmap(context: IommufdContext, caller: Caller, call: IoctlCall): Work<number> {
  const { arg } = call;
  const { data, iova, length, all } = readUnmapDma(caller, call);
  const ioas = compatIoas(context);
  const { bytes, refusal } = yield* all ? unmapAllDma(ioas, iova, length) : unmapRange(ioas, iova, length);
  setBig(data, UnmapDmaStruct.at.size, bytes);
  caller.writeMemory(arg, data);
  if (refusal !== undefined) throw refusal;
  return 0;
}

/** Even a range that is refused gets its answer: how much was unmapped. @throws Refusal as cutDma. */
function* unmapRange(ioas: Ioas, iova: bigint, length: bigint): Work<Unmapped> {
  yield* cutDma(ioas, iova, length);
  try {
    return yield* ioas.unmap(iova, length);
  } catch (error) {
    if (error instanceof Refusal) return { bytes: 0n, refusal: error };
    throw error;
  }
}
