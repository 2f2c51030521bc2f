/**
 * Eventfds of other processes, which we signal as a device signals an interrupt. Each is a copy of the
 * caller's descriptor, so it works as long as somebody has it open, and the server never waits when it
 * signals (see completion-signal.ts).
 *
 * Where there is no asynchronous I/O, we write when poll says that there is room; then a caller that fills
 * its counter between the two calls can make the server wait.
 */
import { readlinkSync } from 'node:fs';
import type { Account } from './account.js';
import { closeInBackground } from './background-close.js';
import { CompletionSignal } from './completion-signal.js';
import { Errno, refuse } from './errno.js';
import { addressOf, libc } from './ffi.js';
import { closeHeld, type HeldDescriptor, holdCopy } from './held-descriptors.js';
import { notOpen, notTraceable } from './proc.js';

const KIND = 'anon_inode:[eventfd]';
const POLLOUT = 4;

/** Adds 1 to the counter of our descriptor `fd`. */
type Raise = (fd: number) => void;

let raise: Raise | undefined;

/** struct pollfd: fd, then events and revents. */
const pollfd = new Int32Array(32);
const pollBytes = new Uint8Array(pollfd.buffer);
const one = new Uint8Array(128);
one[0] = 1;

/** A caller's eventfd. It has the shape of the `Signal` that the layers above know. */
export class EventFd {
  #copy: HeldDescriptor | undefined;
  readonly #raise: Raise;

  constructor(copy: HeldDescriptor, raise: Raise) {
    this.#copy = copy;
    this.#raise = raise;
  }

  /** Adds 1 to the counter and wakes whoever waits for it. Never blocks, never throws. */
  raise(): void {
    if (this.#copy !== undefined) this.#raise(this.#copy.fd);
  }

  close(): void {
    if (this.#copy === undefined) return;
    closeHeld(this.#copy);
    this.#copy = undefined;
  }
}

/** The eventfd behind descriptor `fd` of thread `tid`, to be signalled. @throws Refusal as copyEventfd. */
export function eventfdOf(account: Account, tid: number, fd: number): EventFd {
  const copy = copyEventfd(account, tid, fd);
  raise ??= raiseByCompletion() ?? raiseByWrite;
  return new EventFd(copy, raise);
}

/**
 * A copy of the eventfd behind descriptor `fd` of thread `tid`, which must be waiting for us. `account` pays.
 * @throws Refusal EBADF no such descriptor; EINVAL not an eventfd; EPERM ptrace rules forbid to copy it;
 * EMFILE the account's part is used up.
 */
export function copyEventfd(account: Account, tid: number, fd: number): HeldDescriptor {
  if (fd < 0) throw notOpen(fd);
  const kind = linkOf(tid, fd);
  if (kind !== KIND) refuse('EINVAL', `fd ${fd} is ${kind}, not an eventfd`);
  const copy = holdCopy(account, tid, fd);
  if (readlinkSync(`/proc/self/fd/${copy.fd}`) !== KIND) {
    // Whatever was put in its place may have a server that must not be waited for.
    closeInBackground(copy);
    refuse('EBADF', `fd ${fd} was replaced by another file during the call`);
  }
  return copy;
}

function raiseByCompletion(): Raise | undefined {
  const signal = CompletionSignal.create();
  return signal && ((fd) => signal.raise(fd));
}

/** For kernels without asynchronous I/O. */
export function raiseByWrite(fd: number): void {
  pollfd[0] = fd;
  pollfd[1] = POLLOUT;
  if (libc().poll(addressOf(pollBytes), 1, 0) === 1 && pollfd[1] >> 16 === POLLOUT)
    libc().write(fd, addressOf(one), 8);
}

/**
 * What /proc says descriptor `fd` is: a path, or the name of what has none. The kernel answers alone,
 * whatever the file is.
 */
function linkOf(tid: number, fd: number): string {
  try {
    return readlinkSync(`/proc/${tid}/fd/${fd}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).errno === -Errno.ENOENT) throw notOpen(fd);
    throw notTraceable(tid, `fd ${fd}`);
  }
}
