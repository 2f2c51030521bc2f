/**
 * TrappedCall: a system call of another process that waits for its answer, and the record that it becomes
 * where one server hands it on to another through a socket.
 */
import { addressOf, libc } from './ffi.js';

/** A system call that waits for its answer. */
export interface TrappedCall {
  /** Names this very call. */
  readonly id: bigint;
  /** The calling thread; 0 when its pid namespace cannot be seen from here. */
  readonly tid: number;
  /** The system call's number. */
  readonly nr: number;
  /** Its arguments, as unsigned 64-bit numbers: addresses and lengths are exact. */
  readonly args: readonly number[];
  /** Their low halves, as C's int: descriptors, flags, numbers of ioctls. */
  readonly ints: readonly number[];
}

/** Of a call that is handed on: id 0, tid 8, nr 12, args 16. */
export const RECORD_BYTES = 64;
const ARGUMENTS = [0, 1, 2, 3, 4, 5] as const;
const MSG_DONTWAIT_NOSIGNAL = 0x4040;
const bytes = new Uint8Array(128);
const view = new DataView(bytes.buffer);

/** The call whose arguments stand at byte `at`. */
export function callWith(id: bigint, tid: number, nr: number, view: DataView, at: number): TrappedCall {
  const ints = ARGUMENTS.map((i) => view.getInt32(at + 8 * i, true));
  const args = ints.map((low, i) => (low >>> 0) + view.getUint32(at + 8 * i + 4, true) * 2 ** 32);
  return { id, tid, nr, args, ints };
}

/** Hands a call on. @returns false when nobody is there to take it, now or ever. */
export function writeCall(socket: number, { id, tid, nr, args, ints }: TrappedCall): boolean {
  view.setBigUint64(0, id, true);
  view.setUint32(8, tid, true);
  view.setUint32(12, nr, true);
  for (const i of ARGUMENTS) {
    view.setInt32(16 + 8 * i, ints[i]!, true);
    view.setUint32(20 + 8 * i, args[i]! / 2 ** 32, true);
  }
  return libc().send(socket, addressOf(bytes), RECORD_BYTES, MSG_DONTWAIT_NOSIGNAL) === RECORD_BYTES;
}

/** Has whoever takes calls from the other end gone for good? */
export function hasGone(socket: number): boolean {
  return libc().send(socket, addressOf(bytes), 0, MSG_DONTWAIT_NOSIGNAL) === -1;
}

/** Takes a call that was handed on. @returns undefined when there is none. */
export function readCall(socket: number): TrappedCall | undefined {
  if (libc().read(socket, addressOf(bytes), RECORD_BYTES) !== RECORD_BYTES) return undefined;
  return callWith(view.getBigUint64(0, true), view.getUint32(8, true), view.getUint32(12, true), view, 16);
}
