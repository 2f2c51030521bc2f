/**
 * Becoming another program: execve(2) of a process that has been prepared, and keeps its process id, its
 * parent and its open descriptors (scripted-process.ts).
 *
 * What the program gets is what it would have got had no Node been in between: strings are bytes, not text,
 * and the limit of open files, which Node's start-up raises, is put back first. Signals are as spawn.ts has
 * them.
 */
import { Errno, Refusal } from './errno.js';
import { address, check, libc } from './ffi.js';
import type { ScriptedProcess, Step } from './scripted-process.js';

const F_SETFD = 2;
const FD_CLOEXEC = 1;
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
const RLIMIT_NOFILE = 7;
const AT_FDCWD = -100;

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

/** A C string, as an argument. */
function text(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(1)]);
}

/** Makes calls in `process`. @returns 0, or the errno that ended them. */
async function attempt(process: ScriptedProcess, ...steps: Omit<Step, 'what'>[]): Promise<number> {
  try {
    await process.run(steps.map((step) => ({ ...step, what: '' })));
    return 0;
  } catch (error) {
    if (error instanceof Refusal) return error.errno;
    throw error;
  }
}

/** Is there a file `path`, as `process` sees it? */
export async function exists(process: ScriptedProcess, path: Buffer): Promise<boolean> {
  return (await attempt(process, { call: 'faccessat', args: [AT_FDCWD, text(path), 0] })) === 0;
}

/**
 * Runs `argv` in place of `process`, found in the PATH of `env`; a script without `#!` is given to /bin/sh,
 * as shells do.
 * @returns the errno when it could not: ENOENT there is no such command, EACCES it may not be executed, or
 * what execve(2) said.
 * @throws Gone it could, or it has been killed. Refusal E2BIG.
 */
export async function exec(
  process: ScriptedProcess,
  argv: readonly Buffer[],
  env: readonly Buffer[],
): Promise<number> {
  const step = (file: Buffer, args: readonly Buffer[]) =>
    ({ call: 'execve', args: [text(file), args, env] }) as const;
  const execve = (file: Buffer, args: readonly Buffer[]) => attempt(process, step(file, args));
  const [name] = argv;
  if (name === undefined || name.length === 0) return Errno.ENOENT;
  let result: number = Errno.ENOENT;
  const files = candidates(name, env);
  // As a rule all before the first that is there are not: that is asked at once.
  const absent = files.map((file) => ({ ...step(file, argv), despite: Errno.ENOENT }));
  if ((await attempt(process, ...absent)) === 0) return result;
  for (const file of files) {
    let errno = await execve(file, argv);
    if (errno === Errno.ENOEXEC)
      errno = await execve(Buffer.from('/bin/sh'), [Buffer.from('sh'), file, ...argv.slice(1)]);
    // A folder of the PATH that may not be searched says EACCES as well; that is not a command found.
    if (errno === Errno.EACCES) result = (await exists(process, file)) ? errno : result;
    else if (errno !== Errno.ENOENT && errno !== Errno.ENOTDIR) return errno;
  }
  return result;
}

/**
 * SIGKILL as soon as the parent is gone, even after exec. A change of credentials forgets it: to be done
 * after that.
 */
export function dieWithParent(): Step {
  const what = 'the kernel does not take a parent-death signal';
  return { call: 'prctl', args: [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0], what };
}

/** Puts the soft limit of open files, which Node raises in this process, to `soft`. */
export function softFiles(soft: number): Step {
  const limit = Buffer.alloc(128);
  check(libc().prlimit64(0, RLIMIT_NOFILE, 0, address(limit)), 'the limit of open files cannot be read');
  limit.writeBigUInt64LE(BigInt(soft), 0);
  const what = `the limit of open files cannot be set back to ${soft}`;
  return { call: 'prlimit64', args: [0, RLIMIT_NOFILE, limit.subarray(0, 16), 0], what };
}

/** Descriptor `fd` does not live on in the next program. */
export function closeOnExec(fd: number): Step {
  const what = `descriptor ${fd} cannot be kept from the command`;
  return { call: 'fcntl', args: [fd, F_SETFD, FD_CLOEXEC], what };
}
