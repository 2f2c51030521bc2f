/**
 * An iommufd context: what one open `/dev/iommu` file is. Whoever holds the descriptor may do with its objects what he likes.
 *
 * It owns its objects. It lives as long as the file is open or a device is bound to it; then all objects go, leaves first. Like an
 * ioasid context it is never told what a device does: the device takes out what it needs and gives it back.
 */
import { LAST_IOVA } from '../ioasid/iova-ranges.js';
import type { Access, Iommu } from '../iommu/iommu.js';
import { hex, refuse } from '../linux/errno.js';
import { BoundDevice } from './bound-device.js';
import { FaultQueue } from './fault-queue.js';
import type { IommuHardware } from './hardware.js';
import { Hwpt } from './hwpt.js';
import { Ioas } from './ioas.js';
import { IommufdObject, ObjectTable } from './objects.js';
import type { IommufdSubsystem } from './subsystem.js';

/** enum iommufd_hwpt_alloc_flags. */
export const HWPT_NEST_PARENT = 1;
export const HWPT_DIRTY_TRACKING = 2;
export const HWPT_FAULT_ID_VALID = 4;
export const HWPT_PASID = 8;
const HWPT_FLAGS = HWPT_NEST_PARENT | HWPT_DIRTY_TRACKING | HWPT_FAULT_ID_VALID | HWPT_PASID;

export class IommufdContext {
  /** A number for `ls`; it gives no right to anything. */
  readonly id: number;
  /** The process that opened the file. */
  readonly pid: number;
  readonly iommu: Iommu;
  readonly objects = new ObjectTable();
  /** IOMMU_OPTION_RLIMIT_MODE: 0 pages are counted for the user, 1 for the process. */
  rlimitMode = 0;
  /** The IOAS that the VFIO container ioctls mean, when one was named. */
  compatIoas: Ioas | undefined;
  readonly #system: IommufdSubsystem;
  #references = 1;

  /** Made by IommufdSubsystem.open. */
  constructor(system: IommufdSubsystem, id: number, pid: number) {
    this.#system = system;
    this.iommu = system.iommu;
    this.id = id;
    this.pid = pid;
  }

  allocIoas(): Ioas {
    return this.objects.add(new Ioas(this.iommu));
  }

  ioas(id: number): Ioas {
    return this.objects.get(id, Ioas);
  }

  /**
   * Allocates a page table for `deviceId` on IOAS `tableId`.
   * @throws Refusal ENOENT no such device; EINVAL `tableId` is nothing that a table can be allocated on; EOPNOTSUPP flags or data that the
   * device's IOMMU does not support; ENOENT `faultId` is no fault queue, for HWPT_FAULT_ID_VALID; and what an IOAS refuses a new domain with.
   */
  allocHwpt(deviceId: number, tableId: number, flags: number, dataType: number, faultId: number): Hwpt {
    const { hardware } = this.objects.get(deviceId, BoundDevice);
    const parent = this.#pageTableParent(tableId);
    if (parent instanceof Hwpt) refuse('EOPNOTSUPP', `nested page tables of format ${dataType} are not supported`);
    if (dataType !== 0 || (flags !== 0 && !hardware.flags))
      refuse('EOPNOTSUPP', `the device's IOMMU takes no page tables of format ${dataType} with flags ${hex(flags)}`);
    if (flags & ~HWPT_FLAGS) refuse('EOPNOTSUPP', `HWPT_ALLOC does not know the flags ${hex(flags & ~HWPT_FLAGS)}`);
    if (flags & HWPT_DIRTY_TRACKING && !hardware.dirtyTracking) refuse('EOPNOTSUPP', "the device's IOMMU does not track dirty pages");
    if (flags & HWPT_FAULT_ID_VALID && flags & HWPT_NEST_PARENT) refuse('EOPNOTSUPP', 'the parent of nested tables delivers no faults');
    const hwpt = new Hwpt(parent, hardware, {
      nestParent: (flags & HWPT_NEST_PARENT) !== 0,
      pasid: (flags & HWPT_PASID) !== 0,
      dirty: (flags & HWPT_DIRTY_TRACKING) !== 0,
    });
    if (flags & HWPT_FAULT_ID_VALID) this.#deliverFaults(hwpt, faultId);
    return this.objects.add(hwpt);
  }

