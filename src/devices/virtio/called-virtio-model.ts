/**
 * CalledVirtioModel: a virtio device model as the system has it, as CalledModel (devices/called-model.ts) is
 * one of a PCI function: nothing of what a user's factory has returned is touched outside of a call of
 * ModelCalls.
 *
 * What the model answers is checked there too, so that past it the types hold: a configuration space stays as
 * long as it was, a group is one of those that there are, a counter is a number.
 */
import { Method } from '../call-words.js';
import { drained } from '../called-model.js';
import { Clock } from '../clock.js';
import type { Drained } from '../device-model.js';
import { DeviceTimers } from '../device-timers.js';
import type { ModelCalls } from '../model-calls.js';
import { checkVirtioModel } from './check-virtio-model.js';
import type { VirtioDescription, VirtioModel } from './virtio-model.js';
import type { Virtqueue } from './virtqueue.js';

export class CalledVirtioModel {
  readonly calls: ModelCalls;
  readonly virtio: VirtioDescription;
  /** Bytes of its configuration space. */
  readonly configSize: number;
  readonly #model: VirtioModel;
  readonly #timers: DeviceTimers;
  /** Does its configuration space ever change by itself? */
  readonly #changes: boolean;
  #configChanges = 0;
  readonly #serve: (queue: Virtqueue, index: number) => void;
  readonly #step: () => boolean | void;
  readonly #busy: () => boolean | undefined;
  readonly #drain: (now?: boolean) => Drained | void;

  /** What `factory` makes. @throws what it throws. @throws Refusal EINVAL as checkVirtioModel. */
  static make(
    calls: ModelCalls,
    factory: () => unknown,
    timers = new DeviceTimers(new Clock(), calls),
  ): CalledVirtioModel {
    return calls.make(() => new CalledVirtioModel(calls, checkVirtioModel(factory()), timers));
  }

  private constructor(calls: ModelCalls, model: VirtioModel, timers: DeviceTimers) {
    this.calls = calls;
    this.#timers = timers;
    this.#model = model;
    const { deviceId, features, queues, queueSize, inOrder, groups } = model.virtio;
    this.virtio = { deviceId, features, queues, queueSize, inOrder, groups } as VirtioDescription;
    this.configSize = model.config.length;
    this.#changes = 'configChanges' in model;
    this.#serve = (queue, index) => model.serve(queue, index);
    this.#step = () => model.step?.();
    this.#busy = () => model.busy?.();
    this.#drain = (now) => model.drain?.(now);
  }

  /** A copy of the configuration space as it is now; zeros when the model has failed at that. */
  get config(): Uint8Array {
    const copied = this.calls.call(Method.CONFIG, undefined, () => {
      const { config } = this.#model;
      if (config instanceof Uint8Array && config.length === this.configSize) return new Uint8Array(config);
      throw new TypeError(`config is not the Uint8Array of ${this.configSize} bytes any more that it was`);
    });
    return copied ?? new Uint8Array(this.configSize);
  }

  /** As VirtioModel.configChanges; what it was when the model fails at saying so. */
  get configChanges(): number {
    if (!this.#changes) return 0;
    this.#configChanges = this.calls.call(Method.CONFIG, this.#configChanges, () => {
      const { configChanges = 0 } = this.#model;
      if (Number.isSafeInteger(configChanges)) return configChanges;
      throw new TypeError(`configChanges is ${String(configChanges)}, which counts nothing`);
    });
    return this.#configChanges;
  }

  writeConfig(offset: number, source: Uint8Array): void {
    const lent = source.slice();
    this.calls.call(Method.WRITE_CONFIG, undefined, () => this.#model.writeConfig?.(offset, lent));
  }

  group(index: number, features: bigint): number {
    return this.calls.call(Method.GROUP, 0, () => {
      const group = this.#model.group?.(index, features) ?? 0;
      const { groups = 1 } = this.virtio;
      if (Number.isInteger(group) && group >= 0 && group < groups) return group;
      throw new RangeError(`queue ${index} is in group ${String(group)}, and there are ${groups}`);
    });
  }

  start(features: bigint, queues: readonly Virtqueue[]): void {
    this.calls.call(Method.START, undefined, () => this.#model.start?.(features, [...queues]));
  }

  serve(queue: Virtqueue, index: number): void {
    this.calls.call(Method.SERVE, undefined, this.#serve, queue, index);
  }

  /** @returns false when all that there is to do waits. */
  step(): boolean {
    return this.calls.call(Method.STEP, true, this.#step) !== false;
  }

  busy(): boolean {
    return Boolean(this.calls.call(Method.BUSY, false, this.#busy));
  }

  /** As VirtioModel.drain. */
  drain(now?: boolean): Drained {
    return drained(this.calls.call(Method.DRAIN, false, this.#drain, now), now);
  }

  /** How many of its timers have come. */
  get timersCome(): number {
    return this.#timers.come;
  }

  reset(): void {
    this.calls.call(Method.RESET, undefined, () => this.#model.reset());
    this.#timers.clear();
  }
}
