/**
 * CalledModel: a device model as the system has it. Whatever is asked of it is a call of ModelCalls.
 *
 * Invariant: nothing of what a user's factory has returned is touched outside of such a call, not even a
 * property, which may be an accessor. What does not change is copied when the model is made. So what a model
 * throws, returns against the rules, or never returns from, is its own failure and has its name. There is no
 * other way to a model: it is private here, and drivers take nothing else.
 */
import { Method } from './call-words.js';
import { checkModel, checkPciDescription } from './check-model.js';
import { Clock } from './clock.js';
import type { DeviceModel, Drained, MdevSupport, PciDescription, WorkingModel } from './device-model.js';
import { DeviceTimers } from './device-timers.js';
import { type ModelCalls, ofModel } from './model-calls.js';

/** Of a register, in characters. */
const LONGEST_NAME = 64;

/** A model that works by itself. A failed one has nothing to do. */
export class CalledWork {
  readonly calls: ModelCalls;
  readonly #timers: DeviceTimers;
  readonly #step: () => boolean | void;
  readonly #busy: (vpasid?: number) => boolean | undefined;
  readonly #reset: () => void;
  readonly #drain: (vpasid?: number, now?: boolean) => Drained | void;

  constructor(calls: ModelCalls, model: WorkingModel, timers = new DeviceTimers(new Clock(), calls)) {
    this.calls = calls;
    this.#timers = timers;
    this.#step = () => model.step?.();
    this.#busy = (vpasid) => model.busy?.(vpasid);
    this.#reset = () => model.reset();
    this.#drain = (vpasid, now) => model.drain?.(vpasid, now);
  }

  /** As WorkingModel.step. @returns false when all that there is to do waits. */
  step(): boolean {
    return this.calls.call(Method.STEP, true, this.#step) !== false;
  }

  busy(vpasid?: number): boolean {
    return Boolean(this.calls.call(Method.BUSY, false, this.#busy, vpasid));
  }

  /** As WorkingModel.drain. A model that waits in spite of `now` has more to do. */
  drainSome(vpasid?: number, now?: boolean): Drained {
    return drained(this.calls.call(Method.DRAIN, false, this.#drain, vpasid, now), now);
  }

  /** Lets its next timer come now. @returns false when there is none. */
  hurry(): boolean {
    return this.#timers.hurry();
  }

  reset(): void {
    this.calls.call(Method.RESET, undefined, this.#reset);
    this.#timers.clear();
  }
}

export class CalledModel extends CalledWork {
  readonly pci: PciDescription;
  readonly mdev: MdevSupport | undefined;
  readonly #readBar: DeviceModel['readBar'];
  readonly #writeBar: DeviceModel['writeBar'];
  readonly #registerName: (bar: number, offset: number) => string | undefined;

  /** What `factory` makes. @throws what it throws. @throws Refusal EINVAL as checkModel. */
  static make(calls: ModelCalls, factory: () => unknown, timers?: DeviceTimers): CalledModel {
    return calls.make(() => new CalledModel(calls, copied(factory()), timers));
  }

  private constructor(calls: ModelCalls, { model, pci, mdev }: Copied, timers?: DeviceTimers) {
    super(calls, model, timers);
    this.pci = pci;
    this.mdev = mdev;
    this.#readBar = (bar, offset, target) => model.readBar(bar, offset, target);
    this.#writeBar = (bar, offset, source) => model.writeBar(bar, offset, source);
    this.#registerName = (bar, offset) => model.registerName?.(bar, offset);
  }

  /** As DeviceModel.readBar; `target` stays as it is when the model has failed. */
  readBar(bar: number, offset: number, target: Uint8Array): void {
    // The model may keep, change and transfer what it is lent: `target` is of a buffer that all programs
    // share.
    const lent = new Uint8Array(target.length);
    this.calls.access(Method.READ_BAR, bar, offset, target.length);
    this.calls.call(Method.READ_BAR, undefined, this.#readBar, bar, offset, lent);
    if (lent.length !== target.length)
      this.calls.fail(ofModel('readBar transferred the buffer that it was to fill'));
    if (this.calls.failure === undefined) target.set(lent);
  }

  /** As DeviceModel.writeBar. @returns false when the device cannot take it now. */
  writeBar(bar: number, offset: number, source: Uint8Array): boolean {
    const lent = source.slice();
    this.calls.access(Method.WRITE_BAR, bar, offset, lent.length, lent);
    return this.calls.call(Method.WRITE_BAR, undefined, this.#writeBar, bar, offset, lent) !== false;
  }

  /** As DeviceModel.registerName. */
  registerName(bar: number, offset: number): string | undefined {
    const name: unknown = this.calls.call(Method.REGISTER_NAME, undefined, this.#registerName, bar, offset);
    return typeof name === 'string' ? name.slice(0, LONGEST_NAME) : undefined;
  }
}

/** What a model's drain has said. */
export function drained(said: unknown, now = false): Drained {
  return said === 'waits' && !now ? said : said === true || said === 'waits';
}

/** A model, and what does not change of it. */
interface Copied {
  readonly model: DeviceModel;
  readonly pci: PciDescription;
  readonly mdev: MdevSupport | undefined;
}

function copied(made: unknown): Copied {
  const model = checkModel(made);
  const pci = plain(model.pci);
  checkPciDescription(pci);
  const { mdev } = model;
  return { model, pci, mdev: mdev && { max: mdev.max, create: (index, host) => mdev.create(index, host) } };
}

/** A copy of what is data; memory is what it is. */
function plain<T>(value: T): T {
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(plain) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)])) as T;
}
