/**
 * NestedServers: the servers of an `ioasid run` inside ours, whose trapped calls come to us
 * (linux/nested-trap.ts), by the device number of their filesystem. A device number is used again when a
 * filesystem is gone, so the newest server that names it has it.
 */

import { Refusal } from '../linux/errno.js';
import { copyDescriptor, identifyDescriptor } from '../linux/fd-identity.js';
import { libc } from '../linux/ffi.js';
import type { IoctlListener } from '../linux/ioctl-listener.js';
import { mayJoin } from '../linux/nested-trap.js';
import { type TrappedIoctl, writeCall } from '../linux/trapped-ioctl.js';

export class NestedServers {
  readonly #listener: IoctlListener;
  readonly #sockets = new Map<number, number>();

  constructor(listener: IoctlListener) {
    this.#listener = listener;
  }

  /**
   * Answers a JOIN: hands the listener to whoever may have it. Everybody else's call goes on to the kernel,
   * which knows no such ioctl.
   */
  join(call: TrappedIoctl): void {
    const number = mayJoin(call) ? this.#admit(call) : undefined;
    if (number === undefined) this.#listener.pass(call.id);
    else this.#listener.answer(call.id, number);
  }

  /** Hands `call` to the server whose file it is on. @returns false when it is nobody's here. */
  handOn(call: TrappedIoctl): boolean {
    if (this.#sockets.size === 0) return false;
    const device = deviceOf(call);
    const socket = device === undefined ? undefined : this.#sockets.get(device);
    return socket !== undefined && writeCall(socket, call);
  }

  #admit({ id, tid, fd, arg: device }: TrappedIoctl): number | undefined {
    let socket: number | undefined;
    try {
      socket = copyDescriptor(tid, fd);
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
function deviceOf({ tid, fd }: TrappedIoctl): number | undefined {
  try {
    return identifyDescriptor(tid, fd)?.device;
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}
