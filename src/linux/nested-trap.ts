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
import { Refusal } from './errno.js';
import { connectionDevice } from './fd-identity.js';
import { userOfThread } from './proc.js';
import type { ScriptedProcess, Step } from './scripted-process.js';
import type { TrappedCall } from './trapped-call.js';

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 0o2000001;

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
 * Joins `process`, by its descriptor `fuse` of a filesystem, to the trap that is in force. @returns
 * descriptors of its; undefined when the trap is no ioasid's, or it refuses.
 */
export async function joinTrap(process: ScriptedProcess, fuse: number): Promise<TrapDescriptors | undefined> {
  const device = connectionDevice(process.pid, fuse);
  if (device === undefined) return undefined;
  const pair = Buffer.alloc(8);
  const socketpair: Step = {
    call: 'socketpair',
    args: [AF_UNIX, SOCK_STREAM_CLOEXEC, 0, pair],
    what: 'there is no socket pair to be had',
  };
  await process.run([socketpair]);
  const [calls, theirs] = [pair.readInt32LE(0), pair.readInt32LE(4)];
  try {
    const what = 'the outer run hands on no calls';
    const [listener] = await process.run([{ call: 'ioctl', args: [theirs, JOIN, device], what }]);
    return { listener: listener!, calls };
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  } finally {
    await process.run([{ call: 'close', args: [theirs], what: 'a socket cannot be closed' }]);
  }
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
