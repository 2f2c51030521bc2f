/**
 * Vdevice: a vDEVICE, a bound device as it is known to the virtual machine of a vIOMMU: by a number that the
 * machine has chosen.
 *
 * It goes with its device at the latest. Then its id stays taken (ObjectTable.bury), so that a user who
 * destroys it does not hit another object.
 */
import { hex, refuse } from '../linux/errno.js';
import { BoundDevice } from './bound-device.js';
import type { IommufdContext } from './context.js';
import { IommufdObject } from './objects.js';
import { Viommu } from './viommu.js';

export class Vdevice extends IommufdObject {
  readonly kind = 'vDEVICE';
  readonly viommu: Viommu;
  readonly device: BoundDevice;
  /** The number: a stream id, a requester id, 64 bits. */
  readonly virtualId: bigint;

  /** For `create`. */
  constructor(viommu: Viommu, device: BoundDevice, virtualId: bigint) {
    super();
    this.viommu = viommu;
    this.device = device;
    this.virtualId = virtualId;
    viommu.addDevice(this);
    device.vdevice = this;
  }

  /**
   * @throws Refusal ENOENT; EINVAL the device is behind another IOMMU; EEXIST the device or the number is in
   * a vIOMMU already.
   */
  static create({ objects }: IommufdContext, viommuId: number, deviceId: number, virtualId: bigint): Vdevice {
    const viommu = objects.get(viommuId, Viommu);
    const device = objects.get(deviceId, BoundDevice);
    if (device.hardware.iommu !== viommu.iommu)
      refuse('EINVAL', `device ${deviceId} is behind another IOMMU than vIOMMU ${viommuId}`);
    if (device.vdevice !== undefined)
      refuse(
        'EEXIST',
        `device ${deviceId} is number ${hex(device.vdevice.virtualId)} of vIOMMU ${device.vdevice.viommu.id} already`,
      );
    return objects.add(new Vdevice(viommu, device, virtualId));
  }

  destroy(): void {
    this.viommu.removeDevice(this);
    this.device.vdevice = undefined;
  }
}
