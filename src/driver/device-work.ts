/**
 * The work of a device model: done in steps, drained, dropped by a reset.
 *
 * A model that has failed (devices/model-calls.ts) is not asked to work before it is reset. One that never
 * gets done is reset after a bounded number of steps, since a close may not wait for ever.
 */
import type { CalledWork } from '../devices/called-model.js';
import type { ModelCalls } from '../devices/model-calls.js';
import type { Work } from '../file/work.js';
import type { Vpasid } from '../iommu/pasid.js';
import { settleFileWaits } from '../linux/file-waits.js';

/** Steps that a drain waits for; about ten seconds of work, as a step is at most a millisecond. */
const DRAIN_STEPS = 10_000;

/** What a driver has of a model: its calls (devices/called-model.ts). */
export type WorkingDevice = Pick<CalledWork, 'calls' | 'step' | 'busy' | 'drainSome' | 'reset'> &
  Partial<Pick<CalledWork, 'hurry'>>;

export class DeviceWork {
  readonly #device: WorkingDevice;

  constructor(device: WorkingDevice) {
    this.#device = device;
  }

  /** How the model is called. */
  get calls(): ModelCalls {
    return this.#device.calls;
  }

  /**
   * Lets the model do a slice of its work. @returns false when all of it waits for pages: there is nothing to
   * be done before an answer.
   */
  step(): boolean {
    try {
      return this.#device.step();
    } finally {
      settleFileWaits();
    }
  }

  /** Is there accepted work, for `vpasid` or at all? */
  busy(vpasid?: Vpasid): boolean {
    return this.#device.busy(vpasid);
  }

  /**
   * Waits for accepted work, for `vpasid` or all: when it returns nothing of it is in flight. What waits for
   * a page is not: whoever would answer may be the one who closes. A model that does not get done is reset,
   * since work that is left over would run in whatever address space its number means next.
   */
  *drain(vpasid?: Vpasid): Work<void> {
    let done = false;
    try {
      done = (yield* this.#drained(vpasid)) && (yield* this.#ended(vpasid));
    } finally {
      if (!done) this.reset();
    }
  }

  /** Waits for accepted work, and then there is none in any case: the model is as after power-on. */
  *stop(): Work<void> {
    try {
      yield* this.#drained(undefined);
    } finally {
      this.reset();
    }
  }

  /** Drops all work; the model is as after power-on. It has failed when it fails at that. */
  reset(): void {
    this.calls.recover();
    this.#device.reset();
  }

  /**
   * Has the model end what waits for anything but pages, or waits for it. @returns whether it got that far.
   */
  *#ended(vpasid: Vpasid | undefined): Work<boolean> {
    let now: true | undefined;
    for (let steps = 0; steps < DRAIN_STEPS; ) {
      const left = this.#device.drainSome(vpasid, now);
      if (left === false) return true;
      if (left !== 'waits') steps++;
      now = yield left === 'waits' ? left : undefined;
    }
    return false;
  }

  /**
   * Steps the model, and lets its timers come, until its work is done or waits for pages. @returns whether it
   * got that far.
   */
  *#drained(vpasid: Vpasid | undefined): Work<boolean> {
    for (let steps = 0; steps < DRAIN_STEPS; steps++) {
      if (!this.busy(vpasid)) return true;
      const moved = this.step();
      if (!(this.busy(vpasid) && this.#device.hurry?.()) && !moved) return true;
      yield;
    }
    return !this.busy(vpasid);
  }
}
