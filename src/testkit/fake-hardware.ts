/** The IOMMU in front of a device that a test makes: it keeps what it is told. */
import type { PageResponse } from '../ioasid/page-faults.js';
import type { IommuHardware } from '../iommufd/hardware.js';

export class FakeHardware implements IommuHardware {
  readonly iommu: object;
  readonly pageSize = 4096n;
  readonly aperture = { start: 0n, last: 2n ** 48n - 1n };
  readonly reserved = [];
  readonly pasidBits = 20;
  readonly dirtyTracking = false;
  readonly flags = true;
  readonly info = { type: 0, data: new Uint8Array(0) };
  readonly responses: PageResponse[] = [];

  constructor(iommu: object = {}) {
    this.iommu = iommu;
  }

  respond(response: PageResponse): void {
    this.responses.push(response);
  }

  enter(): void {}

  leave(): void {}
}
