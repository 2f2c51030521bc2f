/**
 * The iommufd subsystem: the IOMMU that all contexts share, and the list of living contexts that `ls` reads.
 */
import type { Iommu } from '../iommu/iommu.js';
import { IommufdContext } from './context.js';

export class IommufdSubsystem {
  readonly iommu: Iommu;
  readonly #living = new Set<IommufdContext>();
  #nextId = 1;

  constructor(iommu: Iommu) {
    this.iommu = iommu;
  }

  /** A new, empty context for process `pid`, in which pages are counted as IommufdContext.rlimitMode says. */
  open(pid: number, rlimitMode = 0): IommufdContext {
    return new IommufdContext(this.iommu, this.#living, this.#nextId++, pid, rlimitMode);
  }

  contexts(): IterableIterator<IommufdContext> {
    return this.#living.values();
  }
}
