/**
 * Becoming another program: execve(2) from inside Node, so that a prepared process turns into the user's
 * command and keeps its process id, its parent and its open descriptors.
 *
 * What the program gets is what it would have got had no Node been in between: strings are bytes, not text,
 * and everything that Node's start-up changes in a process (ignored signals, the limit of open files,
 * close-on-exec) is put back first.
 */
import { existsSync } from 'node:fs';
import { Errno } from './errno.js';
import { address, check, lastErrno, libc } from './ffi.js';
import { StringArray } from './string-array.js';

const SIGPIPE = 13;
const SIGXFSZ = 25;
const SIG_DFL = 0;
const F_SETFD = 2;
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
const RLIMIT_NOFILE = 7;

/** Where commands are looked for when the environment has no PATH: what execvp(3) uses. */
const defaultPath = '/bin:/usr/bin';

/** The files that `name` may mean, in the order in which a shell tries them. */
function candidates(name: Buffer, env: readonly Buffer[]): Buffer[] {
  if (name.includes('/')) return [name];
  const prefix = 'PATH=';
  const entry = env.find((variable) => variable.subarray(0, prefix.length).equals(Buffer.from(prefix)));
  const path = (entry?.subarray(prefix.length) ?? Buffer.from(defaultPath)).toString('latin1');
  return path
    .split(':')
    .map((folder) =>
      Buffer.concat([Buffer.from(folder === '' ? '.' : folder, 'latin1'), Buffer.from('/'), name]),
    );
}

/** One execve(2). @returns the errno: it returns only when it failed. */
function execve(file: Buffer, argv: readonly Buffer[], env: readonly Buffer[]): number {
  const path = Buffer.alloc(Math.max(file.length + 1, 128));
  file.copy(path);
  const args = new StringArray(argv);
  const variables = new StringArray(env);
  libc().execve(address(path), args.address, variables.address);
  return lastErrno();
}

/**
 * Runs `argv` in place of this process, found in the PATH of `env`; a script without `#!` is given to
 * /bin/sh, as shells do.
 * @returns the errno when it could not: ENOENT there is no such command, EACCES it may not be executed, or
 * what execve(2) said.
 */
export function exec(argv: readonly Buffer[], env: readonly Buffer[]): number {
  const [name] = argv;
  if (name === undefined || name.length === 0) return Errno.ENOENT;
  let result: number = Errno.ENOENT;
  for (const file of candidates(name, env)) {
    let errno = execve(file, argv, env);
    if (errno === Errno.ENOEXEC)
      errno = execve(Buffer.from('/bin/sh'), [Buffer.from('sh'), file, ...argv.slice(1)], env);
    // A folder of the PATH that may not be searched says EACCES as well; that is not a command found.
    if (errno === Errno.EACCES) result = existsSync(file) ? errno : result;
    else if (errno !== Errno.ENOENT && errno !== Errno.ENOTDIR) return errno;
  }
  return result;
}

/**
 * SIGKILL for this process as soon as its parent is gone, even after exec. A change of credentials forgets
 * it: call it after that.
 */
export function dieWithParent(): void {
  check(libc().prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), 'the kernel does not take a parent-death signal');
}

/**
 * Undoes what Node's start-up changed for programs that follow it: ignored signals and, when known, the soft
 * limit of open files.
 */
export function restoreProcess(softFiles: number | undefined): void {
  libc().signal(SIGPIPE, SIG_DFL);
  libc().signal(SIGXFSZ, SIG_DFL);
  if (softFiles !== undefined) setSoftFileLimit(softFiles);
}

function setSoftFileLimit(soft: number): void {
  const limit = Buffer.alloc(128);
  check(libc().prlimit64(0, RLIMIT_NOFILE, 0, address(limit)), 'the limit of open files cannot be read');
  limit.writeBigUInt64LE(BigInt(soft), 0);
  check(
    libc().prlimit64(0, RLIMIT_NOFILE, address(limit), 0),
    `the limit of open files cannot be set back to ${soft}`,
  );
}

/** Lets descriptor `fd` live on in the next program. */
export function keepOverExec(fd: number): void {
  check(libc().fcntl(fd, F_SETFD, 0), `descriptor ${fd} cannot be passed on`);
}
