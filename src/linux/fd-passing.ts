/**
 * Descriptors from process to process over a Unix stream socket (SCM_RIGHTS, unix(7)).
 *
 * Each message is one byte and one descriptor; the kernel never joins two that carry descriptors. Nobody
 * keeps a message in this process: `sendDescriptor` leaves the caller its own copy, and what
 * `receiveDescriptor` returns is the caller's to close.
 */
import { refuse } from './errno.js';
import { address, check, libc } from './ffi.js';

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 0o2000001;
const O_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** CMSG_LEN(sizeof(int)). No more room than this, so that no second descriptor can come along. */
const CONTROL_LENGTH = 20;
/** Longer than what any sender puts beside a descriptor. */
const DATA_LENGTH = 16;

/** Two ends of a new socket, both close-on-exec. @throws Refusal */
export function socketPair(): [number, number] {
  const pair = Buffer.alloc(128);
  check(
    libc().socketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, address(pair)),
    'there is no socket pair to be had',
  );
  return [pair.readInt32LE(0), pair.readInt32LE(4)];
}

/** The two ends of a new pipe, to read and to write, both close-on-exec. @throws Refusal EMFILE. */
export function pipe(): [number, number] {
  const ends = Buffer.alloc(128);
  check(libc().pipe2(address(ends), O_CLOEXEC), 'there is no pipe to be had');
  return [ends.readInt32LE(0), ends.readInt32LE(4)];
}

/** A struct msghdr, and the buffers that it points to, which must live as long as it does. */
class Message {
  readonly control = Buffer.alloc(128);
  readonly #data = Buffer.alloc(128);
  readonly #vector = Buffer.alloc(128);
  readonly #header = Buffer.alloc(128);

  /** @param length bytes of data to send, or room for them. */
  constructor(length: number) {
    const put = (buffer: Buffer, at: number, value: number) => buffer.writeBigUInt64LE(BigInt(value), at);
    put(this.#vector, 0, address(this.#data));
    put(this.#vector, 8, length);
    // name, namelen, iov, iovlen, control, controllen, flags: 8 bytes each.
    put(this.#header, 16, address(this.#vector));
    put(this.#header, 24, 1);
    put(this.#header, 32, address(this.control));
    put(this.#header, 40, CONTROL_LENGTH);
  }

  get at(): number {
    return address(this.#header);
  }

  /** The descriptor that has been received, or undefined: the message had none. */
  get descriptor(): number | undefined {
    const carries = this.#header.readUInt32LE(40) >= CONTROL_LENGTH;
    const rights = this.control.readInt32LE(8) === SOL_SOCKET && this.control.readInt32LE(12) === SCM_RIGHTS;
    return carries && rights ? this.control.readInt32LE(16) : undefined;
  }
}

/**
 * Hands a copy of `fd` to whoever reads the other end of `socket`. @throws Refusal EBADF, EPIPE and what else
 * sendmsg(2) answers.
 */
export function sendDescriptor(socket: number, fd: number): void {
  const message = new Message(1);
  message.control.writeUInt32LE(CONTROL_LENGTH, 0);
  message.control.writeInt32LE(SOL_SOCKET, 8);
  message.control.writeInt32LE(SCM_RIGHTS, 12);
  message.control.writeInt32LE(fd, 16);
  check(
    libc().sendmsg(socket, message.at, MSG_NOSIGNAL),
    `descriptor ${fd} cannot be sent over socket ${socket}`,
  );
}

/**
 * Takes the descriptor out of the next message; it is close-on-exec here.
 * @param options.wait false: the message must be there already.
 * @throws Refusal EAGAIN there is no message, ENODATA it has no descriptor or the other end is closed, and
 * what else recvmsg(2) answers.
 */
export function receiveDescriptor(socket: number, { wait = true }: { readonly wait?: boolean } = {}): number {
  const message = new Message(DATA_LENGTH);
  const flags = MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT);
  check(libc().recvmsg(socket, message.at, flags), `no descriptor can be received from socket ${socket}`);
  return message.descriptor ?? refuse('ENODATA', `no descriptor came over socket ${socket}`);
}
