/**
 * FaultQueue: where page faults of devices go whose HWPT was allocated with it, as an object of iommufd.
 */
import { PageFaults } from '../ioasid/page-faults.js';
import { IommufdObject } from './objects.js';

export class FaultQueue extends IommufdObject {
  readonly kind = 'fault queue';
  readonly faults = new PageFaults();

  destroy(): void {
    this.faults.end();
  }
}
