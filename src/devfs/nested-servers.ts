/**
 * NestedServers: the servers of an `ioasid run` inside ours, whose trapped calls come to us
 * (linux/nested-trap.ts), by the device number of their filesystem, or by their process id for programs that
 * they trace. A device number is used again when a filesystem is gone, so the newest server that names it has
 * it. Each costs us the copy of a socket, until it has closed its own end and another comes.
 */

import { closeInBackground } from '../linux/background-close.js';
import type { CallListener } from '../linux/call-listener.js';
import { Refusal } from '../linux/errno.js';
import { deviceOfDescriptor } from '../linux/fd-identity.js';
import { statusOfTheirs } from '../linux/file-status.js';
import { holdCopy } from '../linux/held-copy.js';
import type { HeldDescriptor } from '../linux/held-descriptors.js';
import { mayJoin } from '../linux/nested-trap.js';
import { parentOf, tracerOf } from '../linux/proc.js';
import { descriptorOf } from '../linux/seccomp.js';
import { hasGone, type TrappedCall, writeCall } from '../linux/trapped-call.js';
import { accountOf, type Openers } from './openers.js';

const S_IFSOCK = 0o140000;

export class NestedServers {
  readonly #listener: CallListener;
  readonly #openers: Openers;
  readonly #sockets = new Map<number, HeldDescriptor>();
  /** Their process ids, by the same numbers. */
  readonly #servers = new Map<number, number>();

  constructor(listener: CallListener, openers: Openers) {
    this.#listener = listener;
    this.#openers = openers;
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
    const device = deviceOfDescriptor(call.tid, descriptorOf(call));
    const socket = device === undefined ? undefined : this.#sockets.get(device);
    return socket !== undefined && writeCall(socket.fd, call);
  }

  /** Hands `call` to the server that traces who makes it. @returns false when it is nobody's here. */
  handOnTraced(call: TrappedCall): boolean {
    if (this.#sockets.size === 0) return false;
    const tracer = tracerOf(call.tid);
    for (const [device, server] of this.#servers)
      if (server === tracer) return writeCall(this.#sockets.get(device)!.fd, call);
    return false;
  }

  #admit({ id, tid, ints, args }: TrappedCall): number | undefined {
    const device = args[2]!;
    const account = accountOf(this.#openers, tid, process.geteuid?.() ?? 0);
    let socket: HeldDescriptor | undefined;
    try {
      for (const [each, { fd }] of this.#sockets) if (hasGone(fd)) this.#forget(each);
      socket = holdCopy(account, tid, ints[0]!, isSocket);
      const number = this.#listener.give(id, this.#listener.listener);
      this.#forget(device);
      this.#sockets.set(device, socket);
      // The launcher joins, a child of its server.
      this.#servers.set(device, parentOf(tid));
      return number;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (socket !== undefined) closeInBackground(socket);
      return undefined;
    }
  }

  #forget(device: number): void {
    const socket = this.#sockets.get(device);
    this.#sockets.delete(device);
    this.#servers.delete(device);
    // Some sockets wait until what was written has been sent (SO_LINGER).
    if (socket !== undefined) closeInBackground(socket);
  }
}

function isSocket(pid: number, fd: number): boolean {
  return statusOfTheirs(pid, fd).type === S_IFSOCK;
}
