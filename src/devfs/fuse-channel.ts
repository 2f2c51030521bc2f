/**
 * FuseChannel: the connection to /dev/fuse and the two buffers that every message passes through.
 *
 * One request is in `request` at a time, until the next `receive`; its reply is built in `reply` or, for an
 * ioctl, over the request itself. Both buffers live as long as the channel and their addresses are kept, so
 * that a message costs no allocation.
 */
import { Errno, errnoName, Refusal } from '../linux/errno.js';
import { address, lastErrno, libc } from '../linux/ffi.js';
import { IoctlReply, NOTIFY_POLL, PollWakeup, Reply, Request, set64 } from './fuse-wire.js';
import type { StandIn } from './stand-in.js';

/** The largest read or write: 1 MiB, 256 pages, which is as much as the kernel sends. */
export const MAX_TRANSFER = 1 << 20;
/** Views up to this length are kept: registers and ioctl structs. */
const KEPT_VIEW = 16384;

export class FuseChannel {
  readonly fd: number;
  readonly requestBytes = new Uint8Array(MAX_TRANSFER + 4096);
  readonly request = new Uint32Array(this.requestBytes.buffer);
  readonly replyBytes = new Uint8Array(MAX_TRANSFER + 4096);
  readonly reply = new Uint32Array(this.replyBytes.buffer);
  readonly #requestAddress = address(this.requestBytes);
  readonly #replyAddress = address(this.replyBytes);
  readonly #read = libc().read;
  readonly #write = libc().write;
  readonly #standIn: StandIn | undefined;

  constructor(fd: number, standIn?: StandIn) {
    this.fd = fd;
    this.#standIn = standIn;
  }

  /**
   * Receives the next request. @returns its length; 0 when none is pending; -1 when the connection has ended.
   * @throws Refusal it cannot be read though nobody has ended it: EBADF, for one, is a fault of our own.
   */
  receive(): number {
    const taken = this.#standIn?.take(this.requestBytes) ?? 0;
    if (taken > 0) return taken;
    for (;;) {
      const length = this.#read(this.fd, this.#requestAddress, this.requestBytes.length);
      if (length > 0) return length;
      if (length === 0) return -1;
      const errno = lastErrno();
      if (errno === Errno.EAGAIN) return 0;
      if (errno === Errno.ENODEV || errno === Errno.ECONNABORTED) return -1;
      // ENOENT: the request was interrupted before we had it.
      if (errno !== Errno.EINTR && errno !== Errno.ENOENT)
        throw new Refusal(errno, 'the connection to the kernel cannot be read');
    }
  }

  /** Zeroes the first `words` of the reply's body. */
  clearBody(words: number): void {
    this.reply.fill(0, Reply.body, Reply.body + words);
  }

  /**
   * Answers the request with the first `bodyBytes` of the reply's body. @returns false when nobody waits for
   * it any more.
   */
  answer(bodyBytes: number): boolean {
    const length = Reply.bodyByte + bodyBytes;
    this.#head(length, 0);
    return this.#send(this.#replyAddress, length);
  }

  /** Answers the request with an error. */
  answerError(errno: number): void {
    this.#head(Reply.bodyByte, -errno);
    this.#send(this.#replyAddress, Reply.bodyByte);
  }

  /** Answers an IOCTL, whose bytes lie in the request, with `result` and the first `outSize` of them. */
  answerIoctl(result: number, outSize: number): void {
    const words = this.request;
    const length = IoctlReply.headBytes + outSize;
    const unique = words[Request.unique]!;
    const uniqueHigh = words[Request.unique + 1]!;
    words[IoctlReply.length] = length;
    words[IoctlReply.error] = 0;
    words[IoctlReply.unique] = unique;
    words[IoctlReply.unique + 1] = uniqueHigh;
    words[IoctlReply.result] = result;
    words[IoctlReply.flags] = 0;
    words[IoctlReply.inIovs] = 0;
    words[IoctlReply.outIovs] = 0;
    this.#send(this.#requestAddress + IoctlReply.byte, length);
  }

  /**
   * Tells the kernel that the polled file which it knows by `kernelHandle` may have become ready. No request
   * is being answered.
   */
  wakePoll(kernelHandle: number): void {
    const length = Reply.bodyByte + PollWakeup.words * 4;
    this.reply[Reply.length] = length;
    this.reply[Reply.error] = NOTIFY_POLL;
    this.reply[Reply.unique] = 0;
    this.reply[Reply.unique + 1] = 0;
    set64(this.reply, Reply.body + PollWakeup.kernelHandle, kernelHandle);
    this.#send(this.#replyAddress, length);
  }

  #head(length: number, error: number): void {
    this.reply[Reply.length] = length;
    this.reply[Reply.error] = error;
    this.reply[Reply.unique] = this.request[Request.unique]!;
    this.reply[Reply.unique + 1] = this.request[Request.unique + 1]!;
  }

  #send(from: number, length: number): boolean {
    if (this.#write(this.fd, from, length) === length) return true;
    const errno = lastErrno();
    // ENOENT: the caller was killed and has gone; ENODEV: so has the filesystem. Anything else means that the
    // reply was wrong.
    if (errno !== Errno.ENOENT && errno !== Errno.ENODEV) {
      console.error(
        `ioasid: the kernel refused a FUSE reply of ${length} bytes to opcode ` +
          `${this.request[Request.opcode]}: ${errnoName(errno)}`,
      );
    }
    return false;
  }
}

/** ENOSYS would turn the operation off for the whole filesystem, and the kernel takes no errno above 511. */
export function errnoForCaller(errno: number): number {
  if (errno === Errno.ENOSYS) return Errno.EOPNOTSUPP;
  return errno > 0 && errno < 512 ? errno : Errno.EIO;
}

/** Views of one place in a buffer, one per length; short ones are made once. */
export class ViewCache {
  readonly #buffer: ArrayBufferLike;
  readonly #offset: number;
  readonly #kept = new Map<number, Uint8Array>();

  constructor(bytes: Uint8Array, offset: number) {
    this.#buffer = bytes.buffer;
    this.#offset = offset;
  }

  of(length: number): Uint8Array {
    const kept = this.#kept.get(length);
    if (kept !== undefined) return kept;
    const view = new Uint8Array(this.#buffer, this.#offset, length);
    if (length <= KEPT_VIEW) this.#kept.set(length, view);
    return view;
  }
}
