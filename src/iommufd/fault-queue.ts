/**
 * FaultQueue: I/O page faults of devices on their way to a user, and his answers on their way back.
 *
 * A device asks for pages in groups, each answered as a whole. A group is here from `deliver` to its answer:
 * first among those that nobody has read, then under the cookie that the reader answers it by. Invariant:
 * every group gets exactly one answer, since whoever takes the device away from the page table (`abandon`),
 * or ends the queue, answers INVALID for the user. Cookies are the lowest free numbers from 1 on, as in
 * Linux.
 */
import { refuse } from '../linux/errno.js';
import { broken, release } from '../linux/invariant.js';
import { Fifo } from './fifo.js';
import type { IommuHardware, PageRequest, PageResponse } from './hardware.js';
import { IommufdObject } from './objects.js';

/** enum iommufd_page_response_code. */
export const PAGE_RESPONSE_SUCCESS = 0;
export const PAGE_RESPONSE_INVALID = 1;

/** Groups that may wait in a queue, be it to be read or to be answered. What comes then is refused. */
export const MOST_GROUPS = 65_536;

/** The device that asks, under the id that the user knows it by. */
export interface Requester {
  readonly id: number;
  readonly hardware: Pick<IommuHardware, 'respond'>;
}

/** Requests that are answered together; the last of them ends the group. */
export interface FaultGroup {
  readonly device: Requester;
  /**
   * The PASID whose attachment leads here: that of the requests, or NO_PASID when a nested table of the
   * device translates for all.
   */
  readonly attachment: number;
  readonly requests: readonly PageRequest[];
}

export class FaultQueue extends IommufdObject {
  readonly kind = 'fault queue';
  readonly #unread = new Fifo<FaultGroup>();
  readonly #read = new Map<number, FaultGroup>();
  // All cookies below it are taken.
  #lowest = 1;
  #arrivals = 0;

  /** How many groups have come so far. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** The group to be read next. */
  get next(): FaultGroup | undefined {
    return this.#unread.first;
  }

  /** A group has come. Where too many wait it is answered INVALID at once. */
  deliver(group: FaultGroup): void {
    if (this.#unread.length + this.#read.size >= MOST_GROUPS) {
      answer(group, PAGE_RESPONSE_INVALID);
      return;
    }
    this.#unread.push(group);
    this.#arrivals++;
  }

  /** The next group has been read. @returns the cookie by which it will be answered. */
  take(): number {
    const group = this.#unread.shift();
    if (group === undefined) broken('no group of faults is left to be read');
    while (this.#read.has(this.#lowest)) this.#lowest++;
    this.#read.set(this.#lowest, group);
    return this.#lowest;
  }

  /** The user's answer. @throws Refusal EINVAL the code is unknown, or nothing waits under that cookie. */
  respond(cookie: number, code: number): void {
    if (code !== PAGE_RESPONSE_SUCCESS && code !== PAGE_RESPONSE_INVALID)
      refuse('EINVAL', `page response code ${code} is unknown`);
    const group = this.#read.get(cookie) ?? this.#unknown(cookie);
    this.#forget(cookie);
    answer(group, code);
  }

  /** The attachment of `device` for PASID `attachment` goes: what it waits for will not come. */
  abandon(device: Requester, attachment: number): void {
    const goes = (group: FaultGroup) => group.device === device && group.attachment === attachment;
    const unread = this.#unread.remove(goes);
    const read = [...this.#read].filter(([, group]) => goes(group));
    for (const [cookie] of read) this.#forget(cookie);
    giveUp([...unread, ...read.map(([, group]) => group)]);
  }

  destroy(): void {
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

function answer({ device, requests }: FaultGroup, code: PageResponse['code']): void {
  const { pasid, group } = requests.at(-1)!;
  device.hardware.respond?.({ pasid, group, code });
}
