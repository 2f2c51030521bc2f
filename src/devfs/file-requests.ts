/**
 * FileRequests: the requests on device files, each of which becomes one call of a DeviceNode or an OpenFile.
 *
 * An open file description of the kernel's is an `Opened` here, by the handle that the kernel was given for
 * it; it is made by OPEN and dropped by RELEASE, once each. The Caller and the IoctlCall are the same objects
 * every time and mean the request being served; an ioctl that goes on in slices keeps its IoctlCall, and the
 * next has another.
 */

import { constants } from 'node:fs';
import type { DeviceNode } from '../file/device-node.js';
import {
  type CalledBy,
  type FileCall,
  type IoctlCall,
  type OpenFile,
  READABLE,
  WRITABLE,
} from '../file/open-file.js';
import { finished, isWork, type Sliced, type Work } from '../file/work.js';
import { type Account, forHeap, Pool } from '../linux/account.js';
import { Errno, refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';
import type { Trace } from '../trace/trace.js';
import { recordUnserved } from '../trace/traced-file.js';
import { type FuseChannel, MAX_TRANSFER, ViewCache } from './fuse-channel.js';
import * as wire from './fuse-wire.js';
import { get64, NONCE_CMD, Request, set64 } from './fuse-wire.js';
import type { Identification } from './identification.js';
import { type Inode, nameOf, type Opened } from './inode.js';
import { accountOf, type Openers } from './openers.js';
import type { OwnFiles } from './own-files.js';
import { Polls } from './polls.js';
import type { ProcessCaller } from './process-caller.js';
import { Claimed, type Turns } from './turns.js';

const O_ACCMODE = 3;
/** Bytes that are always read at once. */
const AT_ONCE = 4;
/** Open files: some 3 KB of the server's each, where the kernel counts a pointer for their opener. */
export const openFiles = new Pool('open files', 'ENFILE', () => forHeap(2 ** 18), { bytes: 3072 });

/** An open file of a program, for those who look. */
export interface OpenedFile {
  readonly inode: number;
  readonly path: string;
  readonly object: object;
  readonly calledBy: CalledBy | undefined;
}

/** A request that is not done yet: its work, and how to go on with it. */
export interface Ongoing {
  /** What it uses. */
  readonly objects: readonly object[];
  readonly work: Work<number | void>;
  /** How much of the request is needed on: not what was to be written. */
  readonly bytes: number;
  /** Makes it the request being served again, when its bytes are in the channel. */
  resume(): void;
  /** The work is done. */
  answer(result: number | void): void;
}

const emptyCall = () => ({ cmd: 0, arg: 0, data: new Uint8Array(0) as Uint8Array }) satisfies IoctlCall;

export class FileRequests {
  readonly #channel: FuseChannel;
  readonly #identification: Identification;
  readonly #own: OwnFiles;
  readonly #trace: Trace | undefined;
  readonly #caller: ProcessCaller;
  readonly #turns: Turns;
  readonly #openers: Openers;
  readonly #opens = new Map<number, Opened>();
  readonly #polls = new Polls();
  #lastHandle = 0;

  #ioctlCall = emptyCall();
  readonly #ioctlData: ViewCache;
  readonly #readTarget: ViewCache;
  readonly #writeSource: ViewCache;

  /** What the request being served is about. */
  #call: FileCall | 'open' | undefined;
  #path = '';
  #account: Account | undefined;
  #opened: Opened | undefined;
  #node: DeviceNode | undefined;

  /**
   * `caller` becomes whoever has made the request that is being served; `trace` is where it is recorded when
   * it is refused here already.
   */
  constructor(
    channel: FuseChannel,
    identification: Identification,
    own: OwnFiles,
    caller: ProcessCaller,
    trace: Trace | undefined,
    turns: Turns,
    openers: Openers,
  ) {
    this.#channel = channel;
    this.#identification = identification;
    this.#own = own;
    this.#trace = trace;
    this.#turns = turns;
    this.#openers = openers;
    this.#caller = caller;
    this.#ioctlData = new ViewCache(channel.requestBytes, wire.IoctlIn.payload);
    this.#readTarget = new ViewCache(channel.replyBytes, wire.Reply.bodyByte);
    this.#writeSource = new ViewCache(channel.requestBytes, wire.WriteIn.payload);
  }

  ioctl(): Ongoing | undefined {
    const { request, requestBytes } = this.#channel;
    if (this.#isNonce()) {
      this.#channel.answerIoctl(0, 0);
      return undefined;
    }
    const opened = this.#begin('ioctl', get64(request, wire.IoctlIn.handle));
    const call = this.#ioctlCall;
    call.cmd = request[wire.IoctlIn.cmd]!;
    call.arg = get64(request, wire.IoctlIn.arg);
    const inSize = request[wire.IoctlIn.inSize]!;
    const outSize = request[wire.IoctlIn.outSize]!;
    const size = Math.max(inSize, outSize);
    if (size > MAX_TRANSFER) refuse('EINVAL', `an ioctl with ${size} bytes`);
    if (outSize > inSize) requestBytes.fill(0, wire.IoctlIn.payload + inSize, wire.IoctlIn.payload + outSize);
    call.data = this.#ioctlData.of(size);
    const result = opened.file.ioctl(this.#caller, call);
    if (isWork(result)) {
      this.#ioctlCall = emptyCall();
      const answer = (value: number | void) => this.#answerIoctl(Number(value), outSize);
      return this.#ongoing(result, answer, wire.IoctlIn.payload + size);
    }
    return this.#answerIoctl(result, outSize);
  }

  read(): Ongoing | undefined {
    const { request } = this.#channel;
    const opened = this.#begin('read', get64(request, wire.ReadIn.handle));
    if (wire.isForPage(request)) {
      this.#identification.pageAsked(opened, request[Request.pid]!);
      // Of a mapped BAR an access begins so, of which the tracer tells what there is to tell.
      if (opened.inode.mappedBy === undefined)
        refuse('EIO', `${nameOf(opened)} has no pages: it can be read, not mapped`);
      this.#channel.answerError(Errno.EIO);
      return undefined;
    }
    // Zeroed, because what was there before belongs to another process; a long one may go on when others are
    // answered.
    const size = Math.min(request[wire.ReadIn.size]!, MAX_TRANSFER);
    const target = size <= AT_ONCE ? this.#readTarget.of(size).fill(0) : new Uint8Array(size);
    const result = opened.file.read(this.#caller, get64(request, wire.ReadIn.offset), target);
    if (isWork(result)) return this.#ongoing(result, (read) => this.#answerRead(target, Number(read)));
    return this.#answerRead(target, result);
  }

  write(length: number): Ongoing | undefined {
    const { request } = this.#channel;
    const opened = this.#begin('write', get64(request, wire.WriteIn.handle));
    const source = this.#writeSource.of(Math.min(request[wire.WriteIn.size]!, length - wire.WriteIn.payload));
    const result = opened.file.write(this.#caller, get64(request, wire.WriteIn.offset), source);
    if (isWork(result)) return this.#ongoing(result, (written) => this.#answerWrite(Number(written)));
    return this.#answerWrite(result);
  }

  open(inode: Inode): Ongoing | undefined {
    const { request, reply } = this.#channel;
    const node = inode.node ?? refuse('ENXIO', `"${inode.path}" is only a place to mount something over`);
    const tid = request[Request.pid]!;
    const account = inode.account ?? accountOf(this.#openers, tid, request[Request.uid]!);
    this.#about('open', inode.path, account);
    this.#node = node;
    this.#claim();
    const readOnly = (request[wire.OpenIn.flags]! & O_ACCMODE) === constants.O_RDONLY;
    const opened = this.#open(node, inode, account, readOnly);
    this.#channel.clearBody(wire.OpenOut.words);
    set64(reply, wire.Reply.body + wire.OpenOut.handle, opened.handle);
    reply[wire.Reply.body + wire.OpenOut.flags] =
      wire.FOPEN_DIRECT_IO | (node.flushes ? 0 : wire.FOPEN_NOFLUSH) | (node.stream ? wire.FOPEN_STREAM : 0);
    // When the reply does not arrive, the kernel never heard of this open file and will not release it.
    const arrived = this.#channel.answer(wire.OpenOut.words * 4);
    const dropped = arrived ? undefined : this.#drop(opened);
    if (!isWork(dropped)) return undefined;
    return { ...this.#ongoing(dropped, () => undefined), objects: usedBy(opened.file, 'release') };
  }

  flush(): Ongoing | undefined {
    // No descriptor of a caller's was closed, and whoever has one presented would wait for its file.
    if (this.#own.calls(this.#channel.request[Request.pid]!)) return void this.#channel.answer(0);
    const opened = this.#begin('flush', get64(this.#channel.request, wire.FlushIn.handle));
    return this.#done(opened.file.flush());
  }

  release(): Ongoing | undefined {
    const opened = this.#begin('release', get64(this.#channel.request, wire.ReleaseIn.handle));
    return this.#done(this.#drop(opened));
  }

  poll(): void {
    const { request } = this.#channel;
    const handle = get64(request, wire.PollIn.handle);
    const opened = this.#opens.get(handle);
    const stream = opened?.file.stream;
    const events = request[wire.PollIn.events]! & (stream?.ready() ?? READABLE | WRITABLE);
    if (stream !== undefined && request[wire.PollIn.flags]! & wire.POLL_SCHEDULE_NOTIFY)
      this.#polls.add(handle, stream, get64(request, wire.PollIn.kernelHandle), opened!.account);
    this.#channel.clearBody(wire.PollOut.words);
    this.#channel.reply[wire.Reply.body + wire.PollOut.events] = events;
    this.#channel.answer(wire.PollOut.words * 4);
  }

  /** Wakes those who poll a stream into which something has come. @returns whether there may be more. */
  wakePolls(): boolean {
    return this.#polls.wake((kernelHandle) => this.#channel.wakePoll(kernelHandle));
  }

  /** A new request: nothing is known of it yet. */
  next(): void {
    this.#call = undefined;
    this.#account = undefined;
    this.#opened = undefined;
    this.#node = undefined;
  }

  /** The request being served was answered with `error`. */
  failed(error: unknown): void {
    if (this.#call !== undefined) recordUnserved(this.#trace, this.#call, this.#path, this.#caller, error);
  }

  /** Open files that have not been released. */
  get opens(): number {
    return this.#opens.size;
  }

  /** Each of them: the inode by which a descriptor names it, and what it stands for. */
  *opened(): Generator<OpenedFile> {
    for (const opened of this.#opens.values())
      yield {
        inode: opened.inode.id,
        path: nameOf(opened),
        object: opened.file.object,
        calledBy: opened.file.calledBy,
      };
  }

  /** What the request being served uses. */
  get uses(): readonly object[] {
    if (this.#opened !== undefined) return usedBy(this.#opened.file, this.#call as FileCall);
    return this.#node?.uses?.() ?? [];
  }

  /** Who pays for what the request being served makes us hold: the opener of its file. */
  get account(): Account {
    return this.#account ?? broken('a request that is about no file makes us hold something');
  }

  /** The same; undefined for a request that is about no file. */
  get opener(): Account | undefined {
    return this.#account;
  }

  /** What the request being served is, for messages. */
  get description(): string {
    return this.#call === undefined ? 'a request' : `${this.#call} on ${this.#path}`;
  }

  /** Releases every open file: the filesystem is gone. `failed` is told of what a release throws. */
  releaseAll(failed: (error: unknown) => void): void {
    for (const opened of [...this.#opens.values()]) {
      try {
        finished(this.#drop(opened));
      } catch (error) {
        failed(error);
      }
    }
  }

  /** @throws Refusal EBADF when the kernel's handle is unknown. */
  #begin(call: FileCall, handle: number): Opened {
    const opened = this.#opens.get(handle) ?? refuse('EBADF', `no open file has the handle ${handle}`);
    this.#about(call, nameOf(opened), opened.account);
    this.#opened = opened;
    this.#claim();
    return opened;
  }

  /**
   * Does the ioctl identify a descriptor? It uses nothing of its file, and waits for nobody that does: all
   * who present descriptors would wait with it.
   */
  #isNonce(): boolean {
    const { request } = this.#channel;
    if (request[wire.IoctlIn.cmd] !== NONCE_CMD) return false;
    const opened = this.#opens.get(get64(request, wire.IoctlIn.handle));
    return opened !== undefined && this.#identification.arrived(get64(request, wire.IoctlIn.arg), opened);
  }

  /**
   * A RELEASE does not wait with its opener: another user may open next what has been closed. Others wait for
   * their opener's turn alone, and only then for what they use: they would keep his other calls from it.
   * @throws Claimed when another that goes on has something that the request uses, or its opener waits.
   */
  #claim(): void {
    if (this.#turns.idle) return;
    const waits = this.#call !== 'release' && this.#turns.claimed([this.account]);
    if (waits) throw new Claimed(this.account);
    if (this.#turns.claimed(this.uses)) throw new Claimed(...this.uses);
  }

  #answerIoctl(result: number, outSize: number): undefined {
    this.#channel.answerIoctl(result, outSize);
  }

  #answerRead(target: Uint8Array, read: number): undefined {
    if (target.length > AT_ONCE) this.#channel.replyBytes.set(target.subarray(0, read), wire.Reply.bodyByte);
    this.#channel.answer(read);
  }

  #answerWrite(written: number): undefined {
    this.#channel.clearBody(wire.WriteOut.words);
    this.#channel.reply[wire.Reply.body + wire.WriteOut.size] = written;
    this.#channel.answer(wire.WriteOut.words * 4);
  }

  /** A request that answers nothing but that it is done. */
  #done(result: Sliced<void>): Ongoing | undefined {
    const answer = () => void this.#channel.answer(0);
    return isWork(result) ? this.#ongoing(result, answer) : void answer();
  }

  #ongoing(work: Ongoing['work'], answer: Ongoing['answer'], bytes: number = wire.HEADER_BYTES): Ongoing {
    const [call, path] = [this.#call!, this.#path];
    const account = this.account;
    const resume = () => this.#about(call, path, account);
    return { objects: this.uses, work, bytes, answer, resume };
  }

  #about(call: FileCall | 'open', path: string, account: Account): void {
    this.#call = call;
    this.#path = path;
    this.#account = account;
    this.#caller.begin(this.#channel.request[Request.pid]!, account);
  }

  /** @throws Refusal ENFILE its opener has too many; and what the node's `open` does. */
  #open(node: DeviceNode, inode: Inode, account: Account, readOnly: boolean): Opened {
    account.take(openFiles, 1);
    try {
      const file = node.open(this.#caller);
      const opened: Opened = { handle: ++this.#lastHandle, inode, account, readOnly, file };
      this.#opens.set(opened.handle, opened);
      inode.opens.add(opened);
      inode.keeper?.opened();
      return opened;
    } catch (refusal) {
      account.give(openFiles, 1);
      throw refusal;
    }
  }

  #drop(opened: Opened): Sliced<void> {
    this.#opens.delete(opened.handle);
    this.#polls.delete(opened.handle);
    opened.inode.opens.delete(opened);
    opened.inode.keeper?.closed();
    opened.account.give(openFiles, 1);
    return opened.file.release();
  }
}

/** What a call on `file` uses. */
export function usedBy(file: OpenFile, call: FileCall): readonly object[] {
  return file.uses?.(call) ?? [file.object];
}
