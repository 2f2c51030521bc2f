/**
 * PageRequests: the pages that one device has asked for and not been told of yet (PCI Express 5.0 §10.4, Page
 * Request Services).
 *
 * Each request is a group of its own, under a number that is its while it is outstanding. They go to the
 * device's object in the iommufd context, and the answer is left here for the model to find.
 */
import type { PageWait } from '../devices/device-model.js';
import { PAGE_SIZE } from '../iommu/page-table.js';
import type { Vpasid } from '../iommu/pasid.js';
import type { BoundDevice } from '../iommufd/bound-device.js';
import { PAGE_RESPONSE_SUCCESS } from '../iommufd/fault-queue.js';
import type { PageResponse } from '../iommufd/hardware.js';

/** A Page Request Group Index has 9 bits. */
const MOST = 512;
/** IOMMU_PGFAULT_PERM_*. */
const PERM_READ = 1;
const PERM_WRITE = 2;

export class PageRequests {
  readonly #outstanding = new Map<number, { answer: PageWait['answer'] }>();

  /**
   * @param pasid the PASID as the device's program knows it; 0 for none. @returns undefined when as many are
   * outstanding as can be told apart.
   */
  ask(device: BoundDevice, pasid: Vpasid, iova: number, write: boolean): PageWait | undefined {
    if (this.#outstanding.size === MOST) return undefined;
    let group = 0;
    while (this.#outstanding.has(group)) group++;
    const wait: { answer: PageWait['answer'] } = { answer: 'pending' };
    this.#outstanding.set(group, wait);
    device.pageRequest({
      pasid: pasid === 0 ? undefined : pasid,
      group,
      last: true,
      access: write ? PERM_WRITE : PERM_READ,
      address: BigInt(iova - (iova % PAGE_SIZE)),
    });
    return wait;
  }

  /** The IOMMU's answer. */
  answer({ group, code }: PageResponse): void {
    const wait = this.#outstanding.get(group);
    if (wait !== undefined) wait.answer = code === PAGE_RESPONSE_SUCCESS ? 'success' : 'invalid';
    this.#outstanding.delete(group);
  }
}
