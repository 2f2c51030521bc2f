/**
 * Unix stream sockets whose other end sends no descriptors.
 *
 * What somebody sends so (SCM_RIGHTS) is closed by whoever reads the message, or closes the socket where it
 * waits, and that may take as long as the sender likes: a TCP socket that lingers is closed when its peer has
 * read what was written. So the kernel is told to refuse it to the sender (SO_PASSRIGHTS), before anybody can
 * be connected. Linux before 6.16 cannot be.
 */
import { Socket } from 'node:net';
import { Errno, Refusal } from './errno.js';
import { address, check, lastErrno, libc } from './ffi.js';

const AF_UNIX = 1;
/** SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC. */
const STREAM = 0o2004001;
const SOL_SOCKET = 1;
const SO_PASSRIGHTS = 83;
/** struct sockaddr_un: the family, then the name. */
const NAME = 2;
const MOST_NAME = 108;
const BACKLOG = 511;

/** A descriptor that is listened at, by `name`. @throws Refusal EADDRINUSE and what else bind(2) answers. */
export function listenAt(name: string): number {
  return made(name, (fd, at, length) => {
    check(libc().bind(fd, at, length), `the name ${shown(name)} cannot be had`);
    check(libc().listen(fd, BACKLOG), `nobody can be listened to at ${shown(name)}`);
  });
}

/**
 * A descriptor that is connected to who listens at `name`. It waits for nobody. @throws Refusal ECONNREFUSED
 * nobody does; EAGAIN too many wait already; and what else connect(2) answers.
 */
export function connectTo(name: string): number {
  return made(name, (fd, at, length) => {
    check(libc().connect(fd, at, length), `nobody can be reached at ${shown(name)}`);
  });
}

/** Node's socket of a descriptor that is connected, which it closes. */
export function socketOf(fd: number): Socket {
  return new Socket({ fd, readable: true, writable: true });
}

/** A socket, when `use` has given it the address of `name`: a path, or what begins with NUL (abstract). */
function made(name: string, use: (fd: number, at: number, length: number) => void): number {
  const bytes = Buffer.from(name);
  if (bytes.length > MOST_NAME) throw new Refusal(Errno.ENAMETOOLONG, `${shown(name)} is too long a name`);
  const place = Buffer.alloc(128);
  place.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(place, NAME);
  const fd = check(libc().socket(AF_UNIX, STREAM, 0), 'there is no socket to be had');
  try {
    takeNoDescriptors(fd);
    use(fd, address(place), NAME + bytes.length);
    return fd;
  } catch (error) {
    libc().close(fd);
    throw error;
  }
}

function takeNoDescriptors(fd: number): void {
  const none = Buffer.alloc(128);
  if (libc().setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, address(none), 4) === 0) return;
  const errno = lastErrno();
  if (errno !== Errno.ENOPROTOOPT) throw new Refusal(errno, 'a socket cannot be kept from descriptors');
}

function shown(name: string): string {
  return JSON.stringify(name.replace(/\0+/g, ''));
}
