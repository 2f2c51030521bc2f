/**
 * An iommufd context as the container of a group (Linux 7.3, IOMMUFD_VFIO_CONTAINER): its device is bound to
 * the context, and attached to the compatibility IOAS.
 */
import type { Sliced, Work } from '../file/work.js';
import { NO_PASID } from '../iommu/pasid.js';
import { compatIoas, joinContainer } from '../iommufd/compat.js';
import type { IommufdContext } from '../iommufd/context.js';
import type { Container } from './container.js';
import type { VfioDevice } from './device.js';

export class IommufdContainer implements Container {
  readonly object: IommufdContext;
  /** The binding of the device is what holds it. */
  readonly leavesOpen = true;

  constructor(context: IommufdContext) {
    this.object = context;
  }

  join(): void {
    joinContainer(this.object);
    this.object.hold();
  }

  leave(): Sliced<void> {
    return this.object.drop();
  }

  checkReady(): void {}

  /** @throws Refusal ENODEV when the context has no IOAS; EBUSY; and as VfioDevice.attach. */
  *attach(device: VfioDevice): Work<void> {
    device.bindGrouped(this.object);
    yield* device.attach(compatIoas(this.object).id, NO_PASID);
  }
}
