/**
 * The work of a device model: done in steps, drained, dropped by a reset; and what becomes of a model that
 * fails.
 *
 * Models are written by people. One that throws has failed, and is not asked to work before it is reset. One
 * that never gets done is reset after a bounded number of steps, since a close may not wait for ever.
 *
 * Nobody is called when a model fails. The number of failures only grows: a driver that owes somebody word of
 * it (VFIO's ERR) compares.
 */
import type { WorkingModel } from '../devices/device-model.js';
import type { Vpasid } from '../iommu/pasid.js';
import { BrokenInvariant, release } from '../linux/invariant.js';

/** Steps that a drain waits for; about ten seconds of work, as a step is at most a millisecond. */
export const DRAIN_STEPS = 10_000;

export class DeviceWork {
  readonly #name: string;
  readonly #model: WorkingModel;
  #failure: string | undefined;
  #failures = 0;

  /** @param name the device's, for the sentence that says how the model has failed */
  constructor(name: string, model: WorkingModel) {
    this.#name = name;
    this.#model = model;
  }

  /** Why the model has failed, or undefined while it works. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** How often it has failed since it was made. */
  get failures(): number {
    return this.#failures;
  }

  /**
   * Lets the model do a slice of its work. @returns false when all of it waits for pages: there is nothing to
   * be done before an answer.
   */
  step(): boolean {
    if (this.#failure !== undefined) return true;
    try {
      return this.#model.step?.() !== false;
    } catch (error) {
      this.fail(error);
      return true;
    }
  }

  /** Is there accepted work, for `vpasid` or at all? */
  busy(vpasid?: Vpasid): boolean {
    if (this.#failure !== undefined) return false;
    try {
      return this.#model.busy?.(vpasid) ?? false;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  /**
   * Waits for accepted work, for `vpasid` or all: when it returns nothing of it is in flight. What waits for
   * a page is not: whoever would answer may be the one who closes. A model that does not get done is reset,
   * since work that is left over would run in whatever address space its number means next.
   */
  drain(vpasid?: Vpasid): void {
    let done = false;
    release([
      () => {
        done = this.#drained(vpasid);
      },
      () => done || this.reset(),
    ]);
  }

  /** Waits for accepted work, and then there is none in any case: the model is as after power-on. */
  stop(): void {
    release([() => this.#drained(undefined), () => this.reset()]);
  }

  /** Drops all work; the model is as after power-on. It has failed when it fails at that. */
  reset(): void {
    this.#failure = undefined;
    try {
      this.#model.reset();
    } catch (error) {
      this.fail(error);
    }
  }

  /** The model has thrown `error`. @throws BrokenInvariant when it is one: it was not the model's fault. */
  fail(error: unknown): void {
    const what = error instanceof Error ? error.message : String(error);
    this.#failure = `the device model of ${this.#name} failed: ${what}`;
    this.#failures++;
    if (error instanceof BrokenInvariant) throw error;
  }

  /** Steps the model until its work is done, or waits for pages. @returns whether it got that far. */
  #drained(vpasid: Vpasid | undefined): boolean {
    for (let steps = 0; steps < DRAIN_STEPS; steps++) {
      if (!this.busy(vpasid) || !this.step()) return true;
    }
    return !this.busy(vpasid);
  }
}
