/**
 * Vring: what a program has set of one queue: its size and its areas (struct vhost_vring_addr), and the
 * eventfds by which it kicks, is called and hears of errors. Each eventfd that is held here is closed exactly
 * once.
 */
import type { Doorbell, Signal } from '../file/open-file.js';
import { hex, refuse } from '../linux/errno.js';

/** Flags of vhost_vring_addr: writes are to be logged, which concerns other backends. */
const LOG = 1;

/** struct vhost_vring_addr without its index. Addresses are IOVAs. */
export interface VringAddresses {
  readonly flags: number;
  readonly descriptors: bigint;
  readonly used: bigint;
  readonly available: bigint;
  readonly log: bigint;
}

/** Eventfds of a queue that the program waits for, by what they are for. */
export type VringSignal = 'call' | 'error';

/** @throws Refusal EOPNOTSUPP for unknown flags; EINVAL for what is not aligned. */
export function checkAddresses({ flags, used, available, log }: VringAddresses): void {
  if ((flags & ~LOG) !== 0) refuse('EOPNOTSUPP', `flags ${hex(flags)} of a ring's addresses are not known`);
  for (const [what, address, alignment] of [
    ['available ring', available, 2n],
    ['used ring', used, 4n],
    ['log', log, 4n],
  ] as const)
    if (address % alignment !== 0n)
      refuse('EINVAL', `the ${what} at ${hex(address)} is not aligned to ${alignment} bytes`);
}

export class Vring {
  /** Descriptors; 0: nobody has said. */
  size = 0;
  descriptors = 0;
  driver = 0;
  device = 0;
  enabled = false;
  /** Interrupts of the queue that the program was told of. */
  told = 0;
  /** Microseconds to wait for more before sleeping. It is kept; nothing here polls. */
  busyLoop = 0;
  #doorbell: Doorbell | undefined;
  /** Its rings that were heard. */
  #heard = 0;
  readonly #signals: Partial<Record<VringSignal, Signal>> = {};

  /** @throws Refusal EINVAL no power of two from 1 to `most`. */
  setSize(size: number, most: number): void {
    if (size === 0 || (size & (size - 1)) !== 0 || size > most)
      refuse('EINVAL', `a ring of ${size} descriptors is not a power of two from 1 to ${most}`);
    this.size = size;
  }

  /** @param addresses what `checkAddresses` has let pass. */
  setAddresses({ descriptors, used, available }: VringAddresses): void {
    // What is wider than a number holds exactly is wider than an IOVA, too, and faults.
    this.descriptors = Number(descriptors);
    this.device = Number(used);
    this.driver = Number(available);
  }

  /** `signal` is taken over; undefined: there is none any more. */
  setSignal(kind: VringSignal, signal: Signal | undefined): void {
    this.#signals[kind]?.close();
    delete this.#signals[kind];
    if (signal !== undefined) this.#signals[kind] = signal;
  }

  /** The eventfd by which the program kicks, which is taken over; undefined: there is none any more. */
  setDoorbell(doorbell: Doorbell | undefined): void {
    this.#doorbell?.close();
    this.#doorbell = doorbell;
    this.#heard = 0;
  }

  /** Hears kicks that the event loop has not come to yet. */
  listen(): void {
    this.#doorbell?.listen();
  }

  /** Was the queue kicked since this was asked last? */
  hear(): boolean {
    if (this.#doorbell === undefined || this.#doorbell.rings === this.#heard) return false;
    this.#heard = this.#doorbell.rings;
    return true;
  }

  /** @returns false when there is no eventfd for it. */
  raise(kind: VringSignal): boolean {
    this.#signals[kind]?.raise();
    return this.#signals[kind] !== undefined;
  }

  /** As after power-on, but for the eventfds. */
  reset(): void {
    this.size = this.descriptors = this.driver = this.device = 0;
    this.enabled = false;
  }

  close(): void {
    this.reset();
    this.busyLoop = 0;
    this.setDoorbell(undefined);
    for (const kind of ['call', 'error'] as const) this.setSignal(kind, undefined);
  }
}
