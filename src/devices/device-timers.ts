/**
 * The timers of one device: what its model has asked to be called at later, and has not been yet.
 *
 * Each call is one of ModelCalls, like any other. Invariant: a reset leaves no timer, so nothing of a model
 * happens after its device is reset or closed. A drain waits for no time: it lets the timers come early.
 */
import { Method } from './call-words.js';
import { inFactory } from './checks.js';
import type { Alarm, Clock } from './clock.js';
import type { DeviceHost } from './device-model.js';
import type { ModelCalls } from './model-calls.js';

/** Timers of one device that wait. */
const MOST_TIMERS = 4096;

interface DeviceTimer {
  readonly callback: () => void;
  alarm: Alarm | undefined;
}

export class DeviceTimers {
  readonly #clock: Clock;
  readonly #calls: ModelCalls;
  readonly #timers = new Set<DeviceTimer>();
  /** How many have been asked for since the beginning, and how many have come. */
  asked = 0;
  come = 0;

  constructor(clock: Clock, calls: ModelCalls) {
    this.#clock = clock;
    this.#calls = calls;
  }

  get now(): number {
    return this.#clock.now;
  }

  /** As DeviceHost.after. @throws RangeError, TypeError as checkTimer. */
  after(microseconds: number, callback: () => void): () => void {
    checkTimer(microseconds, callback, this.#timers.size);
    this.asked++;
    const timer: DeviceTimer = { callback, alarm: undefined };
    timer.alarm = this.#clock.after(microseconds, () => this.#fire(timer));
    this.#timers.add(timer);
    return () => this.#cancel(timer);
  }

  /** Lets the one come now that has been asked for first. @returns false when there is none. */
  hurry(): boolean {
    const [first] = this.#timers;
    if (first === undefined) return false;
    this.#fire(first);
    return true;
  }

  /** Cancels all. */
  clear(): void {
    for (const timer of this.#timers) this.#cancel(timer);
  }

  #fire(timer: DeviceTimer): void {
    this.#cancel(timer);
    this.come++;
    this.#calls.call(Method.TIMER, undefined, timer.callback);
  }

  #cancel(timer: DeviceTimer): void {
    if (!this.#timers.delete(timer)) return;
    this.#clock.cancel(timer.alarm!);
  }
}

/**
 * The time, as a host has it. @param there is the device there? Before, nobody has given it anything to wait
 * for.
 */
export function timeOf(timers: DeviceTimers, there: () => boolean): Pick<DeviceHost, 'now' | 'after'> {
  return {
    now: () => timers.now,
    after: (microseconds, callback) => (there() ? timers.after(microseconds, callback) : inFactory('after')),
  };
}

/**
 * @param waiting timers of the device that have not come yet
 * @throws RangeError the delay is none, or there are too many; TypeError there is nothing to call.
 */
export function checkTimer(microseconds: unknown, callback: unknown, waiting: number): void {
  if (!(typeof microseconds === 'number' && microseconds >= 0 && microseconds < Number.POSITIVE_INFINITY))
    throw new RangeError(`host.after was given ${String(microseconds)}, not microseconds from 0 up`);
  if (typeof callback !== 'function')
    throw new TypeError(`host.after was given ${typeof callback} to call, not a function`);
  if (waiting >= MOST_TIMERS)
    throw new RangeError(`host.after was called while ${waiting} timers wait, which is the most of a device`);
}
