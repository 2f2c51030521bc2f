/**
 * PageRequests: the pages that one device has asked for and not been told of yet (PCI Express 5.0 §10.4, Page
 * Request Services).
 *
 * Each request is a group of its own, under a number that is its while it is outstanding. They go to whoever
 * translates for the device, and the answer is left here for the model to find. After an answer that says
 * that none will come any more (a Response Failure) the device asks for nothing more.
 */
import type { PageWait } from '../devices/device-model.js';
import {
  type FaultSource,
  PAGE_RESPONSE_FAILURE,
  PAGE_RESPONSE_SUCCESS,
  type PageRequest,
  type PageResponse,
} from '../ioasid/page-faults.js';
import { PAGE_SIZE } from '../iommu/page-table.js';
import type { Vpasid } from '../iommu/pasid.js';

/** A Page Request Group Index has 9 bits. */
const MOST = 512;
/** IOMMU_PGFAULT_PERM_*. */
const PERM_READ = 1;
const PERM_WRITE = 2;

/** Who hears of a request. */
export interface PageHearer {
  pageRequest(request: PageRequest): void;
}

export class PageRequests implements FaultSource {
  readonly #outstanding = new Map<number, { answer: PageWait['answer'] }>();
  #failed = false;

  /**
   * @param pasid the PASID as the device's program knows it; 0 for none. @returns undefined when as many are
   * outstanding as can be told apart, or none is answered any more.
   */
  ask(hearer: PageHearer, pasid: Vpasid, iova: number, write: boolean): PageWait | undefined {
    if (this.#failed || this.#outstanding.size === MOST) return undefined;
    let group = 0;
    while (this.#outstanding.has(group)) group++;
    const wait: { answer: PageWait['answer'] } = { answer: 'pending' };
    this.#outstanding.set(group, wait);
    hearer.pageRequest({
      pasid: pasid === 0 ? undefined : pasid,
      group,
      last: true,
      access: write ? PERM_WRITE : PERM_READ,
      address: BigInt(iova - (iova % PAGE_SIZE)),
    });
    return wait;
  }

  /** The IOMMU's answer. */
  respond({ group, code }: PageResponse): void {
    if (code === PAGE_RESPONSE_FAILURE) this.#failed = true;
    const wait = this.#outstanding.get(group);
    if (wait !== undefined) wait.answer = code === PAGE_RESPONSE_SUCCESS ? 'success' : 'invalid';
    this.#outstanding.delete(group);
  }
}
