/**
 * A virtio device with a driver on each queue, in flat memory, for tests of device models.
 *
 * Buffers are allocated one after the other behind the rings, and the memory that the device may touch is
 * that of the rings and of the buffers, nothing else.
 */
import { Clock } from '../devices/clock.js';
import { DeviceTimers } from '../devices/device-timers.js';
import { ModelCalls } from '../devices/model-calls.js';
import { CalledVirtioModel } from '../devices/virtio/called-virtio-model.js';
import { Feature, Status } from '../devices/virtio/features.js';
import { VirtioDevice } from '../devices/virtio/virtio-device.js';
import type { VirtioModel } from '../devices/virtio/virtio-model.js';
import { FlatMemory } from './flat-memory.js';
import { drivers, type Part, type RingDriver } from './ring-driver.js';

export interface VirtioSceneOptions {
  readonly format?: keyof typeof drivers;
  readonly size?: number;
  readonly eventIndex?: boolean;
  readonly inOrder?: boolean;
  /** Features to negotiate beside those of the ring. Default: all of the device's own. */
  readonly features?: bigint;
  readonly memory?: number;
  /** Bytes of files go straight to memory. Default: they do not. */
  readonly places?: boolean;
  /** What its timers go by. Default: one that nobody moves. */
  readonly clock?: Clock;
}

const RING_BYTES = 0x2000;

export class VirtioScene {
  readonly memory: FlatMemory;
  readonly device: VirtioDevice;
  drivers: readonly RingDriver[] = [];
  readonly #options: VirtioSceneOptions;
  #free: number;

  /** @param model or what makes it, with the timers of its host */
  constructor(
    model: VirtioModel | ((timers: DeviceTimers) => VirtioModel),
    options: VirtioSceneOptions = {},
  ) {
    this.#options = options;
    this.memory = new FlatMemory(options.memory ?? 1 << 20, 0);
    this.memory.places = options.places ?? false;
    const calls = new ModelCalls('vhost-vdpa-0');
    const timers = new DeviceTimers(options.clock ?? new Clock(), calls);
    const make = () => (typeof model === 'function' ? model(timers) : model);
    const called = CalledVirtioModel.make(calls, make, timers);
    this.device = new VirtioDevice(called, this.memory);
    this.#free = this.device.queues.length * RING_BYTES;
    this.start();
  }

  /** Makes new rings and the device ready, as a driver does after a reset (virtio 1.3 §3.1.1). */
  start(): void {
    const { format = 'split', size = 64, eventIndex = true, inOrder = false, features } = this.#options;
    const { device, memory } = this;
    memory.bytes.fill(0, 0, device.queues.length * RING_BYTES);
    memory.rights.fill(3, 0, device.queues.length * RING_BYTES);
    device.status = Status.ACKNOWLEDGE | Status.DRIVER;
    const ring = (eventIndex ? Feature.EVENT_IDX : 0n) | (format === 'packed' ? Feature.RING_PACKED : 0n);
    const order = inOrder ? Feature.IN_ORDER : 0n;
    const own = features ?? device.offered & 0xffffffn;
    device.accept(own | ring | order | Feature.VERSION_1 | Feature.ACCESS_PLATFORM);
    device.status = device.status | Status.FEATURES_OK;
    this.drivers = device.queues.map((queue, index) => {
      const driver = new drivers[format](memory, { size, eventIndex, inOrder, at: index * RING_BYTES });
      queue.base = driver.base;
      device.startQueue(index, driver.setup);
      return driver;
    });
    device.status = device.status | Status.DRIVER_OK;
  }

  /** A part of a buffer with these bytes for the device to read. */
  out(bytes: Uint8Array): Part {
    const iova = this.#allocate(bytes.length);
    this.memory.bytes.set(bytes, iova);
    this.memory.rights.fill(1, iova, iova + bytes.length);
    return { iova, length: bytes.length, write: false };
  }

  /** A part of a buffer for the device to write. */
  in(length: number): Part {
    const iova = this.#allocate(length);
    this.memory.bytes.fill(0xee, iova, iova + length);
    this.memory.rights.fill(2, iova, iova + length);
    return { iova, length, write: true };
  }

  /** What the memory of a part holds now. */
  bytesOf({ iova, length }: Part): Uint8Array {
    return this.memory.bytes.slice(iova, iova + length);
  }

  /** Makes a buffer available in queue `index` and kicks. @returns its id. */
  offer(index: number, ...parts: Part[]): number {
    const id = this.drivers[index]!.offer(parts);
    if (id === -1) throw new Error(`queue ${index} has no room`);
    this.drivers[index]!.publish();
    this.device.kick(index);
    return id;
  }

  /** Lets the device work until it has nothing left to do, waiting for what goes on elsewhere. */
  async settle(): Promise<void> {
    for (let turns = 0; this.device.busy(); turns++) {
      if (turns > 100_000) throw new Error('the device is still busy');
      if (!this.device.step()) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #allocate(length: number): number {
    const iova = this.#free;
    this.#free += length + 16;
    if (this.#free > this.memory.bytes.length) throw new Error('the memory of the scene is full');
    return iova;
  }
}
