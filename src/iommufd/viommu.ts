/**
 * Viommu: a vIOMMU, the part of an IOMMU that one virtual machine has for itself. Its nested tables lie under
 * one paging HWPT, the machine's memory, and its devices have numbers of the machine's own.
 *
 * Invariant: a number means at most one device, and a device is in at most one vIOMMU (see Vdevice).
 */
import { hex, refuse } from '../linux/errno.js';
import { BoundDevice } from './bound-device.js';
import type { IommufdContext } from './context.js';
import type { IommuHardware, VirtualIommu } from './hardware.js';
import { IommufdObject } from './objects.js';
import { PagingHwpt } from './paging-hwpt.js';
import type { UserArray, UserData } from './user-data.js';
import type { Vdevice } from './vdevice.js';
import type { VeventQueue } from './vevent-queue.js';

export class Viommu extends IommufdObject {
  readonly kind = 'vIOMMU';
  /** The IOMMU that it is a part of. */
  readonly iommu: object;
  /** The second stage of its nested tables. */
  readonly parent: PagingHwpt;
  /** What the IOMMU does for it. */
  readonly hardware: VirtualIommu;
  readonly #devices = new Map<bigint, Vdevice>();
  /** By type, of which there is one at most. */
  readonly #queues = new Map<number, VeventQueue>();

  /** For `create`. */
  constructor(iommu: object, parent: PagingHwpt, hardware: VirtualIommu) {
    super();
    this.iommu = iommu;
    this.parent = parent;
    this.hardware = hardware;
    parent.hold();
  }

  /**
   * A vIOMMU of `data.type` (IOMMU_VIOMMU_TYPE_*) for devices behind the IOMMU of `deviceId`, over HWPT
   * `parentId`.
   * @throws Refusal ENOENT; EOPNOTSUPP the IOMMU has no such type; EINVAL the HWPT is no parent of nested
   * tables, or not of that IOMMU; and what the IOMMU refuses `data` with.
   */
  static create({ objects }: IommufdContext, deviceId: number, parentId: number, data: UserData): Viommu {
    const { hardware } = objects.get(deviceId, BoundDevice);
    const make = viommuMaker(hardware, data.type);
    const parent = objects.get(parentId, PagingHwpt);
    if (!parent.nestParent)
      refuse('EINVAL', `HWPT ${parentId} was not allocated as a parent of nested tables`);
    if (parent.iommu !== hardware.iommu)
      refuse('EINVAL', `HWPT ${parentId} belongs to another IOMMU than the device`);
    return objects.add(new Viommu(hardware.iommu, parent, make(parent, data)));
  }

  /** The device whose number in the machine is `virtualId`. */
  device(virtualId: bigint): Vdevice | undefined {
    return this.#devices.get(virtualId);
  }

  /** The device with this hardware. */
  deviceWith(hardware: IommuHardware): Vdevice | undefined {
    return [...this.#devices.values()].find(({ device }) => device.hardware === hardware);
  }

  /** @throws Refusal EEXIST when the number is taken. */
  addDevice(vdevice: Vdevice): void {
    if (this.#devices.has(vdevice.virtualId))
      refuse('EEXIST', `vIOMMU ${this.id} has a device ${hex(vdevice.virtualId)} already`);
    this.#devices.set(vdevice.virtualId, vdevice);
    this.hold();
  }

  removeDevice({ virtualId }: Vdevice): void {
    this.#devices.delete(virtualId);
    this.drop();
  }

  /** The queue of events of this type. */
  queue(type: number): VeventQueue | undefined {
    return this.#queues.get(type);
  }

  addQueue(queue: VeventQueue): void {
    this.#queues.set(queue.type, queue);
    this.hold();
  }

  removeQueue({ type }: VeventQueue): void {
    this.#queues.delete(type);
    this.drop();
  }

  /**
   * Something happened that the machine's IOMMU would tell. @throws Refusal EOPNOTSUPP there is no queue for
   * events of this type.
   */
  report(type: number, data: Uint8Array): void {
    const queue =
      this.#queues.get(type) ??
      refuse('EOPNOTSUPP', `vIOMMU ${this.id} has no queue for events of type ${hex(type)}`);
    queue.report(data);
  }

  /**
   * The machine has changed what its devices cache. @throws Refusal EOPNOTSUPP nothing is cached; and as
   * VirtualIommu.invalidate.
   */
  invalidate(array: UserArray): void {
    if (this.hardware.invalidate === undefined)
      refuse('EOPNOTSUPP', `vIOMMU ${this.id} caches nothing of its user's`);
    this.hardware.invalidate(this, array);
  }

  destroy(): void {
    this.parent.drop();
  }
}

function viommuMaker(
  hardware: IommuHardware,
  type: number,
): (parent: PagingHwpt, data: UserData) => VirtualIommu {
  const made = hardware.viommuTypes?.includes(type) ? hardware.makeViommu : undefined;
  return (
    made?.bind(hardware) ?? refuse('EOPNOTSUPP', `the device's IOMMU has no vIOMMUs of type ${hex(type)}`)
  );
}
