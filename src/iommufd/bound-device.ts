/**
 * BoundDevice: a device that is bound to an iommufd context, as the object that its user attaches to page
 * tables.
 *
 * It owns the device's attachments: for each PASID (0: requests without PASID) one HWPT. Invariant: for every
 * attachment there is one entry in the IOMMU, one user of the HWPT and one of this object, and no other.
 * Calls go down, to the HWPT's table and the IOMMU.
 *
 * The device's page requests are put together to groups here, and go to the fault queue of the HWPT by which
 * their PASID is translated.
 */
import { finished, releasing, type Work } from '../file/work.js';
import { PAGE_RESPONSE_INVALID, type PageRequest } from '../ioasid/page-faults.js';
import { NO_PASID, type Vpasid } from '../iommu/pasid.js';
import { refuse } from '../linux/errno.js';
import { broken, release } from '../linux/invariant.js';
import type { IommuHardware } from './hardware.js';
import { Hwpt } from './hwpt.js';
import { Ioas } from './ioas.js';
import { NestedHwpt } from './nested-hwpt.js';
import { IommufdObject, type ObjectTable } from './objects.js';
import { PagingHwpt } from './paging-hwpt.js';

/** What a device is in a vIOMMU: another object, which goes with it at the latest. */
export interface VirtualDevice extends IommufdObject {
  readonly viommu: IommufdObject;
  /** The number that the virtual machine knows it by. */
  readonly virtualId: bigint;
}

export class BoundDevice extends IommufdObject {
  readonly kind = 'device';
  readonly hardware: IommuHardware;
  /**
   * Is it an access, as Linux calls a mediated device? That can be attached to an IOAS and nothing else, and
   * is no device to those who ask for one.
   */
  readonly isAccess: boolean;
  readonly #objects: ObjectTable;
  readonly #attachments = new Map<Vpasid, Hwpt>();
  #vdevice: VirtualDevice | undefined;
  /** Page requests whose groups have not ended. */
  #unended: PageRequest[] = [];

  /** @param strict a mediated device is an access. */
  constructor(objects: ObjectTable, hardware: IommuHardware, strict = false) {
    super();
    this.isAccess = strict && hardware.mediated === true;
    this.#objects = objects;
    this.hardware = hardware;
  }

  /** What it is in a vIOMMU. */
  get vdevice(): VirtualDevice | undefined {
    return this.#vdevice;
  }

