/**
 * Virtqueue: one queue of a virtio device, as the device sees it: buffers are taken, worked on for as long as
 * that takes, and put back with the number of bytes written.
 *
 * What is put back is shown to the driver at `flush`, all at once; with VIRTIO_F_IN_ORDER in the order in
 * which it was taken, whatever finishes first. A queue that is stopped or broken gives no buffers and takes
 * none back. No more are out than the ring has descriptors.
 */
import type { Effort } from '../effort.js';
import { Chain } from './chain.js';
import { PackedRing } from './packed-ring.js';
import type { Ring, RingLayout } from './ring.js';
import { RingMemory, type VirtioPort } from './ring-memory.js';
import { SplitRing } from './split-ring.js';

/** How a driver has set up a queue. */
export interface QueueSetup extends RingLayout {
  /** VIRTIO_F_RING_PACKED is negotiated. */
  readonly packed: boolean;
  /** VIRTIO_F_IN_ORDER is negotiated. */
  readonly inOrder: boolean;
  /** The address space of rings and buffers. */
  readonly asid: number;
}

/** A queue with a driver: what lives from `start` to `stop`. */
interface Running {
  readonly setup: QueueSetup;
  readonly memory: RingMemory;
  readonly ring: Ring;
  readonly pool: Chain[];
}

/** A queue of a virtio device, as its model has it: buffers are taken and put back. */
export class Virtqueue {
  /** Interrupts that the driver wanted, since the beginning. Whoever has its eventfd compares. @internal */
  interrupts = 0;
  /**
   * Buffers that may still be taken in this slice of work: a driver that never stops gets no more.
   * @internal
   */
  budget = 0;
  /** Was no buffer given in this slice because of its end? There may be more. @internal */
  cut = false;
  readonly #port: VirtioPort;
  readonly #effort: Effort;
  #running: Running | undefined;
  #base = 0;
  /** Buffers that the device has, or that wait for earlier ones. */
  #out = 0;
  /** Used in order: the oldest and the newest of those. */
  #oldest: Chain | undefined;
  #newest: Chain | undefined;

  /** @param effort that of its device. @internal */
  constructor(port: VirtioPort, effort: Effort) {
    this.#port = port;
    this.#effort = effort;
  }

  /** Has it a driver? */
  get running(): boolean {
    return this.#running !== undefined;
  }

  /** Why the queue can go on no more, in one sentence. Undefined: it can, or is stopped. */
  get broken(): string | undefined {
    return this.#running?.memory.broken;
  }

  /** Buffers that were taken and are not put back. */
  get outstanding(): number {
    return this.#out;
  }

  /** Where the ring begins or goes on, as vhost counts it: 16 bits when split, 32 when packed. @internal */
  get base(): number {
    return this.#running?.ring.base ?? this.#base;
  }

  /** A ring that is running goes on there; nothing may be out. @internal */
  set base(value: number) {
    this.#base = value;
    if (this.#running === undefined) return;
    const { memory, setup, pool } = this.#running;
    this.#running = { memory, setup, pool, ring: makeRing(memory, setup, value) };
  }

  /** The driver's ring from `base` on. It must not be running. @internal */
  start(setup: QueueSetup): void {
    const memory = new RingMemory(this.#port, setup.asid);
    this.#running = { setup, memory, ring: makeRing(memory, setup, this.#base), pool: [] };
  }

  /** No access to the ring or a buffer after this; what is out is forgotten. @internal */
  stop(): void {
    this.#base = this.base;
    this.#running?.memory.cut();
    this.#running = undefined;
    this.#out = 0;
    this.#oldest = this.#newest = undefined;
  }

  /** Has the device made as many accesses in this slice of work as it may? @internal */
  get spent(): boolean {
    return this.#effort.spent;
  }

  /** The next buffer that is available; undefined when there is none, or no more in this slice. */
  take(): Chain | undefined {
    const running = this.#running;
    if (running === undefined || running.memory.broken !== undefined) return undefined;
    if (this.budget === 0 || this.#effort.spent) {
      this.cut = true;
      return undefined;
    }
    const chain = running.pool.pop() ?? new Chain(running.memory);
    if (!running.ring.take(chain)) {
      running.pool.push(chain);
      return undefined;
    }
    if (this.#out + chain.slots > running.setup.size) {
      running.memory.fail(`more buffers are available than a ring of ${running.setup.size} can have`);
      return undefined;
    }
    this.budget--;
    this.#out += chain.slots;
    if (running.setup.inOrder) this.#append(chain);
    return chain;
  }

  /** Gives back, untouched, the buffer that was taken last: it will be the next to be taken. */
  untake(chain: Chain): void {
    const running = this.#running;
    if (running === undefined || !chain.isOf(running.memory)) return;
    this.budget++;
    this.#out -= chain.slots;
    if (running.setup.inOrder) {
      if (this.#oldest === chain) this.#oldest = undefined;
      else if (chain.preceding !== undefined) chain.preceding.following = undefined;
      this.#newest = chain.preceding;
    }
    running.ring.untake(chain);
    running.pool.push(chain);
  }

  /** Gives a buffer back, `written` bytes of it written. Not one of before the queue was stopped. */
  put(chain: Chain, written = chain.written): void {
    const running = this.#running;
    if (running === undefined || !chain.isOf(running.memory)) return;
    if (chain.used !== -1) throw new Error('a buffer is put back twice');
    chain.used = written;
    if (!running.setup.inOrder) this.#use(running, chain);
    else
      while (this.#oldest !== undefined && this.#oldest.used !== -1) {
        const oldest = this.#oldest;
        this.#oldest = oldest.following;
        this.#use(running, oldest);
      }
  }

  /** The driver does not keep to the rules of its device: there is no going on with this queue. */
  fail(reason: string): void {
    this.#running?.memory.fail(reason);
  }

  /** Shows the driver what was put back, and interrupts it if it wants that. @internal */
  flush(): void {
    const running = this.#running;
    if (running === undefined || running.memory.broken !== undefined) return;
    if (running.ring.publish()) this.interrupts++;
  }

  /** Appends a buffer that was just taken to those that are out. */
  #append(chain: Chain): void {
    if (this.#oldest === undefined) this.#oldest = chain;
    else {
      chain.preceding = this.#newest;
      this.#newest!.following = chain;
    }
    this.#newest = chain;
  }

  #use({ memory, ring, pool }: Running, chain: Chain): void {
    this.#out -= chain.slots;
    pool.push(chain);
    if (memory.broken === undefined) ring.use(chain, chain.used);
  }
}

function makeRing(memory: RingMemory, setup: QueueSetup, base: number): Ring {
  return setup.packed ? new PackedRing(memory, setup, base) : new SplitRing(memory, setup, base);
}
