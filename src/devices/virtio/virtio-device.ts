/**
 * VirtioDevice: the part of a virtio device that all have in common, around a model: status, features,
 * queues, kicks (virtio 1.3 §2). Whatever carries it (vhost-vdpa, say) drives it by these methods and looks
 * at numbers that only grow to learn of interrupts.
 *
 * A kick marks a queue; `step` does the work, a slice at a time. Once a queue is broken, or the model has
 * failed, the device needs a reset: it says so in its status and touches nothing any more.
 */
import { hex } from '../../linux/errno.js';
import type { Drained } from '../device-model.js';
import { Effort } from '../effort.js';
import type { ModelCalls } from '../model-calls.js';
import type { CalledVirtioModel } from './called-virtio-model.js';
import { COMMON_FEATURES, Feature, has, Status } from './features.js';
import type { VirtioPort } from './ring-memory.js';
import { Virtqueue } from './virtqueue.js';

/** Buffers of one queue that are taken in one step: about a millisecond of small ones. */
const BUDGET = 256;
const DEFAULT_QUEUE_SIZE = 256;
/** Calls in which a model ends its work: more than there are buffers in all its queues. */
const MOST_DRAINS = 1 << 20;

/** How a driver has set up a queue: its size, its three areas as IOVAs, its address space. */
export interface QueueAddresses {
  readonly size: number;
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
  readonly asid: number;
}

export class VirtioDevice {
  /** What can be accepted. */
  readonly offered: bigint;
  readonly queues: readonly Virtqueue[];
  /** Why the device needs a reset, in one sentence. */
  needsReset: string | undefined;
  readonly #model: CalledVirtioModel;
  /** For each queue: 1 when it was kicked, or was left with buffers. */
  readonly #pending: Uint8Array;
  /** Shared by all queues. */
  readonly #effort: Effort;
  /** The queue that is served first: the next one each time, since one may use up the effort of a step. */
  #first = 0;
  #features = 0n;
  #status = 0;
  #suspended = false;
  #draining = false;
  /** Calls of the drain that goes on. */
  #drains = 0;
  /** Configuration interrupts for other reasons than a change. */
  #alarms = 0;
  /** Changes of the configuration space that a step has seen, and timers that had come before it. */
  #seen = 0;
  #come = 0;

