/**
 * NestedServers: the servers of an `ioasid run` inside ours, whose trapped calls come to us
 * (linux/nested-trap.ts), by the device number of their filesystem. A device number is used again when a
 * filesystem is gone, so the newest server that names it has it.
 */

import type { CallListener } from '../linux/call-listener.js';
import { Refusal } from '../linux/errno.js';
import { copyDescriptor, identifyDescriptor } from '../linux/fd-identity.js';
import { libc } from '../linux/ffi.js';
import { mayJoin } from '../linux/nested-trap.js';
import { descriptorOf } from '../linux/seccomp.js';
import { type TrappedCall, writeCall } from '../linux/trapped-call.js';

export class NestedServers {
  readonly #listener: CallListener;
  readonly #sockets = new Map<number, number>();

  constructor(listener: CallListener) {
    this.#listener = listener;
  }

  /**
   * Answers a JOIN: hands the listener to whoever may have it. Everybody else's call goes on to the kernel,
   * which knows no such ioctl.
   */
  join(call: TrappedCall): void {
    const number = mayJoin(call) ? this.#admit(call) : undefined;
    if (number === undefined) this.#listener.pass(call.id);
    else this.#listener.answer(call.id, number);
  }

  /** Hands `call` to the server whose file it is on. @returns false when it is nobody's here. */
  handOn(call: TrappedCall): boolean {
    if (this.#sockets.size === 0) return false;
    const device = deviceOf(call);
    const socket = device === undefined ? undefined : this.#sockets.get(device);
    return socket !== undefined && writeCall(socket, call);
  }

  #admit({ id, tid, ints, args }: TrappedCall): number | undefined {
    const device = args[2]!;
    let socket: number | undefined;
    try {
      socket = copyDescriptor(tid, ints[0]!);
      const number = this.#listener.give(id, this.#listener.listener);
      this.#forget(device);
      this.#sockets.set(device, socket);
      return number;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (socket !== undefined) libc().close(socket);
      return undefined;
    }
  }

  #forget(device: number): void {
    const socket = this.#sockets.get(device);
    if (socket !== undefined) libc().close(socket);
    this.#sockets.delete(device);
  }
}

/**
 * The filesystem of the file that the call is on; undefined when the kernel will refuse the call anyway, or
 * does not tell.
 */
function deviceOf(call: TrappedCall): number | undefined {
  try {
    return identifyDescriptor(call.tid, descriptorOf(call))?.device;
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}
