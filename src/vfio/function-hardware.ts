/**
 * FunctionHardware: the IOMMU in front of one function, as iommufd sees it: one like Intel VT-d in scalable
 * mode. A device has its entries there through its port: a whole function as what its requests carry, a
 * mediated device as what its parent's requests carry for it.
 */
import type { PciDescription } from '../devices/device-model.js';
import type { DevicePort } from '../driver/device-port.js';
import type { PageRequests } from '../driver/page-requests.js';
import { LAST_IOVA } from '../ioasid/iova-ranges.js';
import type { PageResponse } from '../ioasid/page-faults.js';
import type { DirtyLog } from '../iommu/dirty-log.js';
import type { Iommu } from '../iommu/iommu.js';
import type { Translation } from '../iommu/nested-table.js';
import { ADDRESS_BITS, PAGE_SIZE } from '../iommu/page-table.js';
import type { Vpasid } from '../iommu/pasid.js';
import { VTD_ADDRESS_WIDTH, VtdTable } from '../iommu/vtd-table.js';
import type { IommuHardware, NestedDomain, SecondStage } from '../iommufd/hardware.js';
import type { UserData } from '../iommufd/user-data.js';
import { refuse } from '../linux/errno.js';

import { VtdDomain, vtdInfo } from './vtd-domain.js';

/**
 * Requests to these addresses are interrupt messages on x86 (Intel SDM vol. 3, 12.11.1), so they are never
 * translated.
 */
export const INTERRUPT_MESSAGES = { start: 0xfee00000n, last: 0xfeefffffn };

/** The IOVAs that it can translate, and those that it cannot. */
const APERTURE = { start: 0n, last: 2n ** BigInt(ADDRESS_BITS) - 1n };
export const BEYOND_APERTURE = { start: APERTURE.last + 1n, last: LAST_IOVA };

export class FunctionHardware implements IommuHardware {
  readonly iommu: Iommu;
  readonly pageSize = BigInt(PAGE_SIZE);
  readonly aperture = APERTURE;
  readonly reserved = [INTERRUPT_MESSAGES];
  readonly coherent = true;
  readonly dirtyTracking = true;
  readonly flags = true;
  readonly info = vtdInfo;
  readonly pasidBits: number;
  readonly privilegedPasids: boolean;
  readonly ats: boolean;
  readonly mediated: boolean;
  /**
   * Answers what the device has asked for; a device that asks for no pages cannot be attached where faults
   * are delivered.
   */
  readonly respond?: (response: PageResponse) => void;
  readonly #port: DevicePort;

  constructor(
    iommu: Iommu,
    port: DevicePort,
    { pasidBits = 0, privilegedPasids = false }: PciDescription,
    pages: PageRequests | undefined,
  ) {
    this.iommu = iommu;
    this.#port = port;
    this.pasidBits = pasidBits;
    this.privilegedPasids = privilegedPasids;
    this.ats = pages !== undefined;
    this.mediated = port.mediated;
    if (pages !== undefined) this.respond = (response) => pages.respond(response);
  }

  allocNested(parent: SecondStage, data: UserData): NestedDomain {
    return new VtdDomain(this.iommu, parent, data);
  }

  /** @throws Refusal EINVAL for a nested table that the IOMMU cannot walk; and as DevicePort.enter. */
  enter(pasid: Vpasid, table: Translation, log: DirtyLog | undefined): void {
    if (table instanceof VtdTable) {
      const width = table.addressWidth;
      if (width !== VTD_ADDRESS_WIDTH)
        refuse('EINVAL', `the nested table has addresses of ${width} bits, not of ${VTD_ADDRESS_WIDTH}`);
      // While no device used it, its user had no reason to invalidate anything.
      table.invalidateAll();
    }
    this.#port.enter(pasid, table, log);
  }

  leave(pasid: Vpasid): void {
    this.#port.leave(pasid);
  }
}