  constructor(model: CalledVirtioModel, port: VirtioPort) {
    const { features, queues, inOrder } = model.virtio;
    this.#model = model;
    this.offered = features | COMMON_FEATURES | (inOrder === true ? Feature.IN_ORDER : 0n);
    this.#effort = new Effort(port);
    this.queues = Array.from({ length: queues }, () => new Virtqueue(port, this.#effort));
    this.#pending = new Uint8Array(queues);
  }

  /** How its model is called. */
  get calls(): ModelCalls {
    return this.#model.calls;
  }

  get deviceId(): number {
    return this.#model.virtio.deviceId;
  }

  /** The most descriptors of a queue. */
  get queueSize(): number {
    return this.#model.virtio.queueSize ?? DEFAULT_QUEUE_SIZE;
  }

  get groups(): number {
    return this.#model.virtio.groups ?? 1;
  }

  /** The group of queue `index`, as features are negotiated now. */
  groupOf(index: number): number {
    return this.#model.group(index, this.#features);
  }

  get features(): bigint {
    return this.#features;
  }

  /** Those of `features` that are offered are negotiated. Not after FEATURES_OK. */
  accept(features: bigint): void {
    const strange = features & ~this.offered;
    if (strange !== 0n)
      this.calls.note(`of the driver's features ${hex(features)} those in ${hex(strange)} are not offered`);
    this.#features = features & this.offered;
  }

  get status(): number {
    return this.#status;
  }

  /** The driver writes the device status (§2.1, §3.1). 0 resets. */
  set status(value: number) {
    if (value === 0) {
      this.reset();
      return;
    }
    const starts = (value & ~this.#status & Status.DRIVER_OK) !== 0;
    if (starts && (value & Status.FEATURES_OK) === 0)
      this.calls.note(
        `the driver is ready without FEATURES_OK, in status ${hex(value)}: nothing is agreed on`,
      );
    this.#status = value | (this.#status & Status.NEEDS_RESET);
    if (starts) this.#model.start(this.#features, this.queues);
  }

  get suspended(): boolean {
    return this.#suspended;
  }

  /** Bytes of its configuration space. */
  get configSize(): number {
    return this.#model.configSize;
  }

  /** A copy of the configuration space as it is now. */
  get config(): Uint8Array {
    return this.#model.config;
  }

  /** Changes of the configuration space since the beginning (§2.5: its generation). */
  get configGeneration(): number {
    return this.#model.configChanges;
  }

  /** Configuration interrupts since the beginning. Whoever has the eventfd compares. */
  get configInterrupts(): number {
    return this.configGeneration + this.#alarms;
  }

  /** Writes a part of the configuration space that lies inside it; devices ignore what cannot be written. */
  writeConfig(offset: number, source: Uint8Array): void {
    this.#model.writeConfig(offset, source);
  }

  /** Queue `index` has a driver now. It begins at its `base`. */
  startQueue(index: number, addresses: QueueAddresses): void {
    const queue = this.queues[index]!;
    if (queue.running) queue.stop();
    queue.start({
      ...addresses,
      eventIndex: has(this.#features, Feature.EVENT_IDX),
      packed: has(this.#features, Feature.RING_PACKED),
      inOrder: has(this.#features, Feature.IN_ORDER),
    });
  }

  /** Queue `index` has none: what was taken from it is finished first. */
  stopQueue(index: number): void {
    if (this.queues[index]!.outstanding > 0) this.drain();
    this.queues[index]!.stop();
    this.#pending[index] = 0;
  }

  /** The driver says that there are buffers in queue `index`. Nobody hears it before DRIVER_OK. */
  kick(index: number): void {
    if ((this.#status & Status.DRIVER_OK) === 0)
      this.calls.note(
        `queue ${index} is kicked before DRIVER_OK, in status ${hex(this.#status)}: nobody hears`,
      );
    this.#mark(index);
  }

  #mark(index: number): void {
    if (this.#works && this.queues[index]?.running === true) this.#pending[index] = 1;
  }

  /** Is there something to do, or under way? */
  busy(): boolean {
    if (!this.#works || this.#suspended || this.#draining) return false;
    if (this.#pending.includes(1) || this.configGeneration !== this.#seen) return true;
    // What a timer has put back is shown by a step.
    if (this.#model.timersCome !== this.#come) return true;
    return this.#model.busy();
  }

  /** Works for a bounded time. @returns false when all that is left has to wait for something else. */
  step(): boolean {
    if (!this.busy()) return false;
    this.#seen = this.configGeneration;
    this.#come = this.#model.timersCome;
    this.#effort.begin();
    for (const queue of this.queues) {
      queue.budget = BUDGET;
      queue.cut = false;
    }
    this.#serve();
    // What was taken now and is done already is shown with the rest.
    const goesOn = this.#model.busy() && this.#model.step();
    if (this.#failed) return false;
    for (const [index, queue] of this.queues.entries()) this.#pending[index] = queue.cut ? 1 : 0;
    this.#flush();
    return goesOn || this.#pending.includes(1);
  }

  /** Has the model serve the queues that were kicked, or were left with buffers. */
  #serve(): void {
    const count = this.queues.length;
    if (++this.#first >= count) this.#first = 0;
    for (let n = 0; n < count; n++) {
      const index = (this.#first + n) % count;
      if (this.#pending[index] === 1) this.#model.serve(this.queues[index]!, index);
    }
  }

  /** The device can go on no more, for `reason`, and says so (§2.1.2). The first reason stays. */
  fail(reason: string): void {
    if (this.needsReset !== undefined) return;
    this.needsReset = reason;
    this.#status |= Status.NEEDS_RESET;
    this.#alarms++;
  }

  /** Ends what is under way, at once: no buffer is out afterwards, and none is taken. */
  drain(): void {
    while (this.drainSome(undefined, true));
  }

  /**
   * As `drain`, a bounded part of it. Nothing else is done until all is. @returns what is left
   * (WorkingModel.drain, where `now` is explained too).
   */
  drainSome(_asid?: number, now = false): Drained {
    if (!this.#works) return false;
    this.#effort.begin();
    for (const queue of this.queues) queue.budget = 0;
    const left = this.#model.drain(now);
    this.#draining = left !== false;
    if (left !== 'waits') this.#drains = left ? this.#drains + 1 : 0;
    if (this.#drains === MOST_DRAINS)
      this.calls.fail(new Error(`drain has more to do after ${MOST_DRAINS} calls`));
    if (this.#failed) this.#draining = false;
    else this.#flush();
    return this.#draining && left;
  }

  /** Stops working, with nothing under way; kicks are remembered. */
  suspend(): void {
    if (!this.#suspended) this.drain();
    this.#suspended = true;
  }

  /** Goes on; all queues are looked at. */
  resume(): void {
    if (!this.#suspended) return;
    this.#suspended = false;
    for (let index = 0; index < this.queues.length; index++) this.#mark(index);
  }

  /**
   * As after power-on (§2.4): queues have no drivers, no buffer is touched, what was under way is dropped.
   */
  reset(): void {
    for (const queue of this.queues) {
      queue.stop();
      queue.base = 0;
    }
    this.#pending.fill(0);
    this.#status = 0;
    this.#features = 0n;
    this.#suspended = this.#draining = false;
    this.needsReset = undefined;
    this.#model.reset();
  }

  get #works(): boolean {
    return (this.#status & Status.DRIVER_OK) !== 0 && this.needsReset === undefined && !this.#failed;
  }

  get #failed(): boolean {
    return this.calls.failure !== undefined;
  }

  /** Shows drivers what was used. The first queue that is broken is the end of the work (§2.1.2). */
  #flush(): void {
    for (const [index, queue] of this.queues.entries()) {
      queue.flush();
      if (queue.broken !== undefined) this.fail(`queue ${index}: ${queue.broken}`);
    }
  }
}
