/**
 * The ioasid subsystem: what all contexts have in common, which is very little. The numbers that PASIDs are
 * made of, the quotas, and the list of living contexts that `ls` reads. No security decision is ever taken
 * from that list.
 */
import type { Iommu } from '../iommu/iommu.js';
import { type ContextCommons, IoasidContext } from './context.js';
import { PasidSpace } from './pasid-space.js';
import { DEFAULT_MAPPING_QUOTA } from './quota.js';

/** PASIDs that one context may have, unless the machine says otherwise. */
export const DEFAULT_PASID_QUOTA = 65_536;

export class IoasidSubsystem {
  readonly iommu: Iommu;
  readonly pasids = new PasidSpace();
  readonly #commons: ContextCommons;
  #nextId = 1;

  constructor(iommu: Iommu, pasidQuota = DEFAULT_PASID_QUOTA, mappingQuota = DEFAULT_MAPPING_QUOTA) {
    this.iommu = iommu;
    this.#commons = { iommu, pasids: this.pasids, pasidQuota, mappingQuota, living: new Set() };
  }

  /** A new, empty context for process `pid`. */
  open(pid: number): IoasidContext {
    return new IoasidContext(this.#commons, this.#nextId++, pid);
  }

  /** The contexts that are alive: open, or held by an authorized device. */
  contexts(): IterableIterator<IoasidContext> {
    return this.#commons.living.values();
  }
}