  /** A queue for page faults, which its file refers to. */
  allocFaultQueue(): FaultQueue {
    return this.objects.add(new FaultQueue());
  }

  /** Makes a device an object of this context, and adds a reference to the context. */
  bind(hardware: IommuHardware): BoundDevice {
    this.hold();
    return this.objects.add(new BoundDevice(this.objects, hardware));
  }

  /** The device goes: detached from everything, no object any more, its reference dropped. */
  unbind(device: BoundDevice): void {
    device.detachAll();
    this.objects.destroy(device.id);
    this.drop();
  }

  /** IOMMU_DESTROY. @throws Refusal ENOENT, EBUSY. */
  destroy(id: number): void {
    const object = this.objects.get(id, IommufdObject);
    if (object instanceof BoundDevice) refuse('EBUSY', `device ${id} is bound; it goes when its own descriptor is closed`);
    this.objects.destroy(id);
    if (object === this.compatIoas) this.compatIoas = undefined;
  }

  /** Maps in `target` what `source` has at `from`. @returns the IOVA. */
  copy(target: number, source: number, request: { length: bigint; access: Access; iova: bigint | undefined }, from: bigint): bigint {
    const sourceIoas = this.ioas(source);
    sourceIoas.space.pieces(from, request.length);
    return this.ioas(target).copy(request, sourceIoas, from);
  }

  /** Unmaps a range, or with [0, 2^64-1] everything. @returns the bytes unmapped. @throws Refusal ENOENT when a range has nothing in it. */
  unmap(id: number, iova: bigint, length: bigint): bigint {
    const ioas = this.ioas(id);
    if (iova === 0n && length === LAST_IOVA) return ioas.unmapAll();
    const { bytes, refusal } = ioas.unmap(iova, length);
    if (refusal !== undefined) throw refusal;
    if (bytes === 0n) refuse('ENOENT', `nothing is mapped in ${hex(iova)}+${hex(length)} of IOAS ${id}`);
    return bytes;
  }

  /** IOAS_CHANGE_PROCESS: memory of files belongs to whoever holds the context. @throws Refusal EINVAL while memory of a process is mapped. */
  changeProcess(): void {
    for (const ioas of this.objects.values()) {
      if (!(ioas instanceof Ioas)) continue;
      for (const { iova, ofProcess } of ioas.space.mappings(Number.POSITIVE_INFINITY)) {
        if (ofProcess) refuse('EINVAL', `the mapping at ${hex(iova)} of IOAS ${ioas.id} is memory of a process, which stays with it`);
      }
    }
  }

  /** The last descriptor of the file is gone. */
  close(): void {
    this.drop();
  }

  /** One more reference: a group has it as its container. */
  hold(): void {
    this.#references++;
  }

  /** A reference goes. With the last everything is released. */
  drop(): void {
    if (--this.#references > 0) return;
    this.objects.destroyAll();
    this.#system.forget(this);
  }

  #deliverFaults(hwpt: Hwpt, faultId: number): void {
    try {
      hwpt.deliverFaults(this.objects.get(faultId, FaultQueue));
    } catch (error) {
      hwpt.destroy();
      throw error;
    }
  }

  #pageTableParent(id: number): Ioas | Hwpt {
    try {
      const object = this.objects.get(id, IommufdObject);
      if (object instanceof Ioas || object instanceof Hwpt) return object;
    } catch {
      return refuse('EINVAL', `there is no object ${id} to allocate a page table on`);
    }
    return refuse('EINVAL', `object ${id} is nothing that a page table can be allocated on`);
  }
}
