/**
 * Eventfds of other processes, which we signal as a device signals an interrupt. Each is a copy of the
 * caller's descriptor, so it works as long as somebody has it open, and the server never waits when it
 * signals (see completion-signal.ts).
 *
 * A device may raise any number of interrupts at once, and each takes microseconds. So what goes beyond
 * AT_ONCE signals is owed, and sent in slices by the event loop (`sendSignals`), a batch for each eventfd in
 * turn. Invariant: every raise is sent once, or is owed while its eventfd is open.
 *
 * The signals of an account whose signals take long (wakes.ts) are owed too.
 *
 * Where there is no asynchronous I/O, we write when poll says that there is room; then a caller that fills
 * its counter between the two calls can make the server wait.
 */
import { readlinkSync } from 'node:fs';
import type { Account } from './account.js';
import { BATCH, CompletionSignal } from './completion-signal.js';
import { Errno, refuse } from './errno.js';
import { closeEventfd, closeEventfds, closeLate } from './eventfd-closes.js';
import { givesNoAccess, notOpenedFor } from './fd-identity.js';
import { addressOf, libc } from './ffi.js';
import { holdCopy } from './held-copy.js';
import type { HeldDescriptor } from './held-descriptors.js';
import { procFile } from './own-proc.js';
import { pollNow } from './poll-now.js';
import { notOpen, notTraceable } from './proc.js';
import { looksLater, rests, takesLong, wakeBy } from './wakes.js';

const KIND = 'anon_inode:[eventfd]';
const POLLOUT = 4;

/** Adds 1 to the counter of our descriptor `fd`, `times` times; BATCH at most. */
type Raise = (fd: number, times: number) => void;

/** Signals that are sent while they are raised, until the event loop looks again. */
const AT_ONCE = 128;
/** Those of a slice, which take about a millisecond. */
const SLICE = 4 * BATCH;

let raise: Raise | undefined;
let room = AT_ONCE;
/** Eventfds that are owed signals, each once. */
const owing: EventFd[] = [];

/** struct pollfd: fd, then events and revents. */
const pollfd = new Int32Array(32);
const pollBytes = new Uint8Array(pollfd.buffer);
const one = new Uint8Array(128);
one[0] = 1;

/** A caller's eventfd. It has the shape of the `Signal` that the layers above know. */
export class EventFd {
  #copy: HeldDescriptor | undefined;
  #owed = 0;
  readonly #raise: Raise;

  constructor(copy: HeldDescriptor, raise: Raise) {
    this.#copy = copy;
    this.#raise = raise;
  }

  /** Adds 1 to the counter and wakes whoever waits for it. Never blocks, never throws. */
  raise(): void {
    if (this.#copy === undefined) return;
    if (this.#owed === 0 && room > 0 && !rests(this.#copy.account)) {
      room--;
      this.#signal(this.#copy, 1);
    } else if (this.#owed++ === 0) owing.push(this);
  }

  /** Sends a batch of what is owed, one of those that take long. @returns how many. */
  send(): number {
    const copy = this.#copy;
    if (copy === undefined) return 0;
    const most = takesLong(copy.account) ? 1 : BATCH;
    const times = rests(copy.account) ? 0 : Math.min(this.#owed, most);
    if (times > 0) this.#signal(copy, times);
    this.#owed -= times;
    if (this.#owed > 0) owing.push(this);
    return times;
  }

  #signal({ fd, account }: HeldDescriptor, times: number): void {
    wakeBy(account, times, () => this.#raise(fd, times));
  }

  /** What is owed is lost with it. */
  close(): void {
    if (this.#copy === undefined) return;
    this.#owed = 0;
    closeEventfd(this.#copy);
    this.#copy = undefined;
  }
}

/**
 * Sends a slice of the signals that are owed, and closes what is to be closed. @returns whether there are
 * more.
 */
export function sendSignals(): boolean {
  closeEventfds();
  const hasLate = closeLate();
  room = AT_ONCE;
  let resting = 0;
  for (let sent = 0; sent < SLICE && resting < owing.length; ) {
    const before = owing.length;
    const now = owing.shift()!.send();
    sent += now;
    // One that is owed nothing any more is in the list no more, either.
    if (now > 0) resting = 0;
    else if (owing.length === before) resting++;
  }
  if (resting < owing.length) return true;
  if (resting > 0) looksLater();
  return hasLate;
}

/** The eventfd behind descriptor `fd` of thread `tid`, to be signalled. @throws Refusal as copyEventfd. */
export function eventfdOf(account: Account, tid: number, fd: number): EventFd {
  const copy = copyEventfd(account, tid, fd);
  raise ??= raiseByCompletion() ?? raiseByWrite;
  return new EventFd(copy, raise);
}

/**
 * A copy of the eventfd behind descriptor `fd` of thread `tid`, which must be waiting for us. `account` pays.
 * @throws Refusal EBADF no such descriptor, opened with O_PATH, or replaced meanwhile; EINVAL not an eventfd;
 * EPERM ptrace rules forbid to copy it; EMFILE the account's part is used up.
 */
export function copyEventfd(account: Account, tid: number, fd: number): HeldDescriptor {
  if (fd < 0) throw notOpen(fd);
  closeEventfds();
  const kind = linkOf(tid, fd);
  // A name of an eventfd looks like one, and can neither be signalled nor watched.
  if (givesNoAccess(tid, fd)) throw notOpenedFor(fd);
  if (kind !== KIND) refuse('EINVAL', `fd ${fd} is ${kind}, not an eventfd`);
  return holdCopy(
    account,
    tid,
    fd,
    (pid, there) => linkOf(pid, there) === KIND && !givesNoAccess(pid, there),
  );
}

function raiseByCompletion(): Raise | undefined {
  const signal = CompletionSignal.create();
  return signal && ((fd, times) => signal.raise(fd, times));
}

/** For kernels without asynchronous I/O. */
export function raiseByWrite(fd: number, times: number): void {
  for (let n = 0; n < times; n++) {
    pollfd[0] = fd;
    pollfd[1] = POLLOUT;
    if (pollNow(addressOf(pollBytes), 1) !== 1 || pollfd[1] >> 16 !== POLLOUT) return;
    libc().write(fd, addressOf(one), 8);
  }
}

/**
 * What /proc says descriptor `fd` is: a path, or the name of what has none. The kernel answers alone,
 * whatever the file is.
 */
function linkOf(tid: number, fd: number): string {
  try {
    return readlinkSync(procFile(tid, `fd/${fd}`));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).errno === -Errno.ENOENT) throw notOpen(fd);
    throw notTraceable(tid, `fd ${fd}`);
  }
}
