/**
 * EpollSet: descriptors of which one call says which are readable (epoll(7)). Each has a number of 32 bits,
 * by which it is told; what a wait has found is there until the next.
 *
 * A descriptor has to be taken out before it is closed: the set goes by open files, and would keep one for as
 * long as anybody has it.
 */
import { addressOf, check, libc } from './ffi.js';

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
const EPOLLET = 2 ** 31;
/** struct epoll_event: events, then the word that we gave, which is packed on x86-64 only. */
const DATA_WORD = process.arch === 'x64' ? 1 : 2;
const EVENT_WORDS = process.arch === 'x64' ? 3 : 4;
/** Words of the smallest array that does not move. */
const LEAST_WORDS = 32;

const change = new Uint32Array(LEAST_WORDS);
const changeBytes = new Uint8Array(change.buffer);

export class EpollSet {
  readonly fd = check(libc().epoll_create1(EPOLL_CLOEXEC), 'no descriptors can be watched');
  readonly #most: number;
  readonly #events: Uint32Array;
  readonly #bytes: Uint8Array;

  /** A wait finds `most` at once. @throws Refusal EMFILE */
  constructor(most: number) {
    this.#most = most;
    this.#events = new Uint32Array(Math.max(LEAST_WORDS, most * EVENT_WORDS));
    this.#bytes = new Uint8Array(this.#events.buffer);
  }

  /**
   * Watches `fd`, which is told as `number` each time that it becomes readable. @throws Refusal ENOSPC,
   * ENOMEM the system watches no more descriptors; EPERM a regular file.
   */
  add(fd: number, number: number): void {
    change[0] = EPOLLIN + EPOLLET;
    change[DATA_WORD] = number;
    const result = libc().epoll_ctl(this.fd, EPOLL_CTL_ADD, fd, addressOf(changeBytes));
    check(result, `descriptor ${fd} cannot be watched`);
  }

  remove(fd: number): void {
    libc().epoll_ctl(this.fd, EPOLL_CTL_DEL, fd, addressOf(changeBytes));
  }

  /** Waits up to `timeout` ms, -1 for ever. @returns how many are found; -1: errno, EINTR a signal came. */
  wait(timeout: number): number {
    return libc().epoll_wait(this.fd, addressOf(this.#bytes), this.#most, timeout);
  }

  /** The number of what the last wait has found as its `index`th. */
  found(index: number): number {
    return this.#events[index * EVENT_WORDS + DATA_WORD]!;
  }
}
