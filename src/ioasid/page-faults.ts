/**
 * PageFaults: I/O page faults of devices on their way to a user, and his answers on their way back; those of
 * an ioasid context, or of a fault queue of iommufd.
 *
 * A device asks for pages in groups, each answered as a whole. A group is here from `deliver` to its answer:
 * first among those that nobody has read, then under the cookie that the reader answers it by. Invariant:
 * every group gets exactly one answer, since whoever takes the device away from the address space
 * (`abandon`), or the reader (`end`), answers INVALID for the user. Cookies are the lowest free numbers from
 * 1 on, as in Linux.
 */
import { Arrivals } from '../file/arrivals.js';
import type { Vpasid } from '../iommu/pasid.js';
import { refuse } from '../linux/errno.js';
import { broken, release } from '../linux/invariant.js';
import { Fifo } from './fifo.js';

/** enum iommufd_page_response_code, and that nothing will ever be answered (PCIe 5.0 §10.4.2). */
export const PAGE_RESPONSE_SUCCESS = 0;
export const PAGE_RESPONSE_INVALID = 1;
export const PAGE_RESPONSE_FAILURE = 2;

/** A device's wish for a page that its DMA needs (PCIe 5.0 §10.4: a page request). */
export interface PageRequest {
  /** The PASID of the DMA; undefined when it carries none. */
  readonly pasid: Vpasid | undefined;
  /** Requests of one group are answered together (Page Request Group Index). */
  readonly group: number;
  /** Ends its group. */
  readonly last: boolean;
  /** What the device wants to do there: IOMMU_FAULT_PERM_*, IOASID_MAP_READ and _WRITE. */
  readonly access: number;
  readonly address: bigint;
}

/** The answer to a group of page requests: PAGE_RESPONSE_*. */
export interface PageResponse {
  readonly pasid: Vpasid | undefined;
  readonly group: number;
  readonly code: number;
}

/** Where an answer is left: the device's side. Absent: it waits for none. */
export interface FaultSource {
  respond?(response: PageResponse): void;
}

/** Requests that are answered together; the last of them ends the group. */
export interface FaultGroup {
  readonly source: FaultSource;
  /** The device, as the user knows it. */
  readonly id: number;
  /**
   * By which right of the device it asks: its PASID in the context; of iommufd the attachment that translates
   * (NO_PASID when a nested table of the device translates for all).
   */
  readonly attachment: number;
  readonly requests: readonly PageRequest[];
}

/** Groups that may wait in a queue, be it to be read or to be answered. What comes then is refused. */
export const MOST_GROUPS = 65_536;

export class PageFaults {
  readonly #unread = new Fifo<FaultGroup>();
  readonly #read = new Map<number, FaultGroup>();
  // All cookies below it are taken.
  #lowest = 1;
  readonly #arrivals = new Arrivals();
  #ended = false;

  /** How many groups have come so far. */
  get arrivals(): number {
    return this.#arrivals.count;
  }

  /** The group to be read next. */
  get next(): FaultGroup | undefined {
    return this.#unread.first;
  }

  /** A group has come. Where too many wait, or nobody will read, it is answered INVALID at once. */
  deliver(group: FaultGroup): void {
    if (this.#ended || this.#unread.length + this.#read.size >= MOST_GROUPS) {
      answer(group, PAGE_RESPONSE_INVALID);
      return;
    }
    this.#unread.push(group);
    this.#arrivals.add();
  }

  /** The next group has been read. @returns the cookie by which it will be answered. */
  take(): number {
    const group = this.#unread.shift();
    if (group === undefined) broken('no group of faults is left to be read');
    while (this.#read.has(this.#lowest)) this.#lowest++;
    this.#read.set(this.#lowest, group);
    return this.#lowest;
  }

  /** The user's answer, PAGE_RESPONSE_*. @throws Refusal EINVAL when nothing waits under that cookie. */
  respond(cookie: number, code: number): void {
    const group = this.#read.get(cookie) ?? this.#unknown(cookie);
    this.#forget(cookie);
    answer(group, code);
  }

  /** The attachment `attachment` of a device goes: what that waits for will not come. */
  abandon(source: FaultSource, attachment: number): void {
    const goes = (group: FaultGroup) => group.source === source && group.attachment === attachment;
    const unread = this.#unread.remove(goes);
    const read = [...this.#read].filter(([, group]) => goes(group));
    for (const [cookie] of read) this.#forget(cookie);
    giveUp([...unread, ...read.map(([, group]) => group)]);
  }

  /** Nobody reads or answers any more. */
  end(): void {
    this.#ended = true;
    giveUp([...this.#unread.remove(() => true), ...this.#read.values()]);
  }

  #unknown(cookie: number): never {
    // As in Linux, whose allocator keeps 0 back only until somebody answers it while others wait.
    if (cookie === 0 && this.#read.size > 0) this.#lowest = 0;
    refuse('EINVAL', `no page faults wait for an answer under cookie ${cookie}`);
  }

  #forget(cookie: number): void {
    this.#read.delete(cookie);
    this.#lowest = Math.min(this.#lowest, cookie);
  }
}

/** Nobody will answer these any more. */
function giveUp(groups: readonly FaultGroup[]): void {
  release(groups.map((group) => () => answer(group, PAGE_RESPONSE_INVALID)));
}

function answer({ source, requests }: FaultGroup, code: number): void {
  const { pasid, group } = requests.at(-1)!;
  source.respond?.({ pasid, group, code });
}
