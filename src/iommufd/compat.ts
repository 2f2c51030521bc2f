/**
 * The VFIO container that an iommufd context can stand in for: the type1 IOMMU of older programs.
 *
 * Its calls name no IOAS: all of them mean one of the context, the compatibility IOAS. It is made when the
 * first group joins the container, or named with VFIO_IOAS, and is an object like any other, with the rules
 * of any other. Sources: Linux 7.3, `<linux/vfio.h>` and what its iommufd answers. Type1 (version 1) may
 * unmap the middle of what was mapped, so mappings are split there; version 2 may not.
 */
import { begun, type Sliced, type Work } from '../file/work.js';
import type { Unmapped } from '../ioasid/address-space.js';
import { LAST_IOVA } from '../ioasid/iova-ranges.js';
import { hex, refuse } from '../linux/errno.js';
import type { IommufdContext } from './context.js';
import type { Ioas } from './ioas.js';

/** What VFIO_CHECK_EXTENSION asks for, the first two also VFIO_SET_IOMMU. */
export const TYPE1_IOMMU = 1;
export const TYPE1V2_IOMMU = 3;
export const DMA_CC_IOMMU = 4;
export const UNMAP_ALL = 9;

/** Pages of memory are the smallest that the container's user can map. */
const PAGE = 4096n;

/** The compatibility IOAS. @throws Refusal ENODEV when there is none. */
export function compatIoas({ compatIoas: ioas }: IommufdContext): Ioas {
  return (
    ioas ??
    refuse('ENODEV', 'the container has no IOAS: no group has joined it, and none was named with VFIO_IOAS')
  );
}

/** A group joins the container: it gets a compatibility IOAS, if it has none. */
export function joinContainer(context: IommufdContext): void {
  if (context.compatIoas === undefined) context.nameCompatIoas(context.allocIoas().id);
}

/**
 * VFIO_CHECK_EXTENSION. @returns 1 when there is such an extension, otherwise 0. @throws Refusal ENODEV for
 * DMA_CC_IOMMU, as `compatIoas`.
 */
export function checkExtension(context: IommufdContext, extension: number): number {
  switch (extension) {
    case TYPE1_IOMMU:
    case TYPE1V2_IOMMU:
    case UNMAP_ALL:
      return 1;
    case DMA_CC_IOMMU:
      return compatIoas(context).coherent ? 1 : 0;
    default:
      return 0;
  }
}

/**
 * VFIO_SET_IOMMU. @throws Refusal EINVAL for another type; ENODEV as `compatIoas`; and what
 * Ioas.setLargePages refuses version 1 with.
 */
export function setIommu(context: IommufdContext, type: number): Sliced<void> {
  if (type !== TYPE1_IOMMU && type !== TYPE1V2_IOMMU)
    refuse('EINVAL', `IOMMU type ${type} is neither type1 nor type1v2`);
  const ioas = compatIoas(context);
  return type === TYPE1_IOMMU ? begun(ioas.setLargePages(false)) : undefined;
}

/**
 * What VFIO_IOMMU_UNMAP_DMA of a range begins with: version 1 splits the mappings that lie across its ends.
 * @throws Refusal as Ioas.split.
 */
export function* cutDma(ioas: Ioas, iova: bigint, length: bigint): Work<void> {
  if (ioas.largePages) return;
  yield* ioas.split(BigInt.asUintN(64, iova + length - 1n));
  if (iova > 0n) yield* ioas.split(iova - 1n);
}

/** VFIO_IOMMU_UNMAP_DMA with its flag ALL. @throws Refusal EINVAL unless the range is 0+0. */
export function unmapAllDma(ioas: Ioas, iova: bigint, length: bigint): Work<Unmapped> {
  if (iova !== 0n || length !== 0n)
    refuse('EINVAL', `to unmap all, the range must be 0+0 and not ${hex(iova)}+${hex(length)}`);
  return ioas.unmapAll();
}

/**
 * The page sizes that all domains of the IOAS have and that are no smaller than a page of memory, as a
 * bitmap.
 */
export function dmaPageSizes(ioas: Ioas): bigint {
  const sizes = ioas.pageSizes;
  const usable = sizes & (PAGE - 1n) ? (sizes & (LAST_IOVA ^ (PAGE - 1n))) | PAGE : sizes;
  return usable > ioas.space.iovas.alignment ? usable : ioas.space.iovas.alignment;
}
