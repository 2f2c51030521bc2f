/**
 * `--link NAME=unix:PATH`: the wire of a device goes on in a Unix stream socket that another program listens
 * at. Each frame has its length before it, 4 bytes, big-endian: what QEMU's `-netdev stream` and passt speak.
 * With `bytes:PATH` there are no frames: it is a stream of bytes, as of a serial line, of which nothing that
 * a peer sends is lost: what the device has no room for waits in the peer's socket.
 *
 * The link is up while there is a connection, which is read from the first `step` on; when it ends another
 * one is tried every RETRY_MS. Nothing that a peer does makes this process keep more than a frame of what it
 * sends, and QUEUED_BYTES and the wire's own ring of what it does not read: what comes then is lost. Who
 * sends a length that no frame has is hung up.
 */
import type { Socket } from 'node:net';
import type { WireEnd } from '../devices/wire.js';
import { errnoWords, Refusal } from '../linux/errno.js';
import { connectTo, socketOf } from '../linux/local-socket.js';
import { complain } from './messages.js';

const LENGTH_BYTES = 4;
const SHORTEST = 14;
/** The largest MTU of a device, and the header with a VLAN tag. */
const LONGEST = 65535 + 18;
/** Bytes that the socket has not taken yet. */
const QUEUED_BYTES = 1 << 20;
const RETRY_MS = 1000;
/** Bytes of a stream that a device receives at once. */
const PIECE = 4096;
const NOTHING = Buffer.alloc(0);

/** One argument of `--link`. */
export interface LinkArgument {
  readonly name: string;
  readonly path: string;
  /** Frames with their lengths, or bytes as they come. */
  readonly framed: boolean;
}

/** @throws Error `text` is not NAME=unix:PATH or NAME=bytes:PATH. */
export function parseLink(text: string): LinkArgument {
  const [, name, kind, path] = /^([^=]+)=(unix|bytes):(.+)$/.exec(text) ?? [];
  if (name === undefined || path === undefined)
    throw new Error(`link "${text}" is not like wire0=unix:PATH or tty0=bytes:PATH`);
  return { name, path, framed: kind === 'unix' };
}

export class UnixLink {
  readonly #end: WireEnd;
  readonly #path: string;
  readonly #framed: boolean;
  #socket: Socket | undefined;
  #retry: NodeJS.Timeout | undefined;
  /** Bytes of a stream that the device has no room for; none are read meanwhile. */
  #held: Buffer = NOTHING;
  /** The frame that is being received, with its length before it, and how much of both is there. */
  readonly #frame = Buffer.alloc(LENGTH_BYTES + LONGEST);
  #received = 0;

  /** Connects `end` to who listens at `path`. @throws Error one sentence: nobody does. */
  static async connect(end: WireEnd, path: string, framed = true): Promise<UnixLink> {
    const link = new UnixLink(end, path, framed);
    const socket = connected(path);
    if (socket instanceof Refusal)
      throw new Error(`nobody listens at "${path}": ${errnoWords(socket.errno)}`);
    link.#take(socket);
    // What it sends comes when the machine is served, and may be recorded.
    socket.pause();
    return link;
  }

  private constructor(end: WireEnd, path: string, framed: boolean) {
    this.#end = end;
    this.#path = path;
    this.#framed = framed;
  }

  /** Sends the frames that wait, as far as the peer takes them. */
  step(): void {
    const socket = this.#socket;
    if (socket === undefined) {
      this.#end.clear();
      return;
    }
    while (this.#end.waiting && socket.writableLength < QUEUED_BYTES) this.#send(socket);
    if (this.#held.length > 0) this.#pass(socket, this.#held);
    else if (socket.isPaused()) socket.resume();
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#socket?.removeAllListeners('close').destroy();
    this.#socket = undefined;
    this.#end.isUp = false;
  }

  #send(socket: Socket): void {
    const length = this.#end.next;
    const head = this.#framed ? LENGTH_BYTES : 0;
    const bytes = Buffer.allocUnsafe(head + length);
    if (this.#framed) bytes.writeUInt32BE(length, 0);
    this.#end.peek(bytes, length, head);
    this.#end.shift();
    socket.write(bytes);
  }

  /** A connection is there. */
  #take(socket: Socket): void {
    this.#socket = socket.unref();
    this.#received = 0;
    this.#held = NOTHING;
    this.#end.isUp = true;
    socket
      .on('data', (bytes: Buffer) =>
        this.#framed ? this.#receive(socket, bytes) : this.#pass(socket, bytes),
      )
      // What there is to say is said when it is closed.
      .on('error', () => {})
      .on('end', () => socket.destroy())
      .on('close', () => this.#lose());
  }

  #lose(): void {
    this.#socket = undefined;
    this.#end.isUp = false;
    complain(`the peer at "${this.#path}" has gone; the link is down until somebody listens there`);
    this.#try();
  }

  /** Tries to connect, again and again. */
  #try(): void {
    const socket = connected(this.#path);
    if (socket instanceof Refusal) this.#retry = setTimeout(() => this.#try(), RETRY_MS).unref();
    else this.#take(socket);
  }

  /** A stream of bytes has no parts. What the device has no room for is held, and the socket not read. */
  #pass(socket: Socket, bytes: Buffer): void {
    let at = 0;
    for (; at < bytes.length && this.#end.room >= PIECE; at += PIECE)
      this.#end.send(bytes.subarray(at, at + PIECE));
    this.#held = bytes.subarray(at);
    if (this.#held.length > 0) socket.pause();
    else socket.resume();
  }

  /** Takes the stream apart. */
  #receive(socket: Socket, bytes: Buffer): void {
    for (let at = 0; at < bytes.length && !socket.destroyed; ) {
      const wanted = this.#wanted();
      const n = Math.min(wanted - this.#received, bytes.length - at);
      bytes.copy(this.#frame, this.#received, at, at + n);
      this.#received += n;
      at += n;
      if (this.#received === LENGTH_BYTES) this.#checkLength(socket);
      if (this.#received === this.#wanted()) this.#deliver();
    }
  }

  /** Bytes of the frame with its length, as far as that is known. */
  #wanted(): number {
    return this.#received < LENGTH_BYTES ? LENGTH_BYTES : LENGTH_BYTES + this.#frame.readUInt32BE(0);
  }

  /** After a wrong length nobody knows where the next frame begins. */
  #checkLength(socket: Socket): void {
    const length = this.#frame.readUInt32BE(0);
    if (length <= LONGEST) return;
    complain(`the peer at "${this.#path}" has sent a frame of ${length} bytes, more than ${LONGEST}`);
    socket.destroy();
  }

  #deliver(): void {
    const length = this.#received - LENGTH_BYTES;
    if (length >= SHORTEST) this.#end.send(this.#frame.subarray(LENGTH_BYTES), length, 0);
    this.#received = 0;
  }
}

/** A connection to who listens at `path`, or why there is none. */
function connected(path: string): Socket | Refusal {
  try {
    return socketOf(connectTo(path));
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}
