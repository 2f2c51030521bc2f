/**
 * HWPT: a hardware page table, what devices are attached to.
 *
 * There are two kinds. A paging HWPT follows the mappings of an IOAS; a nested one is a table that its user
 * writes, under a paging HWPT. Invariant: whatever is reached through a HWPT is reached through the mappings
 * of the one IOAS behind it.
 */
import type { DirtyLog } from '../iommu/dirty-log.js';
import type { Translation } from '../iommu/nested-table.js';
import type { FaultQueue } from './fault-queue.js';
import type { Ioas } from './ioas.js';
import { IommufdObject } from './objects.js';

/** enum iommufd_hwpt_alloc_flags. */
export const HWPT_NEST_PARENT = 1;
export const HWPT_DIRTY_TRACKING = 2;
export const HWPT_FAULT_ID_VALID = 4;
export const HWPT_PASID = 8;

export abstract class Hwpt extends IommufdObject {
  readonly kind = 'HWPT';
  /** The IOMMU that it is a page table of: devices behind another cannot be attached. */
  readonly iommu: object;
  /** May be attached to a PASID. */
  readonly pasidCompatible: boolean;
  /** The IOAS behind it. */
  abstract readonly ioas: Ioas;
  /** What a device's entry in its PASID table leads to. */
  abstract readonly table: Translation;
  /** Which pages of the IOAS were written through it, when it can tell. */
  abstract readonly dirty: DirtyLog | undefined;

  /** Where page faults of attached devices go; without one their DMA just fails. */
  #faults: FaultQueue | undefined;

  constructor(iommu: object, flags: number) {
    super();
    this.iommu = iommu;
    this.pasidCompatible = (flags & HWPT_PASID) !== 0;
  }

  get faults(): FaultQueue | undefined {
    return this.#faults;
  }

  /** Page faults go to `queue` from now on. Before anything is attached. */
  deliverFaults(queue: FaultQueue): void {
    this.#faults = queue;
    queue.hold();
  }

  destroy(): void {
    this.#faults?.drop();
  }
}
