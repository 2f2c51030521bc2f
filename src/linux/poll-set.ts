/**
 * PollSet: a few descriptors of which one call says which are readable (poll(2)). Each is told by its place.
 *
 * It is no epoll set, because some of them are: whoever adds to an epoll set that is itself in another one
 * takes a lock of the whole system. Any program may have that for as long as it likes, by adding a file whose
 * FUSE server does not answer. So none that this process adds to may be in another.
 */
import { addressOf, libc } from './ffi.js';

const POLLIN = 1;
/** The descriptor is not open (any more). */
const POLLNVAL = 32;
/** Words of the smallest array that does not move. */
const LEAST_WORDS = 32;

export class PollSet {
  /** Of struct pollfd: the descriptor, then what is asked, and, in the upper half, what is found. */
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #count: number;

  /** @param fds those that are -1 are left out. */
  constructor(fds: readonly number[]) {
    this.#count = fds.length;
    this.#words = new Int32Array(Math.max(LEAST_WORDS, 2 * fds.length));
    this.#bytes = new Uint8Array(this.#words.buffer);
    for (const [place, fd] of fds.entries()) {
      this.#words[2 * place] = fd;
      this.#words[2 * place + 1] = POLLIN;
    }
  }

  /** Waits up to `timeout` ms, -1 for ever. @returns how many are readable; -1: errno, EINTR for a signal. */
  wait(timeout: number): number {
    return libc().poll(addressOf(this.#bytes), this.#count, timeout);
  }

  /** Was the one at `place` readable in the last wait? One that was closed is left out from now on. */
  readable(place: number): boolean {
    const found = this.#words[2 * place + 1]! >>> 16;
    if ((found & POLLNVAL) !== 0) this.#words[2 * place] = -1;
    return found !== 0 && (found & POLLNVAL) === 0;
  }
}
