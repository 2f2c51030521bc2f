/**
 * FuseServer: a filesystem of device files, served by answering the kernel's requests one at a time.
 *
 * Every request is answered before the next is read, with one exception: a request that presents a descriptor which only a nonce can
 * identify (identification.ts) is set aside with a copy of its bytes, and dispatched again, from the start, when the answer is there.
 * That is sound because handlers resolve descriptors before they change anything. An answer is good for the request that asked, no longer.
 *
 * Device nodes appear as regular files: the kernel passes ioctl, pread and pwrite on a FUSE regular file to us, but would take a
 * character device elsewhere.
 */
import { Errno, Refusal, refuse } from '../linux/errno.js';
import type { DeviceNode, IoctlCall } from '../uapi/open-file.js';
import { DeviceTree, type Inode, type Opened, type TreeEntry } from './device-tree.js';
import { FuseChannel, MAX_TRANSFER, ViewCache } from './fuse-channel.js';
import { writeAttributes, writeDirectory, writeEntry, writeInit, writeStatfs } from './fuse-replies.js';
import * as wire from './fuse-wire.js';
import { get64, Opcode, Request } from './fuse-wire.js';
import { closeCopy, Identification, NONCE_CMD, Undetermined } from './identification.js';
import { ProcessCaller } from './process-caller.js';

export type { TreeEntry } from './device-tree.js';

/** Requests answered in one `serve`, so that a flood of them does not keep everything else waiting. */
const BATCH = 64;
/** POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM: device files are always ready. */
const READY = 0x145;
const ENDED = -1;

/** One call of a program on a device file, for `trace`. */
export interface CallRecord {
  readonly call: 'open' | 'ioctl' | 'read' | 'write' | 'flush' | 'release';
  /** The node's path below the mount. */
  readonly path: string;
  /** The calling thread; 0 when it is not known. */
  readonly tid: number;
  /** Tells the open files of one node apart; 0 when the open was refused. */
  readonly handle: number;
  /** The ioctl's number, or the offset of a read or write. */
  readonly argument: number;
  /** What the call returned: >= 0, or a negative errno. */
  readonly result: number;
  /** Why it was refused. */
  readonly reason?: string;
}

export interface FuseServerOptions {
  /** Entries beside the device nodes. */
  readonly extra?: readonly TreeEntry[];
  /** Whose the files are; default root. Both ids must have a meaning in the user namespace of the mount. */
  readonly owner?: Owner;
  /** Is told of every call on a device file, after it. */
  readonly onCall?: (record: CallRecord) => void;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A request that waits for an identification: its bytes, and what has been found out for it so far. */
interface SetAside {
  readonly bytes: Uint8Array;
  readonly answers: Map<number, Opened | Refusal>;
  readonly copies: number[];
  /** Something is still being found out. */
  waits: boolean;
}

export class FuseServer {
  readonly fuseFd: number;
  readonly #channel: FuseChannel;
  readonly #tree: DeviceTree;
  readonly #identification: Identification;
  readonly #caller = new ProcessCaller((tid, fd) => this.#presented(tid, fd));
  readonly #opens = new Map<number, Opened>();
  #lastHandle = 0;
  readonly #owner: Owner;
  readonly #onCall: ((record: CallRecord) => void) | undefined;
  readonly #logged = new Set<string>();

  /** Reused for every ioctl: valid until its answer. */
  readonly #ioctlCall = { cmd: 0, arg: 0, data: new Uint8Array(0) } satisfies IoctlCall;
  readonly #ioctlData: ViewCache;
  readonly #readTarget: ViewCache;
  readonly #writeSource: ViewCache;

  /** The request being served: what it is about, for the record, and what was found out for it. */
  #call: CallRecord['call'] | undefined;
  #path = '';
  #handle = 0;
  #argument = 0;
  #resumed: SetAside | undefined;

  /** @throws Refusal EEXIST, ENOTDIR when the paths of nodes and extra entries contradict each other. */
  constructor(fuseFd: number, nodes: readonly DeviceNode[], options: FuseServerOptions = {}) {
    this.fuseFd = fuseFd;
    this.#channel = new FuseChannel(fuseFd);
    this.#tree = new DeviceTree(nodes, options.extra ?? []);
    this.#identification = new Identification(this.#tree, fuseFd);
    this.#owner = options.owner ?? { uid: 0, gid: 0 };
    this.#onCall = options.onCall;
    this.#ioctlData = new ViewCache(this.#channel.requestBytes, wire.IoctlIn.payload);
    this.#readTarget = new ViewCache(this.#channel.replyBytes, wire.Reply.bodyByte);
    this.#writeSource = new ViewCache(this.#channel.requestBytes, wire.WriteIn.payload);
  }

