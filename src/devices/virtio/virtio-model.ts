/**
 * What a virtio device model is: the interface that people implement to make a new one, whatever carries it.
 *
 * A model says what it is, has a configuration space, and works on buffers that it takes from its queues and
 * puts back. It never sees an address: buffers are byte ranges (Chain). Everything runs on one thread; a
 * model does a bounded slice of work in each call, and finds in `step` what has ended elsewhere in the
 * meantime.
 */
import type { DeviceOptions, Drained } from '../device-model.js';
import type { Outside } from '../outside.js';
import type { Wires } from '../wire.js';
import type { Virtqueue } from './virtqueue.js';

/** What a device is; it does not change. */
export interface VirtioDescription {
  /** virtio 1.3 §5: 1 network, 2 block, 4 entropy, ... */
  readonly deviceId: number;
  /** The feature bits of its type (0 to 23 and 50 to 127). Those of rings and transport are added. */
  readonly features: bigint;
  /** Queues, whatever is negotiated. */
  readonly queues: number;
  /** The most descriptors of a queue: a power of two up to 32768. Default 256. */
  readonly queueSize?: number;
  /** It can use buffers in order without waiting for slow ones: VIRTIO_F_IN_ORDER is offered. */
  readonly inOrder?: boolean;
  /** Groups of queues that can have address spaces of their own. Default 1. */
  readonly groups?: number;
}

/** A virtio device model. All methods are called on the one thread, never re-entered. */
export interface VirtioModel {
  /** What it is; read once, when it is made. */
  readonly virtio: VirtioDescription;

  /** The configuration space, as the driver reads it now; little-endian, always of the same length. */
  readonly config: Uint8Array;

  /** A number that grows when the device has changed its configuration space. Absent: it never does. */
  readonly configChanges?: number;

  /** The driver writes `source` at `offset` of the configuration space, inside it. Absent: it cannot. */
  writeConfig?(offset: number, source: Uint8Array): void;

  /** The group of queue `index` when `features` are negotiated. Absent: 0. */
  group?(index: number, features: bigint): number;

  /** The driver is ready (DRIVER_OK), with these features. Queues that it does not use give no buffers. */
  start?(features: bigint, queues: readonly Virtqueue[]): void;

  /**
   * The driver has made buffers available in `queue`, or has when `take` last stopped at the budget. Takes
   * and puts back until `take` gives nothing, or leaves the rest for `step`. Flushing is done for it.
   */
  serve(queue: Virtqueue, index: number): void;

  /**
   * Works on what `busy` is about, for a bounded time. @returns false when it can only wait. Absent: no-op.
   */
  step?(): boolean | void;

  /** Is there accepted work that may still touch a buffer, beside what `serve` will be called for? */
  busy?(): boolean;

  /**
   * Ends such work, a bounded part of it in each call. Absent: there is none.
   * @param now as of WorkingModel.drain.
   * @returns as WorkingModel.drain. When nothing is left no buffer is out.
   */
  drain?(now?: boolean): Drained | void;

  /** As after power-on, all work dropped; its queues have been stopped. */
  reset(): void;
}

/** What a virtio device may use beside its queues. Handed to the model's factory. */
export interface VirtioHost {
  /** Where relative paths in options begin. */
  readonly baseDirectory: string;
  /** The network cables of the machine, by their names. */
  readonly wires: Wires;
  /** Its disks, and random numbers. @internal */
  readonly outside: Outside;
  /** As DeviceHost.note. */
  note(sentence: string): void;
  /** As DeviceHost.now. */
  now(): number;
  /**
   * As DeviceHost.after, but that a drain does not hurry it: what the model puts back then the driver sees.
   * A device that is suspended gets its timers too, and no buffers.
   */
  after(microseconds: number, callback: () => void): () => void;
}

/**
 * What a module of a virtio device exports by default, beside `export const transport = 'virtio'`. Throws an
 * Error with one sentence when an option is wrong.
 */
export type VirtioFactory = (host: VirtioHost, options: DeviceOptions) => VirtioModel;
