/**
 * A type1 container: what one open `/dev/vfio/vfio` is, by default.
 *
 * Groups join it, SET_IOMMU gives it an address space, and the devices of its groups do their DMA there.
 * Invariant: it has an address space only while a group is in it; when the last one leaves, all that was
 * mapped is gone and SET_IOMMU can choose anew.
 *
 * Source: what type1 of Linux 7.3 answers (vfio_iommu_type1, vfio's container). Mappings are never split:
 * version 2 refuses an unmap that would, version 1 unmaps whole mappings and nothing from the middle of one.
 */
import type { MemoryRange } from '../file/open-file.js';
import { type Sliced, type Work, workOf } from '../file/work.js';
import { AddressSpace } from '../ioasid/address-space.js';
import { type IovaRange, LAST_IOVA } from '../ioasid/iova-ranges.js';
import type { Access, Iommu } from '../iommu/iommu.js';
import { holding } from '../iommu/memory.js';
import { NONE, PAGE_SIZE } from '../iommu/page-table.js';
import { Quota, tableQuota } from '../iommu/quota.js';
import { hex, refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';
import type { Container } from './container.js';
import type { VfioDevice } from './device.js';
import { BEYOND_APERTURE, INTERRUPT_MESSAGES } from './function-hardware.js';

/** What VFIO_CHECK_EXTENSION asks for, the first two also VFIO_SET_IOMMU. */
const TYPE1_IOMMU = 1;
const TYPE1V2_IOMMU = 3;
const DMA_CC_IOMMU = 4;
const UNMAP_ALL = 9;

/** Mappings that a container may have: type1's `dma_entry_limit`. */
export const DMA_ENTRY_LIMIT = 65_535;
const PAGE = BigInt(PAGE_SIZE);

/** A mapping that is asked for: `length` bytes of the caller's memory at `address`. */
export interface DmaRequest {
  readonly iova: bigint;
  readonly length: bigint;
  readonly address: bigint;
  readonly access: Access;
}

/** What one container may have. */
export interface ContainerQuotas {
  readonly mappings?: number | undefined;
  readonly tables?: number | undefined;
}

export class Type1Container implements Container {
  readonly object = this;
  readonly leavesOpen = false;
  readonly #iommu: Iommu;
  readonly #mappings: Quota;
  readonly #tables: Quota;
  #groups = 0;
  #space: AddressSpace | undefined;
  #version: 1 | 2 = 1;

  constructor(iommu: Iommu, { mappings = DMA_ENTRY_LIMIT, tables }: ContainerQuotas = {}) {
    this.#iommu = iommu;
    this.#mappings = new Quota(Math.min(mappings, DMA_ENTRY_LIMIT), 'mappings', 'ENOSPC');
    this.#tables = tableQuota(tables);
  }

  /** Mappings more that it can have. */
  get available(): number {
    return this.#mappings.limit - this.#mappings.used;
  }

  /** The IOVAs that can be mapped. @throws Refusal EINVAL before SET_IOMMU. */
  ranges(): readonly IovaRange[] {
    return this.#ready().iovas.ranges();
  }

  /** The sizes of page that the IOMMU has, as a bitmap: those of VT-d, 4 KiB, 2 MiB and 1 GiB. */
  readonly pageSizes = 0x4020_1000n;

  join(): void {
    this.#groups++;
  }

  /** The mappings go with the last group. */
  leave(): Sliced<void> {
    if (this.#groups === 0) broken('a type1 container is left by more groups than have joined it');
    if (--this.#groups > 0) return;
    const space = this.#space;
    this.#space = undefined;
    return space?.close();
  }

  checkReady(): void {
    this.#ready();
  }

  attach(device: VfioDevice): void {
    device.enterContainer(this, this.#ready().table);
  }

  /** VFIO_CHECK_EXTENSION. @returns 1 when there is such an extension, otherwise 0. */
  checkExtension(extension: bigint): number {
    switch (Number(extension)) {
      case TYPE1_IOMMU:
      case TYPE1V2_IOMMU:
      case UNMAP_ALL:
        return 1;
      case DMA_CC_IOMMU:
        return this.#space === undefined ? 0 : 1;
      default:
        return 0;
    }
  }

  /**
   * VFIO_SET_IOMMU. @throws Refusal EINVAL when no group has joined, when it was called before, or for an
   * extension that is no type; ENODEV for what is no extension either.
   */
  setIommu(type: bigint): void {
    if (this.#groups === 0) refuse('EINVAL', 'no group has joined the container yet');
    if (this.#space !== undefined) refuse('EINVAL', 'the container has its IOMMU already');
    if (type !== BigInt(TYPE1_IOMMU) && type !== BigInt(TYPE1V2_IOMMU))
      refuse(this.checkExtension(type) > 0 ? 'EINVAL' : 'ENODEV', `IOMMU type ${type} is not type1`);
    const space = new AddressSpace(this.#iommu, 'the container', this.#mappings, this.#tables);
    space.iovas.align(PAGE);
    space.iovas.reserve(INTERRUPT_MESSAGES, this);
    space.iovas.reserve(BEYOND_APERTURE, this);
    this.#version = type === BigInt(TYPE1_IOMMU) ? 1 : 2;
    this.#space = space;
  }

  /**
   * VFIO_IOMMU_MAP_DMA. `memory` is fetched when all else is right, and its reference taken over.
   * @throws Refusal EINVAL before SET_IOMMU, for no rights, for what is not made of whole pages, for IOVAs
   * that the devices cannot reach; EOVERFLOW for a range that wraps around; EEXIST when it overlaps a
   * mapping; ENOSPC when there are as many mappings as there may be; and what `memory` throws.
   */
  *map({ iova, length, address, access }: DmaRequest, memory: () => Sliced<MemoryRange>): Work<void> {
    const space = this.#ready();
    const last = lastOf(iova, length);
    lastOf(address, length);
    if (access === 0) refuse('EINVAL', 'a mapping needs the right to read or to write');
    requirePages(iova, length);
    if (address % PAGE !== 0n) refuse('EINVAL', `the memory at ${hex(address)} is not aligned to 4 KiB`);
    const slot = space.table.firstFrom(iova);
    if (slot !== NONE && space.table.start(slot) <= last)
      refuse('EEXIST', `${hex(iova)}+${hex(length)} overlaps the mapping at ${hex(space.table.start(slot))}`);
    this.#mappings.check(1);
    yield* workOf(space.iovas.find(length, address, iova));
    const range = yield* workOf(memory());
    const held = yield* holding(range.memory, range.offset, Number(length), access);
    space.map(iova, length, held, BigInt(range.offset), access);
  }

  /**
   * VFIO_IOMMU_UNMAP_DMA of a range. @returns the bytes that were mapped, of version 1 also more than asked:
   * what begins in the range goes as a whole, and nothing at all where the range begins inside a mapping.
   * @throws Refusal EINVAL before SET_IOMMU, for what is not made of whole pages, and when version 2 would
   * have to split a mapping; EOVERFLOW for a range that wraps around.
   */
  unmap(iova: bigint, length: bigint): Sliced<bigint> {
    const space = this.#ready();
    requirePages(iova, length);
    const last = lastOf(iova, length);
    const before = space.table.find(iova);
    const cutsFirst = before !== NONE && space.table.start(before) < iova;
    const behind = space.table.find(last);
    const end = behind === NONE ? last : space.table.last(behind);
    if (this.#version === 2 && (cutsFirst || end > last)) {
      const at = hex(space.table.start(cutsFirst ? before : behind));
      refuse('EINVAL', `${hex(iova)}+${hex(length)} would split the mapping at ${at}`);
    }
    return cutsFirst ? 0n : space.unmap(iova, end - iova + 1n);
  }

  /** The same with its flag ALL. @throws Refusal EINVAL before SET_IOMMU, and unless the range is 0+0. */
  unmapAll(iova: bigint, length: bigint): Sliced<bigint> {
    const space = this.#ready();
    if (iova !== 0n || length !== 0n)
      refuse('EINVAL', `to unmap all, the range must be 0+0 and not ${hex(iova)}+${hex(length)}`);
    return space.unmapAll();
  }

  #ready(): AddressSpace {
    return this.#space ?? refuse('EINVAL', 'the container has no IOMMU before SET_IOMMU');
  }
}

/** @throws Refusal EINVAL. */
function requirePages(iova: bigint, length: bigint): void {
  if (iova % PAGE !== 0n || length % PAGE !== 0n)
    refuse('EINVAL', `iova range ${hex(iova)}+${hex(length)} is not made of whole pages of 4 KiB`);
}

/** @throws Refusal EINVAL for a length of 0; EOVERFLOW. */
function lastOf(start: bigint, length: bigint): bigint {
  if (length === 0n) refuse('EINVAL', 'the length is zero');
  const last = start + length - 1n;
  if (last > LAST_IOVA) refuse('EOVERFLOW', `the range ${hex(start)}+${hex(length)} wraps around`);
  return last;
}
