/**
 * Mounting FUSE without root: through fusermount3(1), the setuid helper of libfuse, which hands the
 * connection over a socket.
 */
import { spawnSync } from 'node:child_process';
import { Errno, Refusal } from './errno.js';
import { receiveDescriptor, socketPair } from './fd-passing.js';
import { check, libc } from './ffi.js';

const F_SETFL = 4;
const O_RDWR_NONBLOCK = 0o4002;

const helpers = ['fusermount3', 'fusermount'];

/**
 * Runs the helper that is installed. @throws Refusal ENOENT none is; EPERM it refused, with its own words.
 */
function fusermount(args: readonly string[], socket?: number): void {
  for (const helper of helpers) {
    const extra = socket === undefined ? [] : [socket];
    const env = { ...process.env, _FUSE_COMMFD: '3' };
    const result = spawnSync(helper, args, {
      stdio: ['ignore', 'ignore', 'pipe', ...extra],
      env,
      encoding: 'utf8',
    });
    if (result.error !== undefined) continue;
    if (result.status === 0) return;
    throw new Refusal(Errno.EPERM, result.stderr.trim() || `${helper} failed with status ${result.status}`);
  }
  throw new Refusal(
    Errno.ENOENT,
    'mounting without root needs fusermount3: install the package fuse3, or use `ioasid run`',
  );
}

/** The connection that the helper has sent over `socket`. @throws Refusal EPERM it sent none. */
function receiveConnection(socket: number): number {
  try {
    return receiveDescriptor(socket, { wait: false });
  } catch {
    throw new Refusal(Errno.EPERM, 'fusermount3 sent no connection');
  }
}

/**
 * Mounts a FUSE file system for this user on `target`, which mountinfo calls `source`.
 * @returns the descriptor of the connection: nonblocking, close-on-exec.
 * @throws Refusal ENOENT no fusermount3; EPERM it refused.
 */
export function mountFuseAsUser(target: string, source: string): number {
  const [ours, theirs] = socketPair();
  try {
    fusermount(['-o', `fsname=${source},nosuid,nodev`, '--', target], theirs);
    const fd = receiveConnection(ours);
    check(libc().fcntl(fd, F_SETFL, O_RDWR_NONBLOCK), 'the FUSE connection cannot be made nonblocking');
    return fd;
  } finally {
    libc().close(ours);
    libc().close(theirs);
  }
}

/**
 * Unmounts what this user has mounted on `target`, also when its server is dead. @throws Refusal ENOENT no
 * fusermount3; EPERM.
 */
export function unmountFuseAsUser(target: string): void {
  fusermount(['-u', '-z', '-q', '--', target]);
}
