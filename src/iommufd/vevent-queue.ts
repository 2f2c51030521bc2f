/**
 * VeventQueue: what an IOMMU has to tell one vIOMMU's user, in its order, up to `depth` events.
 *
 * Events are numbered. One that has no room is lost, but its number is not: a notice of the loss with the
 * newest number stands at the end of the queue. It goes when another event follows, whose number then shows
 * the gap, and takes no room. Invariant: a notice is never anything but the last.
 */
import { Arrivals } from '../file/arrivals.js';
import { Fifo } from '../ioasid/fifo.js';
import { IommufdObject } from './objects.js';
import type { VeventSink, Viommu } from './viommu.js';

const LAST_SEQUENCE = 0x7fff_ffff;

export interface Vevent {
  readonly sequence: number;
  /** What happened; undefined: events up to this number were lost. */
  readonly data: Uint8Array | undefined;
}

export class VeventQueue extends IommufdObject implements VeventSink {
  readonly kind = 'vEVENT queue';
  readonly viommu: Viommu;
  /** IOMMU_VEVENTQ_TYPE_*: what its events look like. */
  readonly type: number;
  readonly #depth: number;
  readonly #events = new Fifo<Vevent>();
  readonly #arrivals = new Arrivals();
  #sequence = 0;

  /** @throws Refusal EEXIST the vIOMMU has a queue of that type. */
  constructor(viommu: Viommu, type: number, depth: number) {
    super();
    this.viommu = viommu;
    this.type = type;
    this.#depth = depth;
    viommu.addQueue(this);
  }

  /** How many events and notices have come so far. */
  get arrivals(): number {
    return this.#arrivals.count;
  }

  /** The event to be read next. */
  get next(): Vevent | undefined {
    return this.#events.first;
  }

  /** Something happened. */
  report(data: Uint8Array): void {
    const noticed = this.#events.length > 0 && this.#events.last?.data === undefined;
    const full = this.#events.length - (noticed ? 1 : 0) === this.#depth;
    if (noticed) this.#events.pop();
    this.#events.push({ sequence: this.#sequence, data: full ? undefined : data });
    this.#sequence = this.#sequence === LAST_SEQUENCE ? 0 : this.#sequence + 1;
    this.#arrivals.add();
  }

  /** The next event has been read. */
  take(): void {
    this.#events.shift();
  }

  destroy(): void {
    this.viommu.removeQueue(this);
  }
}
