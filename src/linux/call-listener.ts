/**
 * CallListener: the end at which trapped calls (seccomp.ts) arrive and are answered, seccomp_unotify(2).
 *
 * Calls come from the listener itself, or on a socket from an outer server that reads them from it
 * (nested-trap.ts); they are answered by the listener in either case.
 */
import { Errno, Refusal } from './errno.js';
import { addressOf, lastErrno, libc } from './ffi.js';
import type { TrapDescriptors } from './nested-trap.js';
import { callWith, readCall, type TrappedCall } from './trapped-call.js';
import { yieldProcessor } from './yield-processor.js';

/** ioctls of a listener. */
const NOTIF_RECV = 0xc0502100;
const NOTIF_SEND = 0xc0182101;
const NOTIF_ID_VALID = 0x40082102;
const NOTIF_ADDFD = 0x40182103;
const USER_NOTIF_FLAG_CONTINUE = 1;
const POLLIN = 1;
const O_CLOEXEC = 0o2000000;

/**
 * The listening end. One thread reads it. None of this waits for anything but the calling thread's next step
 * in the kernel.
 */
export class CallListener {
  /** The descriptor by which calls are answered. */
  readonly listener: number;
  /** The one by which they arrive. */
  readonly calls: number;
  readonly #bytes = new Uint8Array(256);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #at = addressOf(this.#bytes);

  constructor({ listener, calls }: TrapDescriptors) {
    this.listener = listener;
    this.calls = calls;
  }

  /**
   * What there is: a call to `receive`, nothing yet, or never again (nobody lives whom the filter binds, or
   * who hands their calls on).
   */
  get state(): 'pending' | 'quiet' | 'ended' {
    return this.#look(0);
  }

  /** Waits for a call. @returns false: there will never be one again. */
  wait(): boolean {
    return this.#look(-1) !== 'ended';
  }

  /** Whoever was answered may run in place of this thread. @returns whether a call is pending then. */
  comesToCall(): boolean {
    yieldProcessor();
    return this.state === 'pending';
  }

  #look(timeout: number): 'pending' | 'quiet' | 'ended' {
    this.#view.setInt32(0, this.calls, true);
    this.#view.setInt32(4, POLLIN, true);
    if (libc().poll(this.#at, 1, timeout) <= 0) return 'quiet';
    return this.#view.getUint16(6, true) === POLLIN ? 'pending' : 'ended';
  }

  /** The next call. To be called when one is pending. @returns undefined when it has been killed since. */
  receive(): TrappedCall | undefined {
    return this.calls === this.listener ? this.#receive() : readCall(this.calls);
  }

  /** Does the call still wait? */
  waits(id: bigint): boolean {
    this.#view.setBigUint64(0, id, true);
    return libc().ioctl(this.listener, NOTIF_ID_VALID, this.#at) === 0;
  }

  /** Lets the call return `result`: >= 0, or a negative errno. */
  answer(id: bigint, result: number): void {
    this.#send(id, Math.max(0, result), Math.min(0, result), 0);
  }

  /** Lets the call go its way to the kernel, as if it had not been trapped. */
  pass(id: bigint): void {
    this.#send(id, 0, 0, USER_NOTIF_FLAG_CONTINUE);
  }

  /**
   * Puts a copy of our descriptor `fd` into the calling process, close-on-exec.
   * @returns its number there. @throws Refusal EMFILE no room there; ESRCH the call was killed.
   */
  give(id: bigint, fd: number): number {
    // struct seccomp_notif_addfd: id 0, flags 8, srcfd 12, newfd 16, newfd_flags 20.
    this.#bytes.fill(0, 0, 24);
    this.#view.setBigUint64(0, id, true);
    this.#view.setUint32(12, fd, true);
    this.#view.setUint32(20, O_CLOEXEC, true);
    for (;;) {
      const number = libc().ioctl(this.listener, NOTIF_ADDFD, this.#at);
      if (number !== -1) return number;
      const errno = lastErrno();
      if (errno === Errno.EMFILE)
        throw new Refusal(errno, 'the calling process has no room for another descriptor');
      if (errno !== Errno.EINTR)
        throw new Refusal(Errno.ESRCH, 'the calling thread was killed while it waited');
    }
  }

  #receive(): TrappedCall | undefined {
    const view = this.#view;
    // struct seccomp_notif: id 0, pid 8, flags 12, data 16 (nr, arch, ip, args). The kernel wants it zeroed.
    this.#bytes.fill(0, 0, 80);
    if (libc().ioctl(this.listener, NOTIF_RECV, this.#at) === -1) return undefined;
    return callWith(view.getBigUint64(0, true), view.getUint32(8, true), view.getInt32(16, true), view, 32);
  }

  /**
   * struct seccomp_notif_resp: id 0, val 8, error 16, flags 20. That the caller is gone meanwhile is no
   * error.
   */
  #send(id: bigint, value: number, error: number, flags: number): void {
    this.#view.setBigUint64(0, id, true);
    this.#view.setBigInt64(8, BigInt(value), true);
    this.#view.setInt32(16, error, true);
    this.#view.setUint32(20, flags, true);
    libc().ioctl(this.listener, NOTIF_SEND, this.#at);
  }
}
