/**
 * The iommufd subsystem: the IOMMU that all contexts share, and the list of living contexts that `ls` reads.
 */

import type { Iommu } from '../iommu/iommu.js';
import { DEFAULT_MAPPING_QUOTA, DEFAULT_TABLE_QUOTA } from '../iommu/quota.js';
import type { Account } from '../linux/account.js';
import { type ContextQuotas, IommufdContext } from './context.js';
import { DEFAULT_OBJECT_QUOTA } from './objects.js';

export class IommufdSubsystem {
  readonly iommu: Iommu;
  readonly #quotas: ContextQuotas;
  readonly #strict: boolean;
  readonly #living = new Set<IommufdContext>();
  #nextId = 1;

  /**
   * @param quotas what one context may have, where it is not the default
   * @param strict as IommufdContext.strict
   */
  constructor(
    iommu: Iommu,
    quotas: Partial<Record<keyof ContextQuotas, number | undefined>> = {},
    strict = false,
  ) {
    this.iommu = iommu;
    this.#strict = strict;
    this.#quotas = {
      mappings: quotas.mappings ?? DEFAULT_MAPPING_QUOTA,
      objects: quotas.objects ?? DEFAULT_OBJECT_QUOTA,
      tables: quotas.tables ?? DEFAULT_TABLE_QUOTA,
    };
  }

  /**
   * A new, empty context for process `pid`, in which pages are counted as IommufdContext.rlimitMode says;
   * what it has is charged to `payer`.
   */
  open(pid: number, rlimitMode = 0, payer?: Account): IommufdContext {
    const manner = { rlimitMode, strict: this.#strict, payer };
    return new IommufdContext(this.iommu, this.#quotas, this.#living, this.#nextId++, pid, manner);
  }

  contexts(): IterableIterator<IommufdContext> {
    return this.#living.values();
  }
}
