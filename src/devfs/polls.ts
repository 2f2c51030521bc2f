/**
 * Polls: the streams that somebody has polled, and who of them is to be woken.
 *
 * One program may poll hundreds of thousands. So they are looked at only when something has come into some
 * stream, a bounded number at a time; who looks goes on where it was. Invariant: a stream into which
 * something has come since the kernel was told last is told of before `wake` returns false, or when its
 * account has rested from being told (linux/wakes.ts).
 */
import { Arrivals } from '../file/arrivals.js';
import type { EventStream } from '../file/open-file.js';
import type { Account } from '../linux/account.js';
import { looksLater, rests, wakeBy } from '../linux/wakes.js';

/** Looked at in one `wake`: some microseconds. */
const AT_ONCE = 512;

/** A stream that somebody has polled. */
interface Polled {
  readonly stream: EventStream;
  /** How the kernel knows the file when it is told of it. */
  readonly kernelHandle: number;
  /** Of its opener. */
  readonly account: Account;
  /** Its arrivals when the kernel was told last. */
  told: number;
}

export class Polls {
  /** By handle. As in the kernel, what was polled once stays here until its release. */
  readonly #polled = new Map<number, Polled>();
  /** Goes round and round. */
  #round = this.#polled.values();
  /** How many are still to be looked at. */
  #left = 0;
  #seen = 0;
  /** Those that something has come into, whose account rests. */
  readonly #resting = new Set<Polled>();

  /** The kernel wants to be told of the file `handle`, which it knows by `kernelHandle`. */
  add(handle: number, stream: EventStream, kernelHandle: number, account: Account): void {
    if (this.#polled.has(handle)) return;
    this.#polled.set(handle, { stream, kernelHandle, account, told: stream.arrivals() });
    // It comes at the end of the round, before those that the round began behind.
    if (this.#left > 0) this.#left++;
  }

  /** The file `handle` is closed. */
  delete(handle: number): void {
    const polled = this.#polled.get(handle);
    if (polled === undefined) return;
    this.#polled.delete(handle);
    this.#resting.delete(polled);
  }

  /**
   * Calls `tell` with the kernel's handles of those into which something has come. @returns whether there are
   * more to be looked at.
   */
  wake(tell: (kernelHandle: number) => void): boolean {
    if (this.#seen !== Arrivals.all) {
      this.#seen = Arrivals.all;
      this.#left = this.#polled.size;
    }
    for (let count = Math.min(this.#left, AT_ONCE); count > 0; count--) {
      const polled = this.#next();
      if (polled === undefined) this.#left = 0;
      else {
        this.#left--;
        this.#look(polled, tell);
      }
    }
    this.#lookAtResting(tell);
    return this.#left > 0;
  }

  #lookAtResting(tell: (kernelHandle: number) => void): void {
    let count = Math.min(this.#resting.size, AT_ONCE);
    for (const polled of this.#resting) {
      if (count-- === 0) break;
      this.#resting.delete(polled);
      this.#look(polled, tell);
    }
    if (this.#resting.size > 0) looksLater();
  }

  #look(polled: Polled, tell: (kernelHandle: number) => void): void {
    const { stream, account, kernelHandle } = polled;
    const arrivals = stream.arrivals();
    if (arrivals === polled.told) return;
    if (rests(account)) {
      this.#resting.add(polled);
      return;
    }
    polled.told = arrivals;
    wakeBy(account, 1, () => tell(kernelHandle));
  }

  /** The next in the round; undefined: there is none. */
  #next(): Polled | undefined {
    const { value, done } = this.#round.next();
    if (!done) return value;
    this.#round = this.#polled.values();
    return this.#round.next().value;
  }
}