  /** It is in a vIOMMU from now on, in no other before. */
  joinViommu(vdevice: VirtualDevice): void {
    if (this.#vdevice !== undefined) broken(`device ${this.id} is in a vIOMMU already`);
    this.#vdevice = vdevice;
  }

  leaveViommu(): void {
    if (this.#vdevice === undefined) broken(`device ${this.id} is in no vIOMMU to leave`);
    this.#vdevice = undefined;
  }

  /** What is attached for `pasid`. */
  attached(pasid: Vpasid): Hwpt | undefined {
    return this.#attachments.get(pasid);
  }

  /**
   * Attaches `pasid` to HWPT or IOAS `id`. @returns the HWPT's id, which is new when an IOAS was given and
   * none fits; of an access the IOAS's.
   * @throws Refusal ENOENT no such object; EINVAL another kind of object (ENOENT of a mediated device, which
   * Linux looks up as an access); EBUSY attached already; and what an IOAS refuses a new domain with.
   */
  *attach(id: number, pasid: Vpasid): Work<number> {
    if (this.#objects.get(id, IommufdObject) instanceof Ioas) {
      // No page table is made for what is refused anyway.
      this.#requireFree(pasid);
      if (pasid !== NO_PASID)
        refuse(
          'EINVAL',
          `a PASID is attached to an HWPT that was allocated for PASIDs, not to IOAS ${id} itself`,
        );
    }
    const hwpt = yield* this.#withPageTable(id, (candidate) => this.#attach(candidate, pasid));
    this.hold();
    return this.isAccess ? id : hwpt.id;
  }

  /**
   * Attaches `pasid` to another page table in one step. @throws Refusal as `attach`, and EINVAL when nothing
   * is attached.
   */
  *replace(id: number, pasid: Vpasid): Work<number> {
    const hwpt = yield* this.#withPageTable(id, (candidate) => this.#replace(candidate, pasid));
    return this.isAccess ? id : hwpt.id;
  }

  /** Takes the attachment of `pasid` away; nothing attached is fine. */
  detach(pasid: Vpasid): void {
    const hwpt = this.#attachments.get(pasid);
    if (hwpt === undefined) return;
    this.#attachments.delete(pasid);
    release([
      () => this.hardware.leave(pasid),
      () => this.#abandonFaults(hwpt, pasid),
      () => pasid === NO_PASID && hwpt.ioas.space.iovas.release(this),
      () => this.#put(hwpt),
      () => this.drop(),
    ]);
  }

  /** Detaches everything. */
  detachAll(): Work<void> {
    return releasing(this.#detachments());
  }

  /**
   * The device asks for a page. With the last request of a group the group is on its way to the user; where
   * nobody can be asked it is answered at once.
   */
  pageRequest(request: PageRequest): void {
    const { pasid, group, last } = request;
    const attachment = this.#translating(pasid ?? NO_PASID);
    const queue = this.#attachments.get(attachment)?.faults;
    if (queue === undefined) {
      if (last) this.hardware.respond?.({ pasid, group, code: PAGE_RESPONSE_INVALID });
      return;
    }
    this.#unended.push(request);
    if (!last) return;
    const requests = this.#unended.filter((each) => each.group === group);
    this.#unended = this.#unended.filter((each) => each.group !== group);
    queue.faults.deliver({ source: this.hardware, id: this.id, attachment, requests });
  }

  destroy(): void {
    if (this.#vdevice !== undefined) finished(this.#objects.bury(this.#vdevice));
  }

  /** The steps of `detachAll`. There can be a million. */
  *#detachments(): Generator<() => void> {
    for (const pasid of this.#attachments.keys()) yield () => this.detach(pasid);
  }

  /** Finds or makes the page table that `id` means, and does `change` with it. */
  *#withPageTable(id: number, change: (hwpt: Hwpt) => void): Work<Hwpt> {
    const object = this.#objects.get(id, IommufdObject);
    if (object instanceof Hwpt && !this.isAccess) {
      change(object);
      return object;
    }
    if (!(object instanceof Ioas)) {
      const errno = this.hardware.mediated === true ? 'ENOENT' : 'EINVAL';
      refuse(errno, `object ${id} is a ${object.kind}, which a device cannot be attached to`);
    }
    return yield* this.#automatic(object, change);
  }

  *#automatic(ioas: Ioas, change: (hwpt: Hwpt) => void): Work<Hwpt> {
    for (const candidate of this.#objects.values()) {
      if (!(candidate instanceof PagingHwpt) || !candidate.auto || candidate.ioas !== ioas) continue;
      if (candidate.iommu !== this.hardware.iommu) continue;
      change(candidate);
      return candidate;
    }
    this.#objects.requireRoom();
    const hwpt = this.#objects.add(yield* PagingHwpt.automatic(ioas, this.hardware));
    try {
      change(hwpt);
    } catch (error) {
      finished(this.#objects.destroy(hwpt.id));
      throw error;
    }
    return hwpt;
  }

  #attach(hwpt: Hwpt, pasid: Vpasid): void {
    this.#requireFree(pasid);
    this.#checkPasid(hwpt, pasid);
    this.#enter(hwpt, pasid);
  }

  #requireFree(pasid: Vpasid): void {
    const old = this.#attachments.get(pasid);
    if (old !== undefined) refuse('EBUSY', `the device is attached to HWPT ${old.id} already`);
  }

  #replace(hwpt: Hwpt, pasid: Vpasid): void {
    const old = this.#attachments.get(pasid);
    if (old === undefined) refuse('EINVAL', 'the device is not attached, so there is nothing to replace');
    if (old === hwpt) return;
    this.#checkPasid(hwpt, pasid);
    this.#enter(hwpt, pasid, old);
    this.#abandonFaults(old, pasid);
    this.#put(old);
  }

