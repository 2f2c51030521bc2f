/**
 * Is a process dumpable (prctl(2), PR_SET_DUMPABLE)? One that is not has something to hide from those who may
 * do all else with it, and the kernel lets nobody at its memory who has no capability for that.
 *
 * A server that has CAP_SYS_PTRACE is let at it all the same, and nothing tells it. So it asks for a trifle
 * that the same rule guards (get_robust_list(2)), on this one thread, and without that capability.
 */
import { statSync } from 'node:fs';
import { Errno, Refusal } from './errno.js';
import { addressOf, check, lastErrno, libc } from './ffi.js';
import { procFile } from './own-proc.js';
import { gone, notTraceable } from './proc.js';

const SYS_get_robust_list = process.arch === 'arm64' ? 100 : 274;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
const CAP_SYS_PTRACE = 1 << 19;

/** struct __user_cap_header_struct: version, pid (0: this thread). */
const header = new Int32Array(32);
const headerBytes = new Uint8Array(header.buffer);
/** struct __user_cap_data_struct, two of them: effective, permitted, inheritable; as it was, and less. */
const before = new Int32Array(32);
const beforeBytes = new Uint8Array(before.buffer);
const less = new Int32Array(32);
const lessBytes = new Uint8Array(less.buffer);
/** Where the answer goes: an address and a length. */
const answer = new Uint8Array(128);

/** @throws Refusal EPERM the process of thread `tid` is not dumpable; ESRCH it is gone. */
export function requireDumpable(tid: number): void {
  const [owner, ownerOfMemory] = [ownerOf(tid, ''), ownerOf(tid, 'mem')];
  // The files of one that is not dumpable belong to root, but for the folder.
  if (owner !== ownerOfMemory || (owner === 0 && isHidden(tid))) throw notTraceable(tid, 'the memory');
}

function ownerOf(tid: number, file: string): number {
  try {
    return statSync(procFile(tid, file)).uid;
  } catch {
    throw gone(tid);
  }
}

/** Is a process of root's out of reach for one that has no capability to trace? */
function isHidden(tid: number): boolean {
  header[0] = LINUX_CAPABILITY_VERSION_3;
  check(libc().capget(addressOf(headerBytes), addressOf(beforeBytes)), 'capabilities cannot be read');
  less.set(before);
  less[0]! &= ~CAP_SYS_PTRACE;
  check(libc().capset(addressOf(headerBytes), addressOf(lessBytes)), 'a capability cannot be laid down');
  const at = addressOf(answer);
  const refused = libc().syscall(SYS_get_robust_list, tid, at, at + 8) === -1 && lastErrno() === Errno.EPERM;
  if (libc().capset(addressOf(headerBytes), addressOf(beforeBytes)) === 0) return refused;
  throw new Refusal(lastErrno(), 'a capability that was laid down cannot be taken up again');
}
