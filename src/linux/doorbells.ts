/**
 * Doorbells: eventfds of other processes by which they say that there is something to do (a vhost kick).
 *
 * All are in one epoll set, edge-triggered: each write is heard, and no counter is read. Reading would be
 * wrong as well as slow: the counter is the caller's, and a read of it waits while it is 0.
 *
 * Invariant: a copy is in the set exactly while its Doorbell is open. It has to be taken out before it is
 * closed: the set would keep it as long as the caller has the eventfd.
 */
import type { LoopSource } from './event-loop.js';
import { closeEventfd, copyEventfd } from './eventfd.js';
import { addressOf, check, libc } from './ffi.js';

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
const EPOLLET = 2 ** 31;
/** struct epoll_event: events, then the word that we gave, which is packed on x86-64 only. */
const DATA_WORD = process.arch === 'x64' ? 1 : 2;
const EVENT_WORDS = process.arch === 'x64' ? 3 : 4;
/** Doorbells that are heard in one call. */
const MOST = 64;

const events = new Uint32Array(MOST * EVENT_WORDS);
const eventBytes = new Uint8Array(events.buffer);

/** A caller's eventfd. It has the shape of the `Doorbell` that the layers above know. */
export class Doorbell {
  rings = 0;
  readonly #set: DoorbellSet;
  readonly #fd: number;

  constructor(set: DoorbellSet, fd: number) {
    this.#set = set;
    this.#fd = fd;
  }

  close(): void {
    if (!this.#set.remove(this.#fd, this)) return;
    closeEventfd(this.#fd);
  }
}

class DoorbellSet implements LoopSource {
  readonly fd = check(libc().epoll_create1(EPOLL_CLOEXEC), 'no set of doorbells could be made');
  readonly passive = true;
  readonly #doorbells = new Map<number, Doorbell>();

  /** Takes `fd` over. @throws Refusal ENOSPC, ENOMEM the system watches no more descriptors. */
  add(fd: number): Doorbell {
    events.fill(0, 0, EVENT_WORDS);
    events[0] = EPOLLIN + EPOLLET;
    events[DATA_WORD] = fd;
    try {
      check(
        libc().epoll_ctl(this.fd, EPOLL_CTL_ADD, fd, addressOf(eventBytes)),
        'the eventfd cannot be watched',
      );
    } catch (refusal) {
      closeEventfd(fd);
      throw refusal;
    }
    const doorbell = new Doorbell(this, fd);
    this.#doorbells.set(fd, doorbell);
    return doorbell;
  }

  /** @returns false when it was taken out before. */
  remove(fd: number, doorbell: Doorbell): boolean {
    if (this.#doorbells.get(fd) !== doorbell) return false;
    this.#doorbells.delete(fd);
    libc().epoll_ctl(this.fd, EPOLL_CTL_DEL, fd, addressOf(eventBytes));
    return true;
  }

  ready(): boolean {
    const count = libc().epoll_wait(this.fd, addressOf(eventBytes), MOST, 0);
    for (let i = 0; i < count; i++) {
      const doorbell = this.#doorbells.get(events[i * EVENT_WORDS + DATA_WORD]!);
      if (doorbell !== undefined) doorbell.rings++;
    }
    return true;
  }
}

let all: DoorbellSet | undefined;

/** What an event loop that serves callers watches, so that their doorbells are heard. */
export function doorbellSource(): LoopSource {
  all ??= new DoorbellSet();
  return all;
}

/**
 * The eventfd behind descriptor `fd` of thread `tid`, which must be waiting for us. @throws Refusal as
 * copyEventfd; ENOSPC, ENOMEM the system watches no more descriptors.
 */
export function doorbellOf(tid: number, fd: number): Doorbell {
  all ??= new DoorbellSet();
  return all.add(copyEventfd(tid, fd));
}
