/**
 * IommuHardware: the IOMMU as iommufd sees it from one device: what its page tables are like, and the
 * device's entries in its PASID table.
 *
 * What an IOMMU can do besides (nested page tables, vIOMMUs) is a method that it has or has not; without it
 * the ioctl that needs it is refused. Of iommufd's objects it is handed what it needs of them: a SecondStage
 * is a paging HWPT, a ViommuCore a vIOMMU, a HardwareQueue a queue.
 */
import type { Work } from '../file/work.js';
import type { IovaRange } from '../ioasid/iova-ranges.js';
import type { PageResponse } from '../ioasid/page-faults.js';
import type { DirtyLog } from '../iommu/dirty-log.js';
import type { NestedTable, Translation } from '../iommu/nested-table.js';
import type { PageTable } from '../iommu/page-table.js';
import type { Vpasid } from '../iommu/pasid.js';
import type { Invalidations, UserData } from './user-data.js';

/** What a page table is like. */
export interface PagingFormat {
  /** The smallest page, in bytes. */
  readonly pageSize: bigint;
  /** The page that it uses where a mapping has room for one, in bytes; by default `pageSize`. */
  readonly largePageSize?: bigint | undefined;
  /** The sizes of page that it can use, as a bitmap; by default every power of two from `pageSize` on. */
  readonly pageSizes?: bigint;
  /**
   * Its DMA is coherent with caches whatever a device asks for (IOMMU_CAP_ENFORCE_CACHE_COHERENCY); by
   * default not.
   */
  readonly coherent?: boolean;
  /** The IOVAs that it can translate. */
  readonly aperture: IovaRange;
}

/** What a nested page table lies on: it turns what that one leads to into places in memory. */
export interface SecondStage {
  readonly table: PageTable;
  /** Which pages were written, when it can tell. */
  readonly dirty: DirtyLog | undefined;
}

/** What an IOMMU keeps of a page table that its user owns. */
export interface NestedDomain {
  /** What a device's entry becomes. */
  readonly table: NestedTable;
  /**
   * Drops what is cached of the entries that `array` names, one after the other, and counts them in
   * `array.handled`.
   * @throws Refusal EINVAL, EOPNOTSUPP, EFAULT; what was handled before stays so.
   */
  invalidate(array: Invalidations): Work<void>;
}

/** A vIOMMU, for the IOMMU that it is a part of: the devices in it, and who is told of their events. */
export interface ViommuCore {
  /** As reasons name it. */
  readonly id: number;
  /** The second stage of its nested tables. */
  readonly parent: SecondStage;
  /** The device whose number in the virtual machine is `virtualId`. */
  hardwareOf(virtualId: bigint): IommuHardware | undefined;
  /** The number of the device with this hardware. */
  virtualIdOf(hardware: IommuHardware): bigint | undefined;
  /**
   * Something happened that the machine's IOMMU would tell. @throws Refusal EOPNOTSUPP there is no queue for
   * events of this type.
   */
  report(type: number, data: Uint8Array): void;
}

/** A queue of a vIOMMU that the IOMMU works on. It is there until as many have dropped it as hold it. */
export interface HardwareQueue {
  /** Its number in the vIOMMU. */
  readonly index: number;
  hold(): void;
  drop(): void;
}

/** What an IOMMU does for one vIOMMU of its. As with IommuHardware, what it cannot do is not there. */
export interface VirtualIommu {
  /** A nested page table under the vIOMMU's parent. @throws Refusal as IommuHardware.allocNested. */
  allocNested?(viommu: ViommuCore, data: UserData): NestedDomain;
  /** As NestedDomain.invalidate, for what devices of the vIOMMU cache. */
  invalidate?(viommu: ViommuCore, array: Invalidations): Work<void>;
  /** The queues that it can have: IOMMU_HW_QUEUE_TYPE_*. */
  readonly queueTypes?: readonly number[];
  /**
   * Begins to work on a queue. @returns the queue that must not go before this one. @throws Refusal an index
   * that cannot be had (now).
   */
  startQueue?(queue: HardwareQueue): HardwareQueue | undefined;
  stopQueue?(queue: HardwareQueue): void;
}

/** Its own properties are the format of a page table that nothing else is said of. */
export interface IommuHardware extends PagingFormat {
  /** Which IOMMU it is, for comparison: its page tables serve the devices behind it, and no others. */
  readonly iommu: object;
  /**
   * IOVAs that requests of this device never get translated at (interrupt messages, memory of other devices).
   */
  readonly reserved: readonly IovaRange[];
  /** Bits of the device's PASIDs; 0: none. */
  readonly pasidBits: number;
  /** Its PASID capability permits privileged requests, and those to execute. */
  readonly privilegedPasids?: boolean;
  /** Can record which pages were written. */
  readonly dirtyTracking: boolean;
  /** HWPTs may be made with flags (NEST_PARENT, PASID, DIRTY_TRACKING). */
  readonly flags: boolean;
  /** What GET_HW_INFO answers: IOMMU_HW_INFO_TYPE_* and the data that belongs to it. */
  readonly info: { readonly type: number; readonly data: Uint8Array };

  /** The device may translate addresses by itself, beforehand (PCI ATS); by default not. */
  readonly ats?: boolean;
  /** The device shares its parent's requester id. */
  readonly mediated?: boolean;
  /**
   * A nested table under which the device's requests without PASID are translated has the PASIDs too: their
   * faults are its faults.
   */
  readonly userPasidTable?: boolean;
  /**
   * Answers a group of the device's page requests (BoundDevice.pageRequest). Absent: the device makes none,
   * so it cannot be attached to a page table that delivers faults.
   */
  respond?(response: PageResponse): void;
  /**
   * The format that a user asks for with `data`. @throws Refusal EOPNOTSUPP it has no such; EINVAL, EFAULT.
   */
  formatOf?(data: UserData): PagingFormat;
  /**
   * A nested page table under `parent`, which `data` describes. @throws Refusal EOPNOTSUPP it has no such
   * format; EINVAL, EFAULT.
   */
  allocNested?(parent: SecondStage, data: UserData): NestedDomain;
  /** The vIOMMUs that it can have: IOMMU_VIOMMU_TYPE_*. */
  readonly viommuTypes?: readonly number[];
  /** A vIOMMU of one of these types, over `parent`; `data` may be empty. @throws Refusal EINVAL, EFAULT. */
  makeViommu?(parent: SecondStage, data: UserData): VirtualIommu;

  /**
   * Makes `table` the device's entry for `pasid` (0: requests without PASID), and `log` the one that its
   * writes are recorded in. An entry that is there is replaced.
   * @throws Refusal what the hardware cannot do; then the entry is what it was.
   */
  enter(pasid: Vpasid, table: Translation, log: DirtyLog | undefined): void;
  /** Removes the device's entry for `pasid`: from here on its DMA faults. */
  leave(pasid: Vpasid): void;
}
