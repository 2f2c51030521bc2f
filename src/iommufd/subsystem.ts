/**
 * The iommufd subsystem: the IOMMU that all contexts share, and the list of living contexts that `ls` reads.
 */
import type { Iommu } from '../iommu/iommu.js';
import { IommufdContext } from './context.js';

export class IommufdSubsystem {
  readonly iommu: Iommu;
  readonly #contexts = new Set<IommufdContext>();
  #nextId = 1;

  constructor(iommu: Iommu) {
    this.iommu = iommu;
  }

  /** A new, empty context for process `pid`. */
  open(pid: number): IommufdContext {
    const context = new IommufdContext(this, this.#nextId++, pid);
    this.#contexts.add(context);
    return context;
  }

  /** A context has released everything. */
  forget(context: IommufdContext): void {
    this.#contexts.delete(context);
  }

  contexts(): IterableIterator<IommufdContext> {
    return this.#contexts.values();
  }
}
