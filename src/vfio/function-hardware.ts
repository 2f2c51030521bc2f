/**
 * FunctionHardware: the IOMMU in front of one function, whose requester id it is, as iommufd sees it: one like Intel VT-d in scalable mode.
 */
import type { Iommu, Requester } from '../iommu/iommu.js';
import type { Translation } from '../iommu/nested-table.js';
import { ADDRESS_BITS, PAGE_SIZE } from '../iommu/page-table.js';
import { VTD_ADDRESS_WIDTH, VtdTable } from '../iommu/vtd-table.js';
import type { IommuHardware, NestedDomain } from '../iommufd/hardware.js';
import type { PagingHwpt } from '../iommufd/paging-hwpt.js';
import type { UserData } from '../iommufd/user-data.js';
import { refuse } from '../linux/errno.js';
import { VtdDomain, vtdInfo } from './vtd-domain.js';

/** Requests to these addresses are interrupt messages on x86 (Intel SDM vol. 3, 12.11.1), so they are never translated. */
const INTERRUPT_MESSAGES = { start: 0xfee00000n, last: 0xfeefffffn };

export class FunctionHardware implements IommuHardware {
  readonly iommu: Iommu;
  readonly pageSize = BigInt(PAGE_SIZE);
  readonly aperture = { start: 0n, last: 2n ** BigInt(ADDRESS_BITS) - 1n };
  readonly reserved = [INTERRUPT_MESSAGES];
  readonly coherent = true;
  readonly dirtyTracking = false;
  readonly flags = true;
  readonly info = vtdInfo;
  readonly pasidBits: number;
  readonly #requester: Requester;
  readonly #entries = new Set<number>();

  constructor(iommu: Iommu, requester: Requester, pasidBits: number) {
    this.iommu = iommu;
    this.#requester = requester;
    this.pasidBits = pasidBits;
  }

  allocNested(parent: PagingHwpt, data: UserData): NestedDomain {
    return new VtdDomain(this.iommu, parent, data);
  }

  /** @throws Refusal EINVAL for a nested table that the IOMMU cannot walk. */
  enter(pasid: number, table: Translation): void {
    if (table instanceof VtdTable) {
      if (table.addressWidth !== VTD_ADDRESS_WIDTH) {
        refuse(
          'EINVAL',
          `the nested table is for addresses of ${table.addressWidth} bits, and the IOMMU walks those for ${VTD_ADDRESS_WIDTH}`,
        );
      }
      // While no device used it, its user had no reason to invalidate anything.
      table.invalidateAll();
    }
    this.leave(pasid);
    this.#requester.grant(pasid, table);
    this.#entries.add(pasid);
  }

  leave(pasid: number): void {
    if (this.#entries.delete(pasid)) this.#requester.withdraw(pasid);
  }
}
