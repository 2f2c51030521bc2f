/**
 * `ioasid run` inside `ioasid run`: the kernel lets one listener only be in force (seccomp(2), EBUSY), so the
 * inner one joins the outer one.
 *
 * The inner launcher makes a socket pair and issues the ioctl JOIN on one end, which the outer server traps
 * as it traps all others. The argument is the device number of the inner FUSE filesystem; the result is a
 * descriptor of the listener. From then on the outer server, which reads every trapped call, writes those on
 * files of that device to the socket, as records, and the inner one answers them. Nobody waits for the other:
 * what cannot be written at once is not handed on.
 */
import { readlinkSync } from 'node:fs';
import { connectionDevice } from './fd-identity.js';
import { socketPair } from './fd-passing.js';
import { addressOf, libc } from './ffi.js';
import { userOfThread } from './proc.js';
import type { TrappedIoctl } from './seccomp.js';

/** _IO(';', 0xfe), on a socket. */
export const JOIN = 0x3bfe;

const RECORD_BYTES = 32;
const MSG_DONTWAIT_NOSIGNAL = 0x4040;
const bytes = new Uint8Array(128);
const view = new DataView(bytes.buffer);

/** The two descriptors of a server whose processes are trapped; the same one when the listener is its own. */
export interface TrapDescriptors {
  /** By which calls are answered. */
  readonly listener: number;
  /** By which they arrive. */
  readonly calls: number;
}

/**
 * Joins the trap that is in force, for the filesystem of connection `fuse`. @returns undefined when it is no
 * ioasid's, or it refuses.
 */
export function joinTrap(fuse: number): TrapDescriptors | undefined {
  const device = connectionDevice(fuse);
  if (device === undefined) return undefined;
  const [calls, theirs] = socketPair();
  const listener = libc().ioctl(theirs, JOIN, device);
  libc().close(theirs);
  if (listener !== -1) return { listener, calls };
  libc().close(calls);
  return undefined;
}

/**
 * May the thread of `call` be given the listener? It is asked for by a socket, of a process of the same user,
 * to whom process ids mean the same as here.
 */
export function mayJoin({ tid, fd }: TrappedIoctl): boolean {
  try {
    if (userOfThread(tid) !== process.geteuid?.()) return false;
    if (readlinkSync(`/proc/${tid}/ns/pid`) !== readlinkSync('/proc/self/ns/pid')) return false;
    return readlinkSync(`/proc/${tid}/fd/${fd}`).startsWith('socket:');
  } catch {
    return false;
  }
}

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
