/**
 * The start of a helper process (helper-process.ts), by a thread that has no files of the server's own.
 *
 * What is started has a copy of the starting thread's descriptors until it becomes its program, and the
 * kernel closes them in that step: a file of ours asks us (FLUSH), and whoever looks at the process waits as
 * long (exec_update_lock). The thread that answers must not start one, then: it may have such files, and
 * waits for what it starts. Invariant: where another thread has a table of its own and waits for nobody
 * (devfs/stand-in.ts), that one starts them.
 */
import { constants } from 'node:fs';
import { tmpdir } from 'node:os';
import { Errno, Refusal, refuse } from './errno.js';
import { addressOf, check, lastErrno, libc } from './ffi.js';
import { helperFile, SHARED_BYTES } from './helper-code.js';
import { spawn } from './spawn.js';

/** Its own number of a pidfd of this process. */
export const OUR_PIDFD = 1;
const SYS_pidfd_open = 434;
const F_DUPFD_CLOEXEC = 1030;
/** The helper has its own three below. */
const LOWEST = 3;
const { O_DIRECTORY, O_RDWR } = constants;
const O_CLOEXEC = 0o2000000;
const O_TMPFILE = 0o20000000 | O_DIRECTORY;
const MFD_CLOEXEC = 1;
const MFD_EXEC = 0x10;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_FAILED = 2 ** 63;
/** Where the memory that is shared has the parent's process id (helper-code.ts). */
const PARENT_BYTE = 8;
/** More than any start takes, by a thread that is woken for it. */
const START_MS = 5000;

/** A helper process, and where the memory is that it shares with this one. */
interface Started {
  readonly pid: number;
  readonly at: number;
}

/**
 * What the threads share. OTHER: 1 when another thread starts them. STATE: what becomes of the start that is
 * asked for. RESULT: its process id, or -errno. Then, as a double, where the memory is.
 */
const [OTHER, STATE, RESULT] = [0, 1, 2];
const [NOTHING, ASKED, BEGUN, DONE] = [0, 1, 2, 3];
export const starting = new Int32Array(new SharedArrayBuffer(32));
const AT_BYTE = 24;

/** Where the thread that starts them sleeps, when another one does. */
let bed: { readonly words: Int32Array; readonly at: number } | undefined;

/** @throws Refusal ENOSYS no code is known for the processor; EACCES, EAGAIN, EMFILE, ENOMEM as spawn. */
export function startHelper(): Started {
  if (Atomics.load(starting, OTHER) === 0) return start();
  Atomics.store(starting, STATE, ASKED);
  if (bed !== undefined) Atomics.notify(bed.words, bed.at);
  Atomics.wait(starting, STATE, ASKED, START_MS);
  if (Atomics.compareExchange(starting, STATE, ASKED, NOTHING) === ASKED)
    refuse('EAGAIN', 'the thread that starts helper processes does not');
  // It has begun, so it ends: what it starts is nobody else's.
  while (Atomics.load(starting, STATE) === BEGUN) Atomics.wait(starting, STATE, BEGUN);
  Atomics.store(starting, STATE, NOTHING);
  const pid = starting[RESULT]!;
  if (pid < 0) throw new Refusal(-pid, 'no helper process can be started');
  return { pid, at: new Float64Array(starting.buffer, AT_BYTE, 1)[0]! };
}

/** The thread that starts them for this one sleeps until word `at` of `words` changes, or is notified. */
export function wakeStarterAt(words: Int32Array, at: number): void {
  bed = { words, at };
}

/** Does the calling thread start them, for the one that has `words` (`starting`)? */
export function startsHelpers(words: Int32Array, does: boolean): void {
  Atomics.store(words, OTHER, does ? 1 : 0);
}

/** Starts one, if it is asked for. To be called by the thread that does, before it sleeps and after. */
export function startAsked(words: Int32Array): void {
  if (Atomics.compareExchange(words, STATE, ASKED, BEGUN) !== ASKED) return;
  try {
    const { pid, at } = start();
    new Float64Array(words.buffer, AT_BYTE, 1)[0] = at;
    words[RESULT] = pid;
  } catch (error) {
    words[RESULT] = -(error instanceof Refusal ? error.errno : Errno.EIO);
  }
  Atomics.store(words, STATE, DONE);
  Atomics.notify(words, STATE);
}

function start(): Started {
  const program = helperFile() ?? refuse('ENOSYS', `there is no helper process for ${process.arch}`);
  const file = raised(executable(program, 'ioasid-helper'));
  const shared = raised(check(libc().memfd_create('ioasid helper', MFD_CLOEXEC), 'no memory can be shared'));
  const us = raised(check(libc().syscall(SYS_pidfd_open, process.pid, 0, 0), 'no pidfd can be had'));
  try {
    check(libc().ftruncate(shared, SHARED_BYTES), 'no memory can be shared');
    const parent = new Uint8Array(new Int32Array(32).fill(process.pid).buffer);
    check(libc().pwrite(shared, addressOf(parent), 4, PARENT_BYTE), 'no memory can be shared');
    const at = libc().mmap(0, SHARED_BYTES, PROT_READ_WRITE, MAP_SHARED, shared, 0);
    if (at >= MAP_FAILED) refuse('ENOMEM', 'no memory can be shared with a helper process');
    const descriptors = new Map([
      [0, shared],
      [OUR_PIDFD, us],
      [2, shared],
    ]);
    // No signal of a terminal is meant for it. In our session, it gets a processor whenever we would.
    return { pid: spawn([`/proc/self/fd/${file}`], {}, descriptors, { apart: 'group' }), at };
  } finally {
    for (const fd of [file, shared, us]) libc().close(fd);
  }
}

/**
 * In the place of descriptor `fd`, one that is none of the helper's own: the calling thread may have nothing
 * at those numbers. @throws Refusal EMFILE.
 */
function raised(fd: number): number {
  try {
    return check(libc().fcntl(fd, F_DUPFD_CLOEXEC, LOWEST), 'no helper process can be given descriptors');
  } finally {
    libc().close(fd);
  }
}

/** A descriptor, close-on-exec, of the program `file`, called `name`. @throws Refusal EMFILE, ENOSPC. */
export function executable(file: Uint8Array, name: string): number {
  const fd = makeExecutable(name) ?? makeNameless();
  const written = libc().write(fd, addressOf(file), file.length);
  // What somebody may write to cannot be executed, unless it is a memfd.
  const program = libc().open(`/proc/thread-self/fd/${fd}`, O_CLOEXEC, 0);
  libc().close(fd);
  check(program, 'no helper process can be made');
  if (written === file.length) return program;
  libc().close(program);
  return refuse('ENOSPC', `there is no room for the ${file.length} bytes of ${name}`);
}

/** Before Linux 6.3 every memfd is executable. @returns undefined where none may be (vm.memfd_noexec). */
function makeExecutable(name: string): number | undefined {
  const fd = libc().memfd_create(name, MFD_CLOEXEC | MFD_EXEC);
  if (fd !== -1) return fd;
  if (lastErrno() === Errno.EACCES) return undefined;
  return check(libc().memfd_create(name, MFD_CLOEXEC), 'no helper process can be made');
}

function makeNameless(): number {
  const folder = tmpdir();
  const fd = libc().open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0o700);
  return check(fd, `no memfd may be executed here (vm.memfd_noexec), and no file can be made in ${folder}`);
}
