/**
 * Vdevice: a vDEVICE, a bound device as it is known to the virtual machine of a vIOMMU: by a number that the
 * machine has chosen.
 *
 * It goes with its device at the latest. Then its id stays taken (ObjectTable.bury), so that a user who
 * destroys it does not hit another object.
 */
import { hex, refuse } from '../linux/errno.js';
import { release } from '../linux/invariant.js';
import type { BoundDevice, VirtualDevice } from './bound-device.js';
import { IommufdObject } from './objects.js';
import type { Viommu } from './viommu.js';

export class Vdevice extends IommufdObject implements VirtualDevice {
  readonly kind = 'vDEVICE';
  readonly viommu: Viommu;
  readonly device: BoundDevice;
  /** The number: a stream id, a requester id, 64 bits. */
  readonly virtualId: bigint;

  /**
   * @throws Refusal EINVAL the device is behind another IOMMU; EEXIST the device or the number is in a vIOMMU
   * already.
   */
  constructor(viommu: Viommu, device: BoundDevice, virtualId: bigint) {
    super();
    this.viommu = viommu;
    this.device = device;
    this.virtualId = virtualId;
    requireFree(viommu, device);
    viommu.addDevice(virtualId, device);
    device.joinViommu(this);
  }

  destroy(): void {
    release([() => this.viommu.removeDevice(this.virtualId), () => this.device.leaveViommu()]);
  }
}

function requireFree(viommu: Viommu, { id, hardware, vdevice }: BoundDevice): void {
  if (hardware.iommu !== viommu.iommu)
    refuse('EINVAL', `device ${id} is behind another IOMMU than vIOMMU ${viommu.id}`);
  if (vdevice !== undefined)
    refuse(
      'EEXIST',
      `device ${id} is number ${hex(vdevice.virtualId)} of vIOMMU ${vdevice.viommu.id} already`,
    );
}
