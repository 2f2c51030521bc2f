/**
 * An iommufd context: what one open `/dev/iommu` file is. Whoever holds the descriptor may do with its
 * objects what he likes.
 *
 * It owns its objects. It lives as long as the file is open, or anything else holds it: a bound device, a
 * group, an access, the file of an event queue. Then all objects go, leaves first. Like an ioasid context it
 * is never told what a device does: the device takes out what it needs and gives it back.
 */
import { finished, releasing, type Sliced, type Work } from '../file/work.js';
import { LAST_IOVA } from '../ioasid/iova-ranges.js';
import type { Iommu, Access as Rights } from '../iommu/iommu.js';
import { mappingQuota, type Quota, tableQuota } from '../iommu/quota.js';
import type { Account } from '../linux/account.js';
import { hex, refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';
import { Access } from './access.js';
import { BoundDevice } from './bound-device.js';
import { FaultQueue } from './fault-queue.js';
import type { IommuHardware } from './hardware.js';
import { HwQueue, type QueuePlace } from './hw-queue.js';
import { HWPT_FAULT_ID_VALID, type Hwpt } from './hwpt.js';
import { Ioas } from './ioas.js';
import { NestedHwpt } from './nested-hwpt.js';
import { IommufdObject, ObjectTable } from './objects.js';
import { PagingHwpt } from './paging-hwpt.js';
import type { UserData } from './user-data.js';
import { Vdevice } from './vdevice.js';
import { VeventQueue } from './vevent-queue.js';
import { requireViommuType, Viommu } from './viommu.js';

/** What one context may have. */
export interface ContextQuotas {
  /** Over all its IOAS. */
  readonly mappings: number;
  readonly objects: number;
  /** Pages that the IOMMU may use for its tables. */
  readonly tables: number;
}

/** How a context is opened. */
interface Manner {
  readonly rlimitMode: number;
  readonly strict: boolean;
  /** Whoever what it has is charged to; undefined: it is not charged. */
  readonly payer: Account | undefined;
}

export class IommufdContext {
  /** A number for `ls`; it gives no right to anything. */
  readonly id: number;
  /** The process that opened the file. */
  readonly pid: number;
  readonly iommu: Iommu;
  readonly objects: ObjectTable;
  /** The mappings of all its IOAS together. */
  readonly mappings: Quota;
  /** Are files refused whose pages no kernel pins (Memory.onDisk), and mediated devices accesses? */
  readonly strict: boolean;
  /** The pages that the IOMMU uses for it. */
  readonly tables: Quota;
  readonly #living: Set<IommufdContext>;
  #rlimitMode: number;
  #compatIoas: Ioas | undefined;
  #references = 1;

  /** It is among the `living` until everything is released. Made by IommufdSubsystem.open. */
  constructor(
    iommu: Iommu,
    quotas: ContextQuotas,
    living: Set<IommufdContext>,
    id: number,
    pid: number,
    { rlimitMode, strict, payer }: Manner,
  ) {
    this.#rlimitMode = rlimitMode;
    this.strict = strict;
    this.iommu = iommu;
    this.objects = new ObjectTable(quotas.objects, payer);
    this.mappings = mappingQuota(quotas.mappings, 'ENOMEM', payer);
    this.tables = tableQuota(quotas.tables, payer);
    this.#living = living;
    this.id = id;
    this.pid = pid;
    living.add(this);
  }

  /** IOMMU_OPTION_RLIMIT_MODE: 0 pages are counted for the user, 1 for the process. */
  get rlimitMode(): number {
    return this.#rlimitMode;
  }

  /** @throws Refusal EBUSY the context has objects, whose pages are counted already; EINVAL no such mode. */
  setRlimitMode(mode: bigint): void {
    if (this.objects.size > 0) refuse('EBUSY', 'the context has objects already');
    if (mode > 1n) refuse('EINVAL', `rlimit mode ${mode} is neither 0 nor 1`);
    this.#rlimitMode = Number(mode);
  }

  /** The IOAS that the VFIO container ioctls mean, when one was named: it is an object of the context. */
  get compatIoas(): Ioas | undefined {
    return this.#compatIoas;
  }

  /** Names that IOAS; undefined: none. @throws Refusal ENOENT. */
  nameCompatIoas(id: number | undefined): void {
    this.#compatIoas = id === undefined ? undefined : this.ioas(id);
  }

  // Each `alloc...` is ENOMEM where the context has as many objects as it may have.

  allocIoas(): Ioas {
    this.objects.requireRoom();
    const counting = this.#rlimitMode === 0 ? 'user' : 'process';
    return this.objects.add(new Ioas(this.iommu, this.mappings, this.tables, counting));
  }

  ioas(id: number): Ioas {
    return this.objects.get(id, Ioas);
  }

  /** The device `id`, behind an IOMMU. @throws Refusal ENOENT. */
  device(id: number): BoundDevice {
    const device = this.objects.get(id, BoundDevice);
    if (device.isAccess) refuse('ENOENT', `device ${id} is mediated, and has no IOMMU (--strict)`);
    return device;
  }

  /**
   * Allocates a page table for `deviceId` on IOAS `tableId`, or nested on HWPT or vIOMMU `tableId`.
   * @throws Refusal ENOENT no such device; EINVAL `tableId` is nothing that a table can be allocated on;
   * ENOENT `faultId` is no fault queue, for HWPT_FAULT_ID_VALID; and as PagingHwpt.create, NestedHwpt.create,
   * Viommu.allocNested.
   */
  *allocHwpt(deviceId: number, tableId: number, flags: number, data: UserData, faultId = 0): Work<Hwpt> {
    this.objects.requireRoom();
    const { hardware } = this.device(deviceId);
    const hwpt = yield* this.#makeHwpt(this.#pageTableParent(tableId), hardware, flags, data);
    if (flags & HWPT_FAULT_ID_VALID) this.#deliverFaults(hwpt, faultId);
    return this.objects.add(hwpt);
  }

  /** A queue for page faults. */
  allocFaultQueue(): FaultQueue {
    this.objects.requireRoom();
    return this.objects.add(new FaultQueue());
  }

  /**
   * A vIOMMU of `data.type` (IOMMU_VIOMMU_TYPE_*) for devices behind the IOMMU of `deviceId`, over HWPT
   * `parentId`. @throws Refusal ENOENT; EOPNOTSUPP the IOMMU has no such type; and as Viommu.create.
   */
  allocViommu(deviceId: number, parentId: number, data: UserData): Viommu {
    this.objects.requireRoom();
    const { hardware } = this.device(deviceId);
    requireViommuType(hardware, data.type);
    return this.objects.add(Viommu.create(this.objects.get(parentId, PagingHwpt), hardware, data));
  }

  /** Makes a device number `virtualId` of a vIOMMU. @throws Refusal ENOENT; as the constructor of Vdevice. */
  allocVdevice(viommuId: number, deviceId: number, virtualId: bigint): Vdevice {
    this.objects.requireRoom();
    const viommu = this.objects.get(viommuId, Viommu);
    return this.objects.add(new Vdevice(viommu, this.device(deviceId), virtualId));
  }

  /** A queue for `depth` events of `type` of a vIOMMU. @throws Refusal ENOENT; EEXIST it has one already. */
  allocVeventQueue(viommuId: number, type: number, depth: number): VeventQueue {
    this.objects.requireRoom();
    return this.objects.add(new VeventQueue(this.objects.get(viommuId, Viommu), type, depth));
  }

  /**
   * Queue `index` of a vIOMMU, at `place`. @throws Refusal ENOENT; as the constructor of HwQueue, and its
   * `start`.
   */
  allocHwQueue(viommuId: number, type: number, index: number, place: QueuePlace): HwQueue {
    this.objects.requireRoom(2);
    const queue = this.objects.add(new HwQueue(this.objects.get(viommuId, Viommu), type, index));
    try {
      queue.start(this.objects, place);
    } catch (error) {
      finished(this.objects.destroy(queue.id));
      throw error;
    }
    return queue;
  }

  /** An access to IOAS `id`; it holds the context until it is closed. @throws Refusal ENOENT; EADDRINUSE. */
  openAccess(id: number, pinsPages: boolean): Access {
    this.objects.requireRoom();
    const access = Access.open(this.objects, this.ioas(id), { pinsPages, locks: false });
    this.hold();
    return access;
  }

  /** The access goes, and its reference. */
  closeAccess(access: Access): Work<void> {
    return releasing([() => access.close(), () => this.drop()]);
  }

  /**
   * Makes a device an object of this context, and adds a reference to the context. @throws Refusal ENOMEM it
   * has as many objects as it may have.
   */
  bind(hardware: IommuHardware): BoundDevice {
    this.objects.requireRoom();
    this.hold();
    return this.objects.add(new BoundDevice(this.objects, hardware, this.strict));
  }

  /** The device goes: detached from everything, no object any more, its reference dropped. */
  unbind(device: BoundDevice): Work<void> {
    return releasing([() => device.detachAll(), () => this.objects.destroy(device.id), () => this.drop()]);
  }

  /** IOMMU_DESTROY. @throws Refusal ENOENT, EBUSY. */
  destroy(id: number): Sliced<void> {
    const object = this.objects.get(id, IommufdObject);
    if (object instanceof BoundDevice)
      refuse('EBUSY', `device ${id} is bound; it goes when its own descriptor is closed`);
    const destroyed = this.objects.destroy(id);
    if (object === this.#compatIoas) this.#compatIoas = undefined;
    return destroyed;
  }

  /** Maps in `target` what `source` has at `from`. @returns the IOVA. */
  *copy(
    target: number,
    source: number,
    request: { length: bigint; access: Rights; iova: bigint | undefined },
    from: bigint,
  ): Work<bigint> {
    const sourceIoas = this.ioas(source);
    yield* sourceIoas.space.survey(from, request.length, this.mappings);
    return yield* this.ioas(target).copy(request, sourceIoas, from);
  }

  /**
   * Unmaps a range, or with [0, 2^64-1] everything. @returns the bytes unmapped. @throws Refusal ENOENT when
   * a range has nothing in it.
   */
  *unmap(id: number, iova: bigint, length: bigint): Work<bigint> {
    const ioas = this.ioas(id);
    const all = iova === 0n && length === LAST_IOVA;
    const { bytes, refusal } = yield* all ? ioas.unmapAll() : ioas.unmap(iova, length);
    if (refusal !== undefined) throw refusal;
    if (bytes === 0n && !all)
      refuse('ENOENT', `nothing is mapped in ${hex(iova)}+${hex(length)} of IOAS ${id}`);
    return bytes;
  }

  /**
   * IOAS_CHANGE_PROCESS: memory of files belongs to whoever holds the context. @throws Refusal EINVAL while
   * memory of a process is mapped.
   */
  *changeProcess(): Work<number> {
    for (const ioas of this.objects.values()) {
      if (!(ioas instanceof Ioas)) continue;
      for (const { iova, ofProcess } of ioas.space.views()) {
        yield;
        if (ofProcess)
          refuse(
            'EINVAL',
            `the mapping at ${hex(iova)} of IOAS ${ioas.id} is memory of a process, which stays with it`,
          );
      }
    }
    return 0;
  }

  /** The last descriptor of the file is gone. */
  close(): Sliced<void> {
    return this.drop();
  }

  /** One more reference. */
  hold(): void {
    if (this.#references === 0) broken(`iommufd context ${this.id} is held after it has been released`);
    this.#references++;
  }

  /** A reference goes. With the last everything is released. */
  drop(): Sliced<void> {
    if (this.#references === 0) broken(`iommufd context ${this.id} is dropped by more than hold it`);
    if (--this.#references > 0) return;
    return releasing([() => this.objects.destroyAll(), () => void this.#living.delete(this)]);
  }

  *#makeHwpt(
    parent: Ioas | PagingHwpt | Viommu,
    hardware: IommuHardware,
    flags: number,
    data: UserData,
  ): Work<Hwpt> {
    if (parent instanceof Ioas) return yield* PagingHwpt.create(parent, hardware, flags, data);
    if (parent instanceof PagingHwpt) return NestedHwpt.create(parent, hardware, flags, data);
    return parent.allocNested(hardware, flags, data);
  }

  #deliverFaults(hwpt: Hwpt, faultId: number): void {
    try {
      hwpt.deliverFaults(this.objects.get(faultId, FaultQueue));
    } catch (error) {
      hwpt.destroy();
      throw error;
    }
  }

  #pageTableParent(id: number): Ioas | PagingHwpt | Viommu {
    try {
      const object = this.objects.get(id, IommufdObject);
      if (object instanceof Ioas || object instanceof PagingHwpt || object instanceof Viommu) return object;
    } catch {
      return refuse('EINVAL', `there is no object ${id} to allocate a page table on`);
    }
    return refuse('EINVAL', `object ${id} is nothing that a page table can be allocated on`);
  }
}
