/**
 * Bound: a context with one IOAS in which the checksum device finds its job and data, and the device bound to
 * it. Most rules of iommufd begin with one.
 */
import { Iommufd } from '../client/iommufd.js';
import type { Transport } from '../client/transport.js';
import type { VfioDeviceFile } from '../client/vfio-device.js';
import { CHECKSUM_OF_ONES, Checksum } from './checksum.js';
import { PAGE } from './rule.js';

/** The PASID of requests that carry none, as the checksum device's register has it. */
export const NO_PASID = 0;
/** IOMMU_HWPT_ALLOC_PASID. */
export const HWPT_PASID = 8;
export const LAST = 0xffff_ffff_ffff_ffffn;
export const PAGES = BigInt(PAGE);

export class Bound {
  readonly transport: Transport;
  readonly iommufd: Iommufd;
  readonly checksum: Checksum;
  readonly device: VfioDeviceFile;
  readonly ioas: number;
  readonly id: number;

  constructor(transport: Transport) {
    this.transport = transport;
    this.iommufd = Iommufd.open(transport);
    this.checksum = new Checksum(transport);
    this.device = this.checksum.device;
    this.ioas = this.#mapped();
    this.id = this.device.bind(this.iommufd);
  }

  /** Another IOAS with the same in it. */
  second(): number {
    return this.#mapped();
  }

  /** A page table on `ioas` that may be attached to PASIDs. */
  forPasids(ioas = this.ioas): number {
    return this.iommufd.hwptAlloc(this.id, ioas, HWPT_PASID);
  }

  /** Does the device reach its job and data by `pasid`? */
  reaches(pasid = NO_PASID): boolean {
    return this.checksum.run(pasid)?.checksum === CHECKSUM_OF_ONES;
  }

  close(): void {
    this.iommufd.close();
    this.checksum.close();
  }

  #mapped(): number {
    const ioas = this.iommufd.ioasAlloc();
    this.checksum.mapIoas(this.iommufd, ioas);
    return ioas;
  }
}
