/**
 * The time of a machine's devices, in microseconds from 0, and what is to be done later by it.
 *
 * By itself a clock stands still: a test moves it by `advance`. `Clock.running` goes with real time; whoever
 * serves the machine lets what is due happen by `fire`, and asks `wait` when to come again. Nothing happens
 * inside another call of a device.
 *
 * Invariant: what is to be done is done in the order of its time, and of its asking where times are equal,
 * whichever devices have asked. So what happens does not depend on how often `fire` is called.
 */
import { WatchedLog } from '../iommu/event-log.js';

/** What is to be done at a time. */
export interface Alarm {
  /** Microseconds. */
  readonly time: number;
  /** How many had been asked for before. */
  readonly order: number;
  /** Does it. */
  readonly fire: () => void;
}

const READINGS_KEPT = 1 << 14;

/** The time of devices, in microseconds from 0; one that stands still is moved by `advance`. */
export class Clock {
  /** What those who asked for the time were told, while somebody looks. @internal */
  readonly readings = new WatchedLog<{ readonly time: number }>(READINGS_KEPT);
  readonly #running: (() => number) | undefined;
  /** By their time, the next one last. */
  readonly #alarms: Alarm[] = [];
  #now = 0;
  #asked = 0;

  /** @param running tells the time, which never goes back; absent: it stands still */
  constructor(running?: () => number) {
    this.#running = running;
  }

  /** Real time from now on, in which what devices wait for takes `scale` times as long. */
  static running(scale = 1): Clock {
    const begin = performance.now();
    return new Clock(() => Math.floor(((performance.now() - begin) * 1000) / scale));
  }

  /** Microseconds. */
  get now(): number {
    const now = this.#read();
    if (this.readings.on) this.readings.record({ time: now });
    return now;
  }

  /** Does `fire` at `delay` microseconds from now. @returns what `cancel` takes. */
  after(delay: number, fire: () => void): Alarm {
    const alarm = { time: this.now + delay, order: this.#asked++, fire };
    let at = this.#alarms.length;
    while (at > 0 && this.#alarms[at - 1]!.time <= alarm.time) at--;
    this.#alarms.splice(at, 0, alarm);
    return alarm;
  }

  /** It will not be done; if it has been, that is fine. */
  cancel(alarm: Alarm): void {
    const at = this.#alarms.lastIndexOf(alarm);
    if (at >= 0) this.#alarms.splice(at, 1);
  }

  /** The time of the next; undefined: there is none. */
  get due(): number | undefined {
    return this.#alarms.at(-1)?.time;
  }

  /** Microseconds until then, 0 when it is past. */
  get wait(): number | undefined {
    const { due } = this;
    return due && Math.max(0, due - this.#read());
  }

  /**
   * Does what is due, but not what is asked for meanwhile: others have their turn before. @returns whether
   * there was any.
   */
  fire(): boolean {
    if (!((this.due ?? Number.POSITIVE_INFINITY) <= this.#read())) return false;
    const { now } = this;
    const asked = this.#asked;
    let any = false;
    for (let next = this.#due(now); next !== undefined && next.order < asked; next = this.#due(now)) {
      this.#do(next);
      any = true;
    }
    return any;
  }

  /** Moves a clock that stands still, and does on the way all that is due, each at its time. */
  advance(microseconds: number): void {
    if (this.#running !== undefined) throw new Error('a clock that runs by itself cannot be moved');
    if (!(microseconds >= 0)) throw new RangeError(`a clock cannot be moved by ${microseconds} microseconds`);
    const end = this.#now + microseconds;
    for (let next = this.#due(end); next !== undefined; next = this.#due(end)) {
      this.#now = Math.max(this.#now, next.time);
      this.#do(next);
    }
    this.#now = end;
  }

  #read(): number {
    if (this.#running !== undefined) this.#now = this.#running();
    return this.#now;
  }

  /** The next, when it is due at `time`. */
  #due(time: number): Alarm | undefined {
    const next = this.#alarms.at(-1);
    return next !== undefined && next.time <= time ? next : undefined;
  }

  #do(alarm: Alarm): void {
    this.cancel(alarm);
    alarm.fire();
  }
}
