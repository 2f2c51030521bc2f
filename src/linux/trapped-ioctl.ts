/**
 * TrappedIoctl: an ioctl of another process that waits for its answer, and the record that it becomes where
 * one server hands it on to another through a socket.
 */
import { addressOf, libc } from './ffi.js';

/** An ioctl that waits for its answer. */
export interface TrappedIoctl {
  /** Names this very call. */
  readonly id: bigint;
  /** The calling thread; 0 when its pid namespace cannot be seen from here. */
  readonly tid: number;
  readonly fd: number;
  readonly cmd: number;
  readonly arg: number;
}

const RECORD_BYTES = 32;
const MSG_DONTWAIT_NOSIGNAL = 0x4040;
const bytes = new Uint8Array(128);
const view = new DataView(bytes.buffer);

/** Hands a call on. @returns false when nobody is there to take it, now or ever. */
export function writeCall(socket: number, { id, tid, fd, cmd, arg }: TrappedIoctl): boolean {
  view.setBigUint64(0, id, true);
  view.setUint32(8, tid, true);
  view.setInt32(12, fd, true);
  view.setUint32(16, cmd, true);
  view.setBigUint64(24, BigInt(arg), true);
  return libc().send(socket, addressOf(bytes), RECORD_BYTES, MSG_DONTWAIT_NOSIGNAL) === RECORD_BYTES;
}

/** Takes a call that was handed on. @returns undefined when there is none. */
export function readCall(socket: number): TrappedIoctl | undefined {
  if (libc().read(socket, addressOf(bytes), RECORD_BYTES) !== RECORD_BYTES) return undefined;
  return {
    id: view.getBigUint64(0, true),
    tid: view.getUint32(8, true),
    fd: view.getInt32(12, true),
    cmd: view.getUint32(16, true),
    arg: Number(view.getBigUint64(24, true)),
  };
}