  #enter(hwpt: Hwpt, pasid: Vpasid, old?: Hwpt): void {
    if (hwpt.iommu !== this.hardware.iommu)
      refuse('EINVAL', `HWPT ${hwpt.id} belongs to another IOMMU than the device`);
    if (
      pasid === NO_PASID &&
      hwpt instanceof PagingHwpt &&
      hwpt.dirty !== undefined &&
      !this.hardware.dirtyTracking
    ) {
      refuse('EINVAL', `HWPT ${hwpt.id} tracks dirty pages, which the device's IOMMU cannot`);
    }
    if (hwpt.faults !== undefined && this.hardware.respond === undefined) {
      refuse('ENODEV', `HWPT ${hwpt.id} delivers page faults, and the device makes no page requests`);
    }
    const { ioas } = hwpt;
    const moves = pasid === NO_PASID && ioas !== old?.ioas;
    if (moves) this.#reserve(ioas);
    try {
      this.hardware.enter(pasid, hwpt.table, hwpt.dirty);
    } catch (error) {
      if (moves) ioas.space.iovas.release(this);
      throw error;
    }
    if (moves) old?.ioas.space.iovas.release(this);
    this.#attachments.set(pasid, hwpt);
    hwpt.hold();
  }

  /**
   * The attachment by which requests with `pasid` are translated: its own, or that of the nested table which
   * has the PASIDs too.
   */
  #translating(pasid: Vpasid): Vpasid {
    const nested =
      this.hardware.userPasidTable === true && this.#attachments.get(NO_PASID) instanceof NestedHwpt;
    return nested && !this.#attachments.has(pasid) ? NO_PASID : pasid;
  }

  /**
   * What waited for answers by way of an attachment that is gone is answered; groups that have not ended go
   * with the last such attachment.
   */
  #abandonFaults(hwpt: Hwpt, pasid: Vpasid): void {
    hwpt.faults?.faults.abandon(this.hardware, pasid);
    // Looked at only where there are any: a device may have a million attachments, and all go at its close.
    if (
      this.#unended.length > 0 &&
      ![...this.#attachments.values()].some(({ faults }) => faults !== undefined)
    )
      this.#unended = [];
  }

  #reserve(ioas: Ioas): void {
    try {
      for (const range of this.hardware.reserved) ioas.space.iovas.reserve(range, this);
    } catch (error) {
      ioas.space.iovas.release(this);
      throw error;
    }
  }

  /**
   * A page table is either fit for PASIDs or not, and a device with PASIDs attached has only those that are.
   */
  #checkPasid(hwpt: Hwpt, pasid: Vpasid): void {
    if (pasid !== NO_PASID) {
      if (!hwpt.pasidCompatible) refuse('EINVAL', `HWPT ${hwpt.id} was not allocated for PASIDs`);
      const plain = this.#attachments.get(NO_PASID);
      if (plain !== undefined && !plain.pasidCompatible)
        refuse('EINVAL', `the device is attached to HWPT ${plain.id}, which was not allocated for PASIDs`);
    } else if (!hwpt.pasidCompatible && [...this.#attachments.keys()].some((each) => each !== NO_PASID)) {
      refuse('EINVAL', `HWPT ${hwpt.id} was not allocated for PASIDs, and the device has some attached`);
    }
  }

  /** Drops the reference of an attachment; a page table of ours goes with the last. */
  #put(hwpt: Hwpt): void {
    hwpt.drop();
    if (hwpt instanceof PagingHwpt && hwpt.auto && hwpt.users === 0) finished(this.#objects.destroy(hwpt.id));
  }
}
