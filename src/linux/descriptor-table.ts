/**
 * A thread with a table of descriptors of its own.
 *
 * The threads of a process share one table, and the kernel closes what is in it when the last of them has
 * gone. A thread that waits for an answer of a FUSE server cannot go, not even by SIGKILL, so a server that
 * is killed while one of its threads waits for the server itself keeps all it has open, the connection among
 * it. What a thread with a table of its own holds is closed when that thread ends: at once, if it never
 * waits for anybody.
 *
 * A new table begins as a copy of the shared one. Files of the server's own may be in it, and to close a copy
 * of one is a request that the server must answer. Invariant: connections that are not kept are closed before
 * anything else, so that nobody waits for an answer with one in his table. They are looked for in the new
 * table, which nobody else changes: the shared one may get a connection at any moment.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { address, check, libc } from './ffi.js';

const CLONE_FILES = 0x400;
const SIG_BLOCK = 0;
const OWN = '/proc/thread-self/fd';
/** SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: raised by what the thread itself does. */
const OWN_FAULTS = [4, 5, 7, 8, 11];

/** By which a program's requests and trapped calls come: those of FUSE, and of seccomp(2). */
const CONNECTION = /^(\/dev\/fuse|anon_inode:seccomp notify)$/;

/** What the event loops of Node's threads wake each other by. */
const OF_NODE = /^anon_inode:.*(eventpoll|eventfd|io_uring)/;
/** A descriptor in the epoll set of such a loop: watched for EPOLLIN as long as there is something. */
const WATCHED = /^tfd:\s+(\d+) events:\s+19 /gm;

/** The descriptors by which Node's event loops wake each other, while no others of the kind are open. */
export function descriptorsOfNode(): number[] {
  return open().filter((fd) => OF_NODE.test(target(fd)));
}

/**
 * Gives this thread, a worker's, a table of its own, without connections but those in `keep`. Until the
 * others are closed too it must wait for nobody. Signals go to other threads from now on.
 * @throws Refusal EMFILE, ENOMEM.
 */
export function leaveSharedTable(keep: readonly number[]): void {
  const others = new BigUint64Array(16).fill(
    ~OWN_FAULTS.reduce((set, signal) => set | (1n << BigInt(signal - 1)), 0n),
  );
  libc().pthread_sigmask(SIG_BLOCK, address(new Uint8Array(others.buffer)), 0);
  check(libc().unshare(CLONE_FILES), 'a thread gets no table of descriptors of its own');
  for (const fd of open()) if (CONNECTION.test(target(fd)) && !keep.includes(fd)) libc().close(fd);
}

/**
 * Closes all in this thread's own table but `keep` and what Node's event loops need: of the kinds that they
 * use, those in `ofNode`, and those of loops that have come since.
 */
export function closeOthers(keep: readonly number[], ofNode: readonly number[] = descriptorsOfNode()): void {
  const needed = new Set(ofNode);
  for (const set of open().filter((fd) => target(fd).endsWith('[eventpoll]'))) {
    needed.add(set);
    for (const [, fd] of readFileSync(`${OWN}info/${set}`, 'latin1').matchAll(WATCHED))
      needed.add(Number(fd));
  }
  const kept = (fd: number) => keep.includes(fd) || (needed.has(fd) && OF_NODE.test(target(fd)));
  for (const fd of open()) if (!kept(fd)) libc().close(fd);
}

function open(): number[] {
  return readdirSync(OWN).map(Number);
}

function target(fd: number): string {
  try {
    return readlinkSync(`${OWN}/${fd}`);
  } catch {
    return '';
  }
}
