/**
 * Mounting FUSE without root: through fusermount3(1), the setuid helper of libfuse, which hands the connection over a socket.
 */
import { spawnSync } from 'node:child_process';
import { Errno, Refusal } from './errno.js';
import { address, check, libc } from './ffi.js';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const F_SETFL = 4;
const O_RDWR_NONBLOCK = 0o4002;
const MSG_DATA_SIZE = 16;
/** sizeof(struct cmsghdr): the descriptor follows it. */
const CMSG_HEADER = 16;

const helpers = ['fusermount3', 'fusermount'];

/** Runs the helper that is installed. @throws Refusal ENOENT none is; EPERM it refused, with its own words. */
function fusermount(args: readonly string[], socket?: number): void {
  for (const helper of helpers) {
    const extra = socket === undefined ? [] : [socket];
    const env = { ...process.env, _FUSE_COMMFD: '3' };
    const result = spawnSync(helper, args, { stdio: ['ignore', 'ignore', 'pipe', ...extra], env, encoding: 'utf8' });
    if (result.error !== undefined) continue;
    if (result.status === 0) return;
    throw new Refusal(Errno.EPERM, result.stderr.trim() || `${helper} failed with status ${result.status}`);
  }
  throw new Refusal(Errno.ENOENT, 'mounting without root needs fusermount3: install the package fuse3, or use `ioasid run`');
}

/** Receives one descriptor from `socket`, with a message that is there already. @throws Refusal EAGAIN there is none. */
function receiveDescriptor(socket: number): number {
  const data = Buffer.alloc(128);
  const vector = Buffer.alloc(128);
  const control = Buffer.alloc(128);
  const message = Buffer.alloc(128);
  vector.writeBigUInt64LE(BigInt(address(data)), 0);
  vector.writeBigUInt64LE(BigInt(MSG_DATA_SIZE), 8);
  // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags; 8 bytes each.
  message.writeBigUInt64LE(BigInt(address(vector)), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(BigInt(address(control)), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  check(libc().recvmsg(socket, address(message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC), 'fusermount3 sent no connection');
  if (message.readBigUInt64LE(40) < BigInt(CMSG_HEADER + 4)) throw new Refusal(Errno.EPERM, 'fusermount3 sent no connection');
  return control.readInt32LE(CMSG_HEADER);
}

/**
 * Mounts a FUSE file system for this user on `target`.
 * @returns the descriptor of the connection: nonblocking, close-on-exec.
 * @throws Refusal ENOENT no fusermount3; EPERM it refused.
 */
export function mountFuseAsUser(target: string): number {
  const pair = Buffer.alloc(128);
  check(libc().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, address(pair)), 'no socket for fusermount3');
  const [ours, theirs] = [pair.readInt32LE(0), pair.readInt32LE(4)];
  try {
    fusermount(['-o', 'fsname=ioasid,nosuid,nodev', '--', target], theirs);
    const fd = receiveDescriptor(ours);
    check(libc().fcntl(fd, F_SETFL, O_RDWR_NONBLOCK), 'the FUSE connection cannot be made nonblocking');
    return fd;
  } finally {
    libc().close(ours);
    libc().close(theirs);
  }
}

/** Unmounts what this user has mounted on `target`, also when its server is dead. @throws Refusal ENOENT no fusermount3; EPERM. */
export function unmountFuseAsUser(target: string): void {
  fusermount(['-u', '-z', '-q', '--', target]);
}
