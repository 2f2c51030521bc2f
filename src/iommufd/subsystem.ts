/**
 * The iommufd subsystem: the IOMMU that all contexts share, and the list of living contexts that `ls` reads.
 */
import { DEFAULT_MAPPING_QUOTA, Quota } from '../ioasid/quota.js';
import type { Iommu } from '../iommu/iommu.js';
import { IommufdContext } from './context.js';

export class IommufdSubsystem {
  readonly iommu: Iommu;
  readonly #mappingQuota: number;
  readonly #living = new Set<IommufdContext>();
  #nextId = 1;

  /** @param mappingQuota mappings that one context may have, over all its IOAS */
  constructor(iommu: Iommu, mappingQuota = DEFAULT_MAPPING_QUOTA) {
    this.iommu = iommu;
    this.#mappingQuota = mappingQuota;
  }

  /** A new, empty context for process `pid`, in which pages are counted as IommufdContext.rlimitMode says. */
  open(pid: number, rlimitMode = 0): IommufdContext {
    const mappings = new Quota(this.#mappingQuota, 'mappings', 'ENOMEM');
    return new IommufdContext(this.iommu, mappings, this.#living, this.#nextId++, pid, rlimitMode);
  }

  contexts(): IterableIterator<IommufdContext> {
    return this.#living.values();
  }
}
