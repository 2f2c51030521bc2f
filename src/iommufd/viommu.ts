/**
 * Viommu: a vIOMMU, the part of an IOMMU that one virtual machine has for itself. Its nested tables lie under
 * one paging HWPT, the machine's memory, and its devices have numbers of the machine's own.
 *
 * Invariant: a number means at most one device, and a device is in at most one vIOMMU (see Vdevice).
 */
import type { Work } from '../file/work.js';
import { hex, refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';
import type { BoundDevice } from './bound-device.js';
import type { IommuHardware, ViommuCore, VirtualIommu } from './hardware.js';
import { NestedHwpt, requireNestable, requireSameIommu } from './nested-hwpt.js';
import { IommufdObject } from './objects.js';
import type { PagingHwpt } from './paging-hwpt.js';
import type { Invalidations, UserData } from './user-data.js';

/** The queue that events of one type go to. */
export interface VeventSink {
  /** IOMMU_VEVENTQ_TYPE_*. */
  readonly type: number;
  /** Something happened. */
  report(data: Uint8Array): void;
}

export class Viommu extends IommufdObject implements ViommuCore {
  readonly kind = 'vIOMMU';
  /** The IOMMU that it is a part of. */
  readonly iommu: object;
  /** The second stage of its nested tables. */
  readonly parent: PagingHwpt;
  /** What the IOMMU does for it. */
  readonly hardware: VirtualIommu;
  readonly #devices = new Map<bigint, BoundDevice>();
  /** By type, of which there is one at most. */
  readonly #queues = new Map<number, VeventSink>();

  /** For `create`. */
  constructor(iommu: object, parent: PagingHwpt, hardware: VirtualIommu) {
    super();
    this.iommu = iommu;
    this.parent = parent;
    this.hardware = hardware;
    parent.hold();
  }

  /**
   * A vIOMMU of `data.type` (IOMMU_VIOMMU_TYPE_*, which the IOMMU of `hardware` has) for devices behind that
   * IOMMU.
   * @throws Refusal EINVAL `parent` is no parent of nested tables, or not of that IOMMU; and what the IOMMU
   * refuses `data` with.
   */
  static create(parent: PagingHwpt, hardware: IommuHardware, data: UserData): Viommu {
    if (!parent.nestParent)
      refuse('EINVAL', `HWPT ${parent.id} was not allocated as a parent of nested tables`);
    requireSameIommu(parent, hardware);
    return new Viommu(hardware.iommu, parent, hardware.makeViommu!(parent, data));
  }

  /**
   * A nested page table on it, for devices behind the IOMMU of `hardware`.
   * @throws Refusal EINVAL it is not of that IOMMU; EOPNOTSUPP flags or data that it does not support;
   * EFAULT.
   */
  allocNested(hardware: IommuHardware, flags: number, data: UserData): NestedHwpt {
    requireSameIommu(this, hardware);
    requireNestable(flags, data);
    if (this.hardware.allocNested === undefined)
      refuse('EOPNOTSUPP', `vIOMMU ${this.id} has no nested page tables`);
    return new NestedHwpt(this.parent, this, this.hardware.allocNested(this, data), flags);
  }

  hardwareOf(virtualId: bigint): IommuHardware | undefined {
    return this.#devices.get(virtualId)?.hardware;
  }

  virtualIdOf(hardware: IommuHardware): bigint | undefined {
    return [...this.#devices].find(([, device]) => device.hardware === hardware)?.[0];
  }

  /** @throws Refusal EEXIST when the number is taken. */
  addDevice(virtualId: bigint, device: BoundDevice): void {
    if (this.#devices.has(virtualId))
      refuse('EEXIST', `vIOMMU ${this.id} has a device ${hex(virtualId)} already`);
    this.#devices.set(virtualId, device);
    this.hold();
  }

  removeDevice(virtualId: bigint): void {
    if (!this.#devices.delete(virtualId))
      broken(`vIOMMU ${this.id} has no device ${hex(virtualId)} to leave it`);
    this.drop();
  }

  /** @throws Refusal EEXIST when it has a queue for events of this type. */
  addQueue(queue: VeventSink): void {
    if (this.#queues.has(queue.type))
      refuse('EEXIST', `vIOMMU ${this.id} has a queue of events of type ${hex(queue.type)} already`);
    this.#queues.set(queue.type, queue);
    this.hold();
  }

  removeQueue({ type }: VeventSink): void {
    if (!this.#queues.delete(type)) broken(`vIOMMU ${this.id} has no queue of type ${hex(type)} to leave it`);
    this.drop();
  }

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
  invalidate(array: Invalidations): Work<void> {
    if (this.hardware.invalidate === undefined)
      refuse('EOPNOTSUPP', `vIOMMU ${this.id} caches nothing of its user's`);
    return this.hardware.invalidate(this, array);
  }

  destroy(): void {
    this.parent.drop();
  }
}

/** @throws Refusal EOPNOTSUPP the IOMMU has no vIOMMUs of this type. */
export function requireViommuType({ viommuTypes, makeViommu }: IommuHardware, type: number): void {
  if (makeViommu === undefined || !viommuTypes?.includes(type))
    refuse('EOPNOTSUPP', `the device's IOMMU has no vIOMMUs of type ${hex(type)}`);
}
