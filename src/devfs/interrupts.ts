/**
 * Interrupts: the requests that wait for what others do, of which the kernel may say that a signal has come
 * for who makes them (INTERRUPT). Only these are interrupted; whatever else goes on in slices ends by itself.
 */
import type { Pause } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import type { FuseChannel } from './fuse-channel.js';
import { get64, InterruptIn } from './fuse-wire.js';

export class Interrupts {
  readonly #channel: FuseChannel;
  /** Those that wait, by their numbers: has a signal come? */
  readonly #waiting = new Map<number, boolean>();

  constructor(channel: FuseChannel) {
    this.#channel = channel;
  }

  /** The kernel tells of a signal. What waits no more, or never has, is answered soon. */
  arrived(): void {
    const id = get64(this.#channel.request, InterruptIn.unique);
    if (this.#waiting.has(id)) this.#waiting.set(id, true);
  }

  /** Request `id` has done a slice. */
  paused(id: number, pause: false | Pause): void {
    if (pause === 'interruptibly') this.#waiting.set(id, false);
  }

  /** Request `id` goes on. @throws Refusal EINTR a signal has come since it has paused. */
  goesOn(id: number): void {
    const interrupted = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (interrupted) refuse('EINTR', 'a signal has come for who waits');
  }
}
