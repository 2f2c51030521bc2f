/**
 * A notifier chain: who wants to hear of events that happen below.
 *
 * Listeners are told in the order in which they came. Invariant: a listener that leaves while the chain is
 * told is not told any more, one that comes meanwhile is told too; in the kernel a read-write semaphore is
 * held over the round for that. A listener is a method call, not a closure, and an event is words, not an
 * object: a round allocates nothing.
 */
import type { Pasid } from '../../iommu/pasid.js';

/** What has happened to an IOASID. */
export const ALLOC = 0;
export const FREE = 1;
export const BIND = 2;
export const UNBIND = 3;

export type IoasidEvent = typeof ALLOC | typeof FREE | typeof BIND | typeof UNBIND;

export interface Listener {
  /** `device` is the one that was bound or unbound; undefined where events do not say. */
  heard(event: IoasidEvent, pasid: Pasid, device: Listener | undefined): void;
}

export class NotifierChain {
  readonly #listeners = new Set<Listener>();

  get length(): number {
    return this.#listeners.size;
  }

  register(listener: Listener): void {
    this.#listeners.add(listener);
  }

  unregister(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  tell(event: IoasidEvent, pasid: Pasid, device: Listener | undefined): void {
    for (const listener of this.#listeners) listener.heard(event, pasid, device);
  }
}
