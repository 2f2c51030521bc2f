/**
 * IommuHardware: the IOMMU as iommufd sees it from one device: what its page tables are like, and the device's entries in its PASID table.
 */
import type { IovaRange } from '../ioasid/iova-ranges.js';
import type { DirtyLog } from '../iommu/dirty-log.js';
import type { PageTable } from '../iommu/page-table.js';

export interface IommuHardware {
  /** The smallest page, in bytes. */
  readonly pageSize: bigint;
  /** The page that it uses where a mapping has room for one, in bytes; by default `pageSize`. */
  readonly largePageSize?: bigint | undefined;
  /** The sizes of page that it can use, as a bitmap; by default every power of two from `pageSize` on. */
  readonly pageSizes?: bigint;
  /** Its DMA is coherent with caches whatever a device asks for (IOMMU_CAP_ENFORCE_CACHE_COHERENCY); by default not. */
  readonly coherent?: boolean;
  /** The IOVAs that its page tables can translate. */
  readonly aperture: IovaRange;
  /** IOVAs that requests of this device never get translated at (interrupt messages, memory of other devices). */
  readonly reserved: readonly IovaRange[];
  /** Bits of the device's PASIDs; 0: none. */
  readonly pasidBits: number;
  /** Can record which pages were written. */
  readonly dirtyTracking: boolean;
  /** HWPTs may be made with flags (NEST_PARENT, PASID, DIRTY_TRACKING). */
  readonly flags: boolean;
  /** What GET_HW_INFO answers: IOMMU_HW_INFO_TYPE_* and the data that belongs to it. */
  readonly info: { readonly type: number; readonly data: Uint8Array };

  /**
   * Makes `table` the device's entry for `pasid` (0: requests without PASID), and `log` the one that its writes are recorded in. An entry
   * that is there is replaced.
   */
  enter(pasid: number, table: PageTable, log: DirtyLog | undefined): void;
  /** Removes the device's entry for `pasid`: from here on its DMA faults. */
  leave(pasid: number): void;
}
