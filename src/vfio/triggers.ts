/**
 * Triggers: the eventfds of the vectors of MSI or of MSI-X.
 *
 * Invariant: each Signal that is held here is closed exactly once: when it is replaced or taken away, or in
 * `clear`.
 */
import type { Caller, Signal } from '../file/open-file.js';
import type { Work } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import type { IrqData } from './irq-request.js';

/** Eventfds that are assigned in a slice: each takes some 50 µs. */
const AT_ONCE = 16;

export class Triggers {
  /** How often the first vector got or lost an eventfd. */
  firstChanged = 0;
  readonly #kind: string;
  #signals: (Signal | undefined)[] = [];

  /** @param kind the kind's name, in reasons */
  constructor(kind: string) {
    this.#kind = kind;
  }

  /** Makes room for `vectors`; none has an eventfd. */
  open(vectors: number): void {
    this.#signals = new Array<Signal | undefined>(vectors).fill(undefined);
  }

  /** Gives all eventfds back, and has no room any more. */
  clear(): void {
    for (const signal of this.#signals) signal?.close();
    this.#signals = [];
  }

  has(vector: number): boolean {
    return this.#signals[vector] !== undefined;
  }

  /** @returns whether the vector has an eventfd, which was raised. */
  raise(vector: number): boolean {
    const signal = this.#signals[vector];
    signal?.raise();
    return signal !== undefined;
  }

  /**
   * Assigns the caller's eventfds `fds` to the vectors from `start` on; a negative one takes away. As
   * vfio-pci does it, a vector loses the one before first, and when an eventfd is refused, those of the
   * request that came before it have none either. In slices, as a device may have 2,048 vectors.
   * @throws Refusal EINVAL when there is no room for a vector; and as Caller.eventfd.
   */
  *assign(start: number, fds: Int32Array, caller: Caller): Work<void> {
    for (const [n, fd] of fds.entries()) {
      if (n > 0 && n % AT_ONCE === 0) yield;
      this.#put(start + n, undefined);
      if (fd < 0) continue;
      try {
        this.#checkRoom(start + n);
        this.#put(start + n, caller.eventfd(fd));
      } catch (refusal) {
        for (let vector = start; vector < start + n; vector++) this.#put(vector, undefined);
        throw refusal;
      }
    }
  }

  /** The program triggers vectors itself: all from `start` on, or those that are flagged. */
  loopBack(start: number, count: number, data: IrqData): void {
    for (let n = 0; n < count; n++) if (data.kind !== 'bool' || data.bools[n] !== 0) this.raise(start + n);
  }

  #put(vector: number, signal: Signal | undefined): void {
    if (vector >= this.#signals.length) return;
    const before = this.#signals[vector];
    if (vector === 0 && (before !== undefined || signal !== undefined)) this.firstChanged++;
    before?.close();
    this.#signals[vector] = signal;
  }

  #checkRoom(vector: number): void {
    const { length } = this.#signals;
    if (vector >= length)
      refuse('EINVAL', `vector ${vector} is past the ${length} that ${this.#kind} was enabled with`);
  }
}
