/**
 * The port of a vDPA device: its program names address spaces by ASIDs, and each queue is in one.
 *
 * An ASID is in the list (driver/listed-port.ts) while its own address space has been mapped into by IOTLB
 * messages, or a PASID of a context was authorized for it. Until then no ring and no buffer in it is reached.
 */
import type { PageWait } from '../devices/device-model.js';
import type { DevicePort } from '../driver/device-port.js';
import { ListedPort } from '../driver/listed-port.js';
import type { PasidSpace } from '../ioasid/pasid-space.js';
import type { Iommu } from '../iommu/iommu.js';
import { PASID_BITS, type Pasid, type Vpasid } from '../iommu/pasid.js';
import { refuse } from '../linux/errno.js';

export class VdpaPort extends ListedPort implements DevicePort {
  readonly mediated = false;
  readonly namesSpaces = true;
  protected readonly open = true;
  /** Address spaces that the device knows: ASIDs from 0 on. */
  readonly asids: number;
  readonly #name: string;

  constructor(iommu: Iommu, pasids: PasidSpace, rid: string, name: string, asids: number) {
    super(iommu, pasids, iommu.requester(rid), PASID_BITS);
    this.#name = name;
    this.asids = asids;
  }

  /** The ASID is what was asked for; there is none that follows from a PASID. */
  vpasid(pasid: Pasid, asid: Vpasid | undefined): Vpasid {
    if (asid === undefined)
      refuse(
        'EINVAL',
        `PASID ${pasid} needs an ASID of ${this.#name} that it is to be, from 0 to ${this.asids - 1}`,
      );
    if (asid >= this.asids)
      refuse('EINVAL', `${this.#name} has no ASID ${asid}: its ASIDs are 0 to ${this.asids - 1}`);
    return asid;
  }

  /** Nobody hears of page faults of a vDPA device. */
  requestPage(): PageWait | undefined {
    return undefined;
  }

  protected reason(asid: Vpasid): string {
    return `nothing was mapped in ASID ${asid} of ${this.#name}, and it was authorized for no PASID`;
  }
}
