/**
 * A thread with a table of descriptors of its own.
 *
 * The threads of a process share one table, and the kernel closes what is in it when the last of them has
 * gone. A thread that waits for an answer of a FUSE server cannot go, not even by SIGKILL, so a server that
 * is killed while one of its threads waits for the server itself keeps all it has open, the connection among
 * it. What a thread with a table of its own holds is closed when that thread ends: at once, if it never
 * waits for anybody.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { address, check, libc } from './ffi.js';

const CLONE_FILES = 0x400;
const SIG_BLOCK = 0;
const OWN = '/proc/thread-self/fd';
/** SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: raised by what the thread itself does. */
const OWN_FAULTS = [4, 5, 7, 8, 11];

/** What the event loops of Node's threads wake each other by. */
const OF_NODE = /^anon_inode:.*(eventpoll|eventfd|io_uring)/;

/**
 * Gives this thread, a worker's, a table with nothing in it but `keep` and what Node's event loops need.
 * Signals go to other threads from now on.
 * @throws Refusal EMFILE, ENOMEM.
 */
export function leaveSharedTable(keep: readonly number[]): void {
  const others = new BigUint64Array(16).fill(
    ~OWN_FAULTS.reduce((set, signal) => set | (1n << BigInt(signal - 1)), 0n),
  );
  libc().pthread_sigmask(SIG_BLOCK, address(new Uint8Array(others.buffer)), 0);
  check(libc().unshare(CLONE_FILES), 'a thread gets no table of descriptors of its own');
  for (const fd of readdirSync(OWN).map(Number)) {
    if (!keep.includes(fd) && !OF_NODE.test(target(fd))) libc().close(fd);
  }
}

function target(fd: number): string {
  try {
    return readlinkSync(`${OWN}/${fd}`);
  } catch {
    return '';
  }
}
