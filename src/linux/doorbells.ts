/**
 * Doorbells: eventfds of other processes by which they say that there is something to do (a vhost kick).
 *
 * All are in one epoll set, edge-triggered: each write is heard, and no counter is read for it. Reading would
 * be wrong as well as slow: the counter is the caller's, and a read of it waits while it is 0. Who is to take
 * what it holds (`empty`) asks for a read that does not wait.
 *
 * Invariant: a copy is in the set exactly while its Doorbell is open. It has to be taken out before it is
 * closed: the set would keep it as long as the caller has the eventfd.
 */
import type { Account } from './account.js';
import { EpollSet } from './epoll-set.js';
import type { LoopSource } from './event-loop.js';
import { copyEventfd } from './eventfd.js';
import { closeEventfd } from './eventfd-closes.js';
import { addressOf, libc } from './ffi.js';
import type { HeldDescriptor } from './held-descriptors.js';

/** Doorbells that are heard in one call. */
const MOST = 64;

/** preadv2 (asm/unistd.h), which reads an eventfd without waiting (from Linux 5.11 on). */
const SYS_PREADV2 = process.arch === 'x64' ? 327 : 286;
const RWF_NOWAIT = 8;
/** For a stream, which has no offsets. */
const NO_OFFSET = -1;

/** An iovec of the 8 bytes that follow it. */
const read = new BigUint64Array(16);
const readBytes = new Uint8Array(read.buffer);

/** A caller's eventfd. It has the shape of the `Doorbell` that the layers above know. */
export class Doorbell {
  rings = 0;
  readonly #set: DoorbellSet;
  readonly #copy: HeldDescriptor;

  constructor(set: DoorbellSet, copy: HeldDescriptor) {
    this.#set = set;
    this.#copy = copy;
  }

  listen(): void {
    while (this.#set.listen() === MOST);
  }

  empty(): void {
    if (!this.#set.holds(this.#copy.fd, this)) return;
    read[0] = BigInt(addressOf(readBytes) + 16);
    read[1] = 8n;
    libc().syscall6(SYS_PREADV2, this.#copy.fd, addressOf(readBytes), 1, NO_OFFSET, 0, RWF_NOWAIT);
  }

  close(): void {
    if (!this.#set.remove(this.#copy.fd, this)) return;
    closeEventfd(this.#copy);
  }
}

class DoorbellSet implements LoopSource {
  readonly #set = new EpollSet(MOST);
  readonly fd = this.#set.fd;
  readonly passive = true;
  readonly #doorbells = new Map<number, Doorbell>();

  /** Takes `copy` over. @throws Refusal ENOSPC, ENOMEM the system watches no more descriptors. */
  add(copy: HeldDescriptor): Doorbell {
    const { fd } = copy;
    try {
      this.#set.add(fd, fd);
    } catch (refusal) {
      closeEventfd(copy);
      throw refusal;
    }
    const doorbell = new Doorbell(this, copy);
    this.#doorbells.set(fd, doorbell);
    doorbell.listen();
    return doorbell;
  }

  holds(fd: number, doorbell: Doorbell): boolean {
    return this.#doorbells.get(fd) === doorbell;
  }

  /** @returns false when it was taken out before. */
  remove(fd: number, doorbell: Doorbell): boolean {
    if (!this.holds(fd, doorbell)) return false;
    this.#doorbells.delete(fd);
    this.#set.remove(fd);
    return true;
  }

  ready(): boolean {
    this.listen();
    return true;
  }

  /** @returns how many were heard, MOST at most. */
  listen(): number {
    const count = this.#set.wait(0);
    for (let i = 0; i < count; i++) {
      const doorbell = this.#doorbells.get(this.#set.found(i));
      if (doorbell !== undefined) doorbell.rings++;
    }
    return count;
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
export function doorbellOf(account: Account, tid: number, fd: number): Doorbell {
  all ??= new DoorbellSet();
  return all.add(copyEventfd(account, tid, fd));
}
