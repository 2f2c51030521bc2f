/**
 * MockDevice: a device that a test makes, attached from the beginning.
 *
 * Invariant: while it is in the table so is its BoundDevice, which goes with it and not otherwise. Unlike a
 * VFIO device it has no descriptor of its own, so it holds no reference to the context.
 */
import { finish, finished, releasing } from '../file/work.js';
import { NO_PASID } from '../iommu/pasid.js';
import { BoundDevice } from '../iommufd/bound-device.js';
import { IommufdObject, type ObjectTable } from '../iommufd/objects.js';
import { refuse } from '../linux/errno.js';
import { MockHardware } from './mock-hardware.js';

export class MockDevice extends IommufdObject {
  readonly kind = 'mock device';
  readonly hardware: MockHardware;
  readonly device: BoundDevice;
  readonly #objects: ObjectTable;

  /** For `create`. */
  constructor(objects: ObjectTable, hardware: MockHardware) {
    super();
    this.#objects = objects;
    this.hardware = hardware;
    this.device = new BoundDevice(objects, hardware);
    this.device.hold();
  }

  /**
   * Makes a device with MOCK_FLAGS_DEVICE_* `flags` and attaches it to HWPT or IOAS `pageTable`.
   * @throws Refusal EINVAL unknown flags; ENOENT `pageTable` is the id that the device itself gets; otherwise
   * as BoundDevice.attach. Then there is no device.
   */
  static create(objects: ObjectTable, flags: number, pageTable: number): { mock: MockDevice; hwpt: number } {
    objects.requireRoom(2);
    const mock = new MockDevice(objects, new MockHardware(flags));
    objects.add(mock);
    objects.add(mock.device);
    try {
      if (pageTable === mock.id) refuse('ENOENT', `there is no object ${pageTable} yet`);
      return { mock, hwpt: finish(mock.device.attach(pageTable, NO_PASID)) };
    } catch (error) {
      finished(objects.destroy(mock.id));
      throw error;
    }
  }

  destroy(): void {
    const { device } = this;
    finish(
      releasing([() => device.detachAll(), () => device.drop(), () => this.#objects.destroy(device.id)]),
    );
  }
}
