/**
 * Mounting a FUSE filesystem whose server is whoever holds the descriptor that `mountFuse` returns.
 *
 * The mount is made with mount(2) itself, not with fusermount: it needs CAP_SYS_ADMIN in the user namespace
 * that owns the current mount namespace, which root has and which anyone has in a namespace of their own. The
 * filesystem answers nothing until its server has read the first request; whoever looks at it before that
 * sleeps.
 */
import { check, libc } from './ffi.js';
import type { Step } from './scripted-process.js';

const AT_FDCWD = -100;
const O_RDWR = 0o2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
const MNT_FORCE = 1;
const MNT_DETACH = 2;

export interface FuseMountOptions {
  /**
   * May processes of other users reach the files? Otherwise the kernel refuses all but the mounting user's
   * with EACCES.
   */
  readonly allowOther: boolean;
  /** What mountinfo calls it; default `ioasid`. */
  readonly source?: string;
  /** Permission bits of the root directory until the server is asked for them; default 0755. */
  readonly rootMode?: number;
}

/**
 * Mounts a FUSE filesystem on the directory `target` of the current mount namespace.
 * @returns the descriptor of the connection: nonblocking, close-on-exec. Closing its last copy ends the
 * filesystem.
 * @throws Refusal ENOENT, EACCES no /dev/fuse, or not for this user; EPERM mounting is not allowed here;
 * ENOTDIR, ENOENT the target.
 */
export function mountFuse(target: string, options: FuseMountOptions): number {
  const fd = check(
    libc().open('/dev/fuse', O_RDWR | O_NONBLOCK | O_CLOEXEC, 0),
    '/dev/fuse cannot be opened',
  );
  const { args, what } = fuseMounted(fd, target, options);
  const [source, , type, flags, data] = args as [string, string, string, number, string];
  try {
    check(libc().mount(source, target, type, flags, data), what);
  } catch (error) {
    libc().close(fd);
    throw error;
  }
  return fd;
}

/** Opens a connection in another process. */
export function openedFuse(): Step {
  const args = [AT_FDCWD, '/dev/fuse', O_RDWR | O_NONBLOCK | O_CLOEXEC, 0];
  return { call: 'openat', args, what: '/dev/fuse cannot be opened' };
}

/** The mount of the connection that is descriptor `fd` there. */
export function fuseMounted(fd: number, target: string, options: FuseMountOptions): Step {
  const mode = (0o040000 | (options.rootMode ?? 0o755)).toString(8);
  const owner = `user_id=${process.geteuid?.() ?? 0},group_id=${process.getegid?.() ?? 0}`;
  const data = `fd=${fd},rootmode=${mode},${owner}${options.allowOther ? ',allow_other' : ''}`;
  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  const args = [options.source ?? 'ioasid', target, 'fuse', flags, data];
  return { call: 'mount', args, what: `FUSE cannot be mounted on ${target}` };
}

/**
 * Takes the mount at `target` out of the current namespace; files that are open in it go on working. @throws
 * Refusal EINVAL, EPERM.
 */
export function unmountFuse(target: string): void {
  check(libc().umount2(target, MNT_DETACH), `${target} cannot be unmounted`);
}

/**
 * Aborts the connection of the FUSE filesystem mounted at `target`: every request ends with an error, whoever
 * waits for its answer goes on, and there are no new ones. It is unmounted too if nobody uses it.
 * @throws Refusal EBUSY aborted, but in use; EINVAL, EPERM.
 */
export function abortFuse(target: string): void {
  check(libc().umount2(target, MNT_FORCE), `${target} is in use`);
}
