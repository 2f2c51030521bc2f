/**
 * What this process was given by the one that started it, byte for byte, to be handed on to the user's
 * command unchanged.
 *
 * Node shows arguments and environment as text and keeps inherited descriptors from its children, so all of
 * it is read from /proc.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { libc } from '../linux/ffi.js';

const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** What V8 logs to where it is told to (--perf-basic-prof, --perf-prof, --prof); it opens it for all. */
const { pid } = process;
const logOfV8 = new RegExp(`/(perf-${pid}\\.map|jit-${pid}\\.dump|isolate-?0x[0-9a-f]+-${pid}-v8\\.log)$`);

/** The NUL-separated strings of a file below /proc, one character per byte. */
function strings(path: string): string[] {
  return readFileSync(path, 'latin1').split('\0').slice(0, -1);
}

/** The last `count` arguments that this process was started with, one character per byte. */
export function lastArguments(count: number): string[] {
  return count === 0 ? [] : strings('/proc/self/cmdline').slice(-count);
}

/** The environment as this process found it, one character per byte. */
export function environment(): string[] {
  return strings('/proc/self/environ');
}

function target(process: string, fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/${process}/fd/${fd}`);
  } catch {
    return undefined;
  }
}

/**
 * The descriptors from 3 up that came from outside. Those of a kind that Node makes for itself (pipes with
 * both ends here, /dev/null) count only when the parent has the same file under the same number; epoll and
 * eventfd descriptors never do, nor V8's logs, which nobody else is given from now on.
 */
export function inheritedDescriptors(): number[] {
  const open = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name);
    const file = fd > 2 ? target('self', fd) : undefined;
    if (file !== undefined) open.set(fd, file);
  }
  const files = [...open.values()];
  const parent = String(process.ppid);
  return [...open.keys()].filter((fd) => {
    const file = open.get(fd)!;
    if (/^anon_inode:.*(eventpoll|eventfd|io_uring)/.test(file)) return false;
    if (logOfV8.test(file)) {
      libc().fcntl(fd, F_SETFD, FD_CLOEXEC);
      return false;
    }
    const nodeMakes =
      file === '/dev/null' ||
      (file.startsWith('pipe:') && files.filter((other) => other === file).length > 1);
    return !nodeMakes || target(parent, fd) === file;
  });
}

/** A process's limits of open files: soft and hard. undefined when they may not be read. */
function fileLimits(process: string): readonly [string, string] | undefined {
  try {
    const line = /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync(`/proc/${process}/limits`, 'latin1'));
    return line === null ? undefined : [line[1]!, line[2]!];
  } catch {
    return undefined;
  }
}

/**
 * The soft limit of open files before Node raised it to the hard one: the parent's, when that can be ours.
 * null: unknown.
 */
export function softFileLimit(): number | null {
  const parent = fileLimits(String(process.ppid));
  const own = fileLimits('self');
  if (parent === undefined || own === undefined || parent[1] !== own[1]) return null;
  const soft = Number(parent[0]);
  return Number.isInteger(soft) ? soft : null;
}
