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
import { libc } from './ffi.js';
import { userOfThread } from './proc.js';
import type { TrappedCall } from './trapped-call.js';

/** _IO(';', 0xfe), on a socket. */
export const JOIN = 0x3bfe;

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
export function mayJoin({ tid, ints: [fd] }: TrappedCall): boolean {
  try {
    if (userOfThread(tid) !== process.geteuid?.()) return false;
    if (readlinkSync(`/proc/${tid}/ns/pid`) !== readlinkSync('/proc/self/ns/pid')) return false;
    return readlinkSync(`/proc/${tid}/fd/${fd}`).startsWith('socket:');
  } catch {
    return false;
  }
}
