/**
 * RingMemory: the rings and buffers of one queue as the device sees them, in the address space of one ASID.
 *
 * It keeps the one word on the queue's health: as long as `broken` is undefined, everything that was read
 * made sense. The first thing that did not says why, for ever, and what is wrong is never used.
 */

import { hex } from '../../linux/errno.js';
import type { Ranges } from '../../linux/ranges.js';
import type { ScatterList } from '../../linux/scatter-list.js';
import type { DmaFault, DmaPort } from '../device-model.js';
import { moveAll, moveSome } from '../move-all.js';

/** The only way to memory: what a virtio device needs of a DmaPort, whose PASIDs are ASIDs here. */
export interface VirtioPort {
  /** Fills target[at..at+length) from `iova` of `asid`. @returns undefined, or the fault. */
  read(asid: number, iova: number, target: Uint8Array, at: number, length: number): DmaFault | undefined;
  /** Writes source[at..at+length) to `iova` of `asid`. Bytes before a fault have been written. */
  write(asid: number, iova: number, source: Uint8Array, at: number, length: number): DmaFault | undefined;
  readonly move?: DmaPort['move'];
  readonly moveSome?: DmaPort['moveSome'];
  readonly place?: DmaPort['place'];
  readonly effort?: number;
}

export class RingMemory {
  /** One sentence: why the queue can go on no more. Undefined: it can. */
  broken: string | undefined;
  /** Has the last `moveSome` ended in a fault? */
  faulted = false;
  readonly #port: VirtioPort;
  /** The queue is stopped: a model that still has one of its buffers reaches nothing by it. */
  #cut = false;
  readonly #asid: number;

  constructor(port: VirtioPort, asid: number) {
    this.#port = port;
    this.#asid = asid;
  }

  /** Reads `length` bytes of a ring. @returns false when they cannot be reached: the ring is broken. */
  read(iova: number, target: Uint8Array, length: number, what: string): boolean {
    const fault = this.#port.read(this.#asid, iova, target, 0, length);
    return fault === undefined || this.#unreachable(fault, what);
  }

  /** Writes source[at..at+length) into a ring, or breaks it in the same way. */
  write(iova: number, source: Uint8Array, at: number, length: number, what: string): boolean {
    const fault = this.#port.write(this.#asid, iova, source, at, length);
    return fault === undefined || this.#unreachable(fault, what);
  }

  /** Writes source[at..) to many places in a ring, one after the other, or breaks it in the same way. */
  writeAll(places: Ranges, source: Uint8Array, at: number, what: string): boolean {
    const fault = moveAll(this.#port, this.#asid, places, source, at, true);
    return fault === undefined || this.#unreachable(fault, what);
  }

  /**
   * Reads parts of buffers, or writes them. A fault is the request's affair, not the ring's. @returns the
   * bytes moved.
   */
  move(places: Ranges, buffer: Uint8Array, at: number, write: boolean): number {
    if (this.#cut) return 0;
    return moveAll(this.#port, this.#asid, places, buffer, at, write)?.done ?? places.length;
  }

  /** As `move`, of as many parts as come to the effort of a step; `faulted` says whether that is why. */
  moveSome(places: Ranges, buffer: Uint8Array, at: number, write: boolean): number {
    const moved = this.#cut ? { done: 0 } : moveSome(this.#port, this.#asid, places, buffer, at, write);
    this.faulted = typeof moved !== 'number';
    return typeof moved === 'number' ? moved : moved.done;
  }

  /** Where a part of a buffer is, as VirtioPort.place. */
  place(iova: number, length: number, places: ScatterList): boolean {
    return !this.#cut && this.#port.place?.(this.#asid, iova, length, places) === true;
  }

  /** No buffer is reached any more. */
  cut(): void {
    this.#cut = true;
  }

  /** The ring is broken. @returns false, for whoever asks whether to go on. */
  fail(reason: string): false {
    this.broken ??= reason;
    return false;
  }

  #unreachable(fault: DmaFault, what: string): false {
    return this.fail(`the ${what} cannot be reached at iova ${hex(fault.iova)}: ${fault.reason}`);
  }
}
