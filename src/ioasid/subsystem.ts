/**
 * The ioasid subsystem: what all contexts have in common, which is very little. The numbers that PASIDs are
 * made of, the quotas, and the list of living contexts that `ls` reads. No security decision is ever taken
 * from that list.
 */
import type { Iommu } from '../iommu/iommu.js';
import { DEFAULT_MAPPING_QUOTA, DEFAULT_TABLE_QUOTA } from '../iommu/quota.js';
import type { Account } from '../linux/account.js';
import { type ContextCommons, IoasidContext } from './context.js';
import { DEFAULT_PASID_QUOTA, PasidSpace } from './pasid-space.js';

export class IoasidSubsystem {
  readonly iommu: Iommu;
  readonly pasids: PasidSpace;
  readonly #commons: ContextCommons;
  #nextId = 1;

  constructor(
    iommu: Iommu,
    pasidQuota = DEFAULT_PASID_QUOTA,
    mappingQuota = DEFAULT_MAPPING_QUOTA,
    tableQuota = DEFAULT_TABLE_QUOTA,
  ) {
    this.iommu = iommu;
    this.pasids = new PasidSpace(pasidQuota);
    this.#commons = { iommu, pasids: this.pasids, mappingQuota, tableQuota, living: new Set() };
  }

  /** A new, empty context for process `pid`; what it has is charged to `payer`. */
  open(pid: number, payer?: Account): IoasidContext {
    return new IoasidContext(this.#commons, this.#nextId++, pid, payer);
  }

  /** The contexts that are alive: open, or held by an authorized device. */
  contexts(): ReadonlySet<IoasidContext> {
    return this.#commons.living;
  }
}