  /** Makes `nodes` the device nodes. Files that are open stay open. @throws Refusal EEXIST, ENOTDIR. */
  update(nodes: readonly DeviceNode[]): void {
    this.#tree.update(nodes);
  }

  /**
   * Answers what is pending, without blocking; after each request `between` is called, and the rest is left for later when it returns
   * false. (To look for the next request at once is faster than to poll for it: the caller just answered often sends it right away.)
   * @returns false when the filesystem is gone: every open file has then been released.
   */
  serve(between: () => boolean = goOn): boolean {
    for (let count = 0; count < BATCH; count++) {
      const length = this.#channel.receive();
      if (length === ENDED) {
        this.#releaseAll();
        return false;
      }
      if (length === 0) break;
      this.#dispatch(length);
      if (!between()) break;
    }
    return true;
  }

  #dispatch(length: number): void {
    this.#call = undefined;
    try {
      this.#handleRequest(length);
    } catch (error) {
      if (error instanceof Undetermined) this.#setAside(error.fd, length);
      else this.#fail(error);
    }
  }

  #handleRequest(length: number): void {
    const { request } = this.#channel;
    const opcode = request[Request.opcode]!;
    if (length < (wire.leastLength[opcode] ?? 40)) refuse('EINVAL', `a FUSE request ${opcode} of ${length} bytes is too short`);
    switch (opcode) {
      case Opcode.IOCTL:
        return this.#ioctl();
      case Opcode.READ:
        return this.#read();
      case Opcode.WRITE:
        return this.#write(length);
      case Opcode.OPEN:
        return this.#open();
      case Opcode.FLUSH:
        return this.#flush();
      case Opcode.RELEASE:
        return this.#release();
      case Opcode.POLL:
        return this.#poll();
      case Opcode.LOOKUP:
        return this.#lookup(length);
      case Opcode.FORGET:
        return this.#tree.forget(get64(request, Request.node));
      case Opcode.BATCH_FORGET:
        return this.#forgetAll(length);
      case Opcode.GETATTR:
        return this.#attributes();
      case Opcode.SETATTR:
        return this.#setAttributes();
      case Opcode.READLINK:
        return this.#readLink();
      case Opcode.OPENDIR:
      case Opcode.RELEASEDIR:
        return this.#answerZeros(opcode === Opcode.OPENDIR ? wire.OpenOut.words : 0);
      case Opcode.READDIR:
        return this.#readDirectory();
      case Opcode.STATFS:
        return this.#answered(writeStatfs(this.#channel.reply));
      case Opcode.INIT:
        return this.#answered(writeInit(request, this.#channel.reply, MAX_TRANSFER));
      case Opcode.INTERRUPT:
        // Every request is answered at once or as soon as its descriptor is known, so there is nothing to interrupt; no reply is due.
        return;
      case Opcode.SYMLINK:
      case Opcode.MKNOD:
      case Opcode.MKDIR:
      case Opcode.UNLINK:
      case Opcode.RMDIR:
      case Opcode.RENAME:
      case Opcode.RENAME2:
      case Opcode.LINK:
      case Opcode.CREATE:
        return this.#channel.answerError(Errno.EPERM);
      default:
        // The kernel does without: ACCESS, FSYNC, GETXATTR, LSEEK, STATX and what it will invent. IOCTL, OPEN and FLUSH never come here.
        return this.#channel.answerError(Errno.ENOSYS);
    }
  }

  #ioctl(): void {
    const { request, requestBytes } = this.#channel;
    const opened = this.#begin('ioctl', request[wire.IoctlIn.cmd]!, get64(request, wire.IoctlIn.handle));
    const call = this.#ioctlCall;
    call.cmd = this.#argument;
    call.arg = get64(request, wire.IoctlIn.arg);
    const inSize = request[wire.IoctlIn.inSize]!;
    const outSize = request[wire.IoctlIn.outSize]!;
    const size = Math.max(inSize, outSize);
    if (outSize > inSize) requestBytes.fill(0, wire.IoctlIn.payload + inSize, wire.IoctlIn.payload + outSize);
    call.data = this.#ioctlData.of(size);
    if (call.cmd === NONCE_CMD && this.#identification.arrived(call.arg, opened)) {
      this.#call = undefined;
      return this.#channel.answerIoctl(0, 0);
    }
    const result = opened.file.ioctl(this.#caller, call);
    this.#channel.answerIoctl(result, outSize);
    this.#record(result);
  }

  #read(): void {
    const { request } = this.#channel;
    const opened = this.#begin('read', get64(request, wire.ReadIn.offset), get64(request, wire.ReadIn.handle));
    // Zeroed, because what was there before belongs to another process.
    const target = this.#readTarget.of(Math.min(request[wire.ReadIn.size]!, MAX_TRANSFER)).fill(0);
    const length = opened.file.read(this.#caller, this.#argument, target);
    this.#channel.answer(length);
    this.#record(length);
  }

  #write(length: number): void {
    const { request, reply } = this.#channel;
    const opened = this.#begin('write', get64(request, wire.WriteIn.offset), get64(request, wire.WriteIn.handle));
    const source = this.#writeSource.of(Math.min(request[wire.WriteIn.size]!, length - wire.WriteIn.payload));
    const written = opened.file.write(this.#caller, this.#argument, source);
    this.#clear(wire.WriteOut.words);
    reply[wire.Reply.body + wire.WriteOut.size] = written;
    this.#answered(wire.WriteOut.words * 4);
    this.#record(written);
  }

  #open(): void {
    const { request, reply } = this.#channel;
    const inode = this.#inode();
    const node = inode.node ?? refuse('ENXIO', `"${inode.path}" is only a place to mount something over`);
    this.#call = 'open';
    this.#path = inode.path;
    this.#handle = 0;
    this.#argument = request[wire.OpenIn.flags]!;
    this.#caller.begin(request[Request.pid]!);
    const opened: Opened = { handle: ++this.#lastHandle, inode, file: node.open(this.#caller) };
    this.#handle = opened.handle;
    this.#opens.set(opened.handle, opened);
    inode.opens.add(opened);
    this.#clear(wire.OpenOut.words);
    wire.set64(reply, wire.Reply.body + wire.OpenOut.handle, opened.handle);
    reply[wire.Reply.body + wire.OpenOut.flags] = wire.FOPEN_DIRECT_IO | (node.flushes ? 0 : wire.FOPEN_NOFLUSH);
    // When the reply does not arrive, the kernel never heard of this open file and will not release it.
    if (this.#channel.answer(wire.OpenOut.words * 4)) this.#record(0);
    else this.#drop(opened);
  }

  #flush(): void {
    const { request } = this.#channel;
    const opened = this.#begin('flush', 0, get64(request, wire.FlushIn.handle));
    opened.file.flush();
    this.#channel.answer(0);
    this.#record(0);
  }

  #release(): void {
    const { request } = this.#channel;
    const opened = this.#begin('release', 0, get64(request, wire.ReleaseIn.handle));
    this.#drop(opened);
    this.#channel.answer(0);
    this.#record(0);
  }

  #poll(): void {
    const events = this.#channel.request[wire.PollIn.events]! & READY;
    this.#clear(wire.PollOut.words);
    this.#channel.reply[wire.Reply.body + wire.PollOut.events] = events;
    this.#answered(wire.PollOut.words * 4);
  }

  #lookup(length: number): void {
    const { requestBytes, reply } = this.#channel;
    const name = Buffer.from(requestBytes.buffer, wire.NAME, length - wire.NAME - 1).toString();
    const inode = this.#tree.lookup(this.#inode(), name);
    if (inode === undefined) return this.#channel.answerError(Errno.ENOENT);
    if (!this.#channel.answer(writeEntry(reply, inode, this.#owner))) this.#tree.forget(inode.id);
  }

  #forgetAll(length: number): void {
    const { request } = this.#channel;
    const { count, first, words } = wire.BatchForgetIn;
    const end = Math.min(first + request[count]! * words, length / 4);
    for (let at = first; at < end; at += words) this.#tree.forget(get64(request, at));
  }

  #attributes(): void {
    this.#answered(writeAttributes(this.#channel.reply, this.#inode(), this.#owner));
  }

  /** Size and times mean nothing here, so `> file` and touch do nothing. */
  #setAttributes(): void {
    const inode = this.#inode();
    if (this.#channel.request[wire.SetattrIn.valid]! & wire.FATTR_MODE_OR_OWNER) return this.#channel.answerError(Errno.EPERM);
    this.#answered(writeAttributes(this.#channel.reply, inode, this.#owner));
  }

  #readLink(): void {
    const target = this.#inode().target;
    if (target === undefined) return this.#channel.answerError(Errno.EINVAL);
    this.#channel.replyBytes.set(target, wire.Reply.bodyByte);
    this.#answered(target.length);
  }

  #readDirectory(): void {
    const { request } = this.#channel;
    const inode = this.#inode();
    const target = this.#readTarget.of(Math.min(request[wire.ReadIn.size]!, MAX_TRANSFER));
    this.#answered(writeDirectory(target, inode, get64(request, wire.ReadIn.offset)));
  }

  /** Notes which call is served, and points the Caller to who made it. @throws Refusal EBADF when the kernel's handle is unknown. */
  #begin(call: CallRecord['call'], argument: number, handle: number): Opened {
    const opened = this.#opens.get(handle) ?? refuse('EBADF', `no open file has the handle ${handle}`);
    this.#call = call;
    this.#path = opened.inode.path;
    this.#handle = handle;
    this.#argument = argument;
    this.#caller.begin(this.#channel.request[Request.pid]!);
    return opened;
  }

  /** The inode that the request names. @throws Refusal ENOENT. */
  #inode(): Inode {
    const id = get64(this.#channel.request, Request.node);
    return this.#tree.inode(id) ?? refuse('ENOENT', `no inode has the number ${id}`);
  }

  #clear(words: number): void {
    this.#channel.reply.fill(0, wire.Reply.body, wire.Reply.body + words);
  }

  #answered(bytes: number): void {
    this.#channel.answer(bytes);
  }

  #answerZeros(words: number): void {
    this.#clear(words);
    this.#channel.answer(words * 4);
  }

  #drop(opened: Opened): void {
    this.#opens.delete(opened.handle);
    opened.inode.opens.delete(opened);
    opened.file.release();
  }

  #releaseAll(): void {
    for (const opened of [...this.#opens.values()]) {
      try {
        this.#drop(opened);
      } catch (error) {
        this.#log(error);
      }
    }
  }

  /** A handler refused, or broke. */
  #fail(error: unknown): void {
    const refusal = error instanceof Refusal ? error : undefined;
    if (refusal === undefined) this.#log(error);
    const errno = toCaller(refusal?.errno ?? Errno.EIO);
    this.#channel.answerError(errno);
    this.#record(-errno, refusal?.reason ?? 'an error inside ioasid');
  }

  /** Reports a bug once, with its stack. */
  #log(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (this.#logged.has(text) || this.#logged.size > 1000) return;
    this.#logged.add(text);
    console.error(`ioasid: ${this.#call ?? 'a request'} on ${this.#path || 'the filesystem'} failed inside ioasid: ${text}`);
  }

  #record(result: number, reason?: string): void {
    if (this.#onCall === undefined || this.#call === undefined) return;
    const tid = this.#channel.request[Request.pid]!;
    const record = { call: this.#call, path: this.#path, tid, handle: this.#handle, argument: this.#argument, result };
    this.#onCall(reason === undefined ? record : { ...record, reason });
  }

  #presented(tid: number, fd: number): object {
    const known = this.#resumed?.answers.get(fd);
    if (known instanceof Refusal) throw known;
    const opened = known ?? this.#identification.byInode(tid, fd);
    if (opened === undefined) throw new Undetermined(fd);
    return opened.file.object;
  }

  /** Keeps the request until descriptor `fd` is identified. */
  #setAside(fd: number, length: number): void {
    const { request, requestBytes } = this.#channel;
    const waiting: SetAside = this.#resumed ?? { bytes: requestBytes.slice(0, length), answers: new Map(), copies: [], waits: true };
    waiting.waits = true;
    this.#identification.byNonce(request[Request.pid]!, fd, ({ answer, copy }) => {
      waiting.answers.set(fd, answer);
      if (copy !== undefined) waiting.copies.push(copy);
      this.#resume(waiting);
    });
  }

  /** Dispatches a request that was set aside, from the start. */
  #resume(waiting: SetAside): void {
    waiting.waits = false;
    this.#channel.requestBytes.set(waiting.bytes);
    this.#resumed = waiting;
    this.#dispatch(waiting.bytes.length);
    this.#resumed = undefined;
    if (!waiting.waits) for (const copy of waiting.copies) closeCopy(copy);
  }
}

function goOn(): boolean {
  return true;
}

/** ENOSYS would turn the operation off for the whole filesystem, and the kernel takes no errno above 511. */
function toCaller(errno: number): number {
  if (errno === Errno.ENOSYS) return Errno.EOPNOTSUPP;
  return errno > 0 && errno < 512 ? errno : Errno.EIO;
}
