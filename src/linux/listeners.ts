/**
 * Listeners: sockets that are listened at, as one source of an event loop. A descriptor of whoever connects
 * is handed to what takes it there, and is its own from then on.
 *
 * They are not Node's: its modules for sockets are 1.5 MiB, which a server to which nobody has connected does
 * without. All are in one epoll set, so that they cost each wait one descriptor. Invariant: nobody has the
 * others wait by coming often, nor is anybody forgotten: those behind the first AT_ONCE, and those for whom
 * there is no descriptor, are looked for again after AGAIN_MS.
 */
import { EpollSet } from './epoll-set.js';
import { Errno } from './errno.js';
import type { LoopSource } from './event-loop.js';
import { lastErrno, libc } from './ffi.js';

/** SOCK_NONBLOCK | SOCK_CLOEXEC. */
const FLAGS = 0o2004000;
const AT_ONCE = 64;
const AGAIN_MS = 10;
/** Sockets that a look at the set finds. */
const MOST_FOUND = 8;

interface Listener {
  readonly fd: number;
  readonly take: (fd: number) => void;
}

export class Listeners implements LoopSource {
  readonly passive = true;
  readonly #set = new EpollSet(MOST_FOUND);
  readonly fd = this.#set.fd;
  readonly #all: Listener[] = [];
  #again: NodeJS.Timeout | undefined;

  /** `take` gets who connects to the socket `fd`, which does not block. @throws Refusal ENOSPC, ENOMEM. */
  add(fd: number, take: (fd: number) => void): void {
    this.#set.add(fd, fd);
    this.#all.push({ fd, take });
  }

  ready(): boolean {
    this.#set.wait(0);
    const left = this.#all.filter((listener) => !takeAll(listener));
    // One look again for all, however often they come meanwhile.
    if (left.length > 0) this.#again ??= setTimeout(() => this.#lookAgain(), AGAIN_MS).unref();
    return true;
  }

  #lookAgain(): void {
    this.#again = undefined;
    this.ready();
  }
}

/** @returns false when some are left. */
function takeAll({ fd, take }: Listener): boolean {
  for (let i = 0; i < AT_ONCE; i++) {
    const taken = libc().accept4(fd, 0, 0, FLAGS);
    if (taken === -1) return lastErrno() === Errno.EAGAIN;
    take(taken);
  }
  return false;
}
