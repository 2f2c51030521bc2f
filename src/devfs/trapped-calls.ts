/**
 * TrappedCalls: calls that reach us through seccomp because FUSE cannot serve them. They are the ioctls that
 * return a new descriptor (uapi/new-fd.ts), shared mappings, and reads of no bytes.
 *
 * The filter knows numbers only. So each call is first found out to be on a file of ours; all others go on to
 * the kernel untouched, or to a server inside ours. Ours are served as FileRequests would, with a caller that
 * can be given descriptors: where one may be returned a blank open file is made beforehand, and when the
 * handler installs, it is put into the caller and becomes the file. Our own descriptor of it is closed before
 * the call returns, so that the caller's close is the last.
 *
 * The caller waits outside of the kernel's ioctl: nothing keeps its descriptor open, and it may be killed at
 * any moment. Therefore its descriptor is identified in the same step in which the handler runs, and what was
 * found by the thread's id is used only after the kernel has said that the very same call still waits. A
 * caller that was killed takes its descriptors with it, and with our copy closed that releases the file.
 */

import type { OpenFile } from '../file/open-file.js';
import { failing, finished, isWork, type Sliced, type Work } from '../file/work.js';
import type { Account } from '../linux/account.js';
import type { CallListener } from '../linux/call-listener.js';
import { Errno, Refusal, refuse } from '../linux/errno.js';
import type { LoopSource } from '../linux/event-loop.js';
import { JOIN } from '../linux/nested-trap.js';
import { userOfThread } from '../linux/proc.js';
import { descriptorOf, isEmptyRead, isIoctl, isMapping, isSignalAction } from '../linux/seccomp.js';
import type { TrappedCall } from '../linux/trapped-call.js';
import type { Trace } from '../trace/trace.js';
import { recordUnserved } from '../trace/traced-file.js';
import { newStreamIoctls, returnsNewFd } from '../uapi/new-fd.js';
import type { Blank, BlankFiles } from './blank-files.js';
import { usedBy } from './file-requests.js';
import { type Identification, Undetermined } from './identification.js';
import { nameOf, type Opened } from './inode.js';
import { NestedServers } from './nested-servers.js';
import { accountOf, type Openers } from './openers.js';
import type { OwnCopy } from './own-files.js';
import { ProcessCaller } from './process-caller.js';
import type { Tracer } from './tracer.js';
import { Claimed, slice, type Turns } from './turns.js';

const NO_DATA = new Uint8Array(0);
const PAGE = 4096;
/** Calls that are answered before others are served: posix_spawn(3) sets one action after the other. */
const MOST_ACTIONS = 16;

/** A trapped call, and what has been found out and made for it so far. */
interface Pending {
  readonly call: TrappedCall;
  /** The opener's of the file that the call is on, once that is known. */
  account: Account | undefined;
  readonly answers: Map<number, Opened | Refusal>;
  readonly copies: OwnCopy[];
  /**
   * A blank file has been asked for. `blank` is undefined after that when there was none to be had, or it has
   * been used.
   */
  prepared: boolean;
  blank: Blank | undefined;
  installed: Blank | undefined;
}

export interface TrapReports {
  /** As FuseServerOptions.trace. */
  readonly trace: Trace | undefined;
  /** Is told whose call on a file is being served, by thread; 0: nobody's any more, or one that maps it. */
  serving(tid: number): void;
  /** Is told of what a handler throws that is no Refusal. */
  failed(error: unknown, what: string): void;
}

export class TrappedCalls implements LoopSource {
  readonly #listener: CallListener;
  readonly #identification: Identification;
  readonly #blanks: BlankFiles;
  readonly #turns: Turns;
  readonly #reports: TrapReports;
  readonly #nested: NestedServers;
  readonly #openers: Openers;
  readonly #tracer: Tracer | undefined;
  readonly #caller: ProcessCaller;
  /** The call being served. */
  #current: Pending | undefined;
  #settled = true;

  constructor(
    listener: CallListener,
    identification: Identification,
    blanks: BlankFiles,
    turns: Turns,
    openers: Openers,
    reports: TrapReports,
    tracer?: Tracer,
  ) {
    this.#listener = listener;
    this.#identification = identification;
    this.#blanks = blanks;
    this.#turns = turns;
    this.#reports = reports;
    this.#openers = openers;
    this.#tracer = tracer;
    this.#nested = new NestedServers(listener, openers);
    this.#caller = new ProcessCaller(identification, (tid, fd) => this.#presented(tid, fd));
  }

  get fd(): number {
    return this.#listener.calls;
  }

  /** A call that goes on to the kernel leaves nothing behind. */
  get settled(): boolean {
    return this.#settled;
  }

  ready(between: () => boolean): boolean {
    const { state } = this.#listener;
    this.#settled = true;
    if (state !== 'pending') return state !== 'ended';
    for (let more = MOST_ACTIONS; this.#take(between) && more > 0 && this.#listener.comesToCall(); ) more--;
    return true;
  }

  /** Takes the next call. @returns whether that was one of rt_sigaction(2), which it has answered. */
  #take(between: () => boolean): boolean {
    const call = this.#listener.receive();
    const setsAction = call !== undefined && isSignalAction(call);
    if (setsAction) this.#setAction(call);
    else if (call !== undefined && isIoctl(call) && call.ints[1] === JOIN) {
      this.#nested.join(call);
      this.#settled = false;
    } else if (call !== undefined) {
      this.#advance({
        call,
        account: undefined,
        answers: new Map(),
        copies: [],
        prepared: false,
        blank: undefined,
        installed: undefined,
      });
      between();
    }
    return setsAction;
  }

  /**
   * Takes the call as far as it goes now; what it has to wait for calls this again. Until the handler runs,
   * nothing has been changed.
   */
  #advance(pending: Pending): void {
    const { call } = pending;
    this.#begin(pending);
    try {
      const opened = this.#target(pending);
      this.#settled &&= opened === undefined;
      if (opened === undefined) this.#end(pending, () => this.#pass(call));
      else this.#ours(pending, opened);
    } catch (error) {
      this.#settled = false;
      if (error instanceof Undetermined) this.#determine(pending, error.fd);
      else if (error instanceof Claimed) this.#turns.wait(error.objects, () => this.#advance(pending));
      else throw error;
    } finally {
      this.#leave();
    }
  }

  /** The call is on a file of ours. */
  #ours(pending: Pending, opened: Opened): void {
    const { ints, args } = pending.call;
    const uses = usedBy(opened.file, isEmptyRead(pending.call) ? 'read' : 'ioctl');
    pending.account = opened.account;
    this.#begin(pending);
    if (this.#turns.claimed(uses)) this.#turns.wait(uses, () => this.#advance(pending));
    else if (isMapping(pending.call)) this.#map(pending, opened);
    else if (isEmptyRead(pending.call)) this.#readNothing(pending, opened);
    else if (pending.prepared || !returnsNewFd(this.#caller, ints[1]!, args[2]!))
      this.#serve(pending, opened);
    else this.#prepare(pending, opened);
  }

  /** `pending` is the call being served. */
  #begin(pending: Pending): void {
    const { call } = pending;
    this.#current = pending;
    this.#reports.serving(isMapping(call) ? 0 : call.tid);
    this.#caller.begin(call.tid, pending.account, {
      confirm: () => this.#confirm(call),
      install: (file) => this.#install(pending, file),
    });
  }

  /** No call is being served. */
  #leave(): void {
    this.#current = undefined;
    this.#reports.serving(0);
  }

  #pass(call: TrappedCall): void {
    if (!this.#nested.handOn(call)) this.#listener.pass(call.id);
  }

  /** Where in the file says nothing: no file of ours has another answer to that elsewhere. */
  #readNothing(pending: Pending, opened: Opened): void {
    try {
      this.#answer(pending, finished(opened.file.read(this.#caller, 0, NO_DATA)));
    } catch (error) {
      this.#fail(pending, opened, error);
    }
  }

  /**
   * The open file that the call is on; undefined when it is none of ours, or out of our reach, or nobody
   * waits any more.
   */
  #target({ call }: Pending): Opened | undefined {
    // Of the count of a read the filter has seen the low half.
    if (call.tid === 0 || !(isIoctl(call) || isMapping(call) || isEmptyRead(call))) return undefined;
    // Most that are mapped are others', and then nothing else is asked.
    if (isMapping(call) && !this.#identification.isOurs(call.tid, descriptorOf(call))) return undefined;
    try {
      const opened = this.#opened(call.tid, descriptorOf(call));
      this.#confirm(call);
      return opened;
    } catch (error) {
      if (error instanceof Refusal) return undefined;
      throw error;
    }
  }

  /** rt_sigaction(2), of SIGBUS or SIGILL: that of a traced program is followed. */
  #setAction(call: TrappedCall): void {
    const { id, tid, ints, args } = call;
    this.#tracer?.setsAction(tid, ints[0]!, args[1]!, args[2]!);
    if (!this.#nested.handOnTraced(call)) this.#listener.pass(id);
  }

  /** mmap(2): whoever maps a file of ours is traced from then on, and the kernel makes the mapping. */
  #map(pending: Pending, opened: Opened): void {
    const { id, tid, ints, args } = pending.call;
    try {
      const { mapping } = opened.file;
      if (mapping === undefined || this.#tracer === undefined)
        refuse('ENODEV', `${nameOf(opened)} cannot be mapped`);
      const [length, protection, offset] = [Math.ceil(args[1]! / PAGE) * PAGE, ints[2]!, args[5]!];
      mapping.check(this.#caller, offset, length);
      this.#tracer.trace(tid, opened.account);
      const give = (fd: number) => this.#listener.give(id, fd);
      this.#tracer.mapPages(tid, opened, { offset, length, protection }, give);
      const pass = () => this.#end(pending, () => this.#listener.pass(id));
      opened.inode.mappedBy = descriptorOf(pending.call);
      this.#identification.refresh(opened, tid, pass);
    } catch (error) {
      this.#fail(pending, opened, error);
    }
  }

  #prepare(pending: Pending, opened: Opened): void {
    const proceed = (blank: Blank | undefined) => {
      pending.prepared = true;
      pending.blank = blank;
      this.#advance(pending);
    };
    try {
      this.#blanks.make(opened.account, newStreamIoctls.includes(pending.call.ints[1]!), proceed);
    } catch (error) {
      this.#fail(pending, opened, error);
    }
  }

  #serve(pending: Pending, opened: Opened): void {
    const cmd = pending.call.ints[1]!;
    const arg = pending.call.args[2]!;
    try {
      const result = opened.file.ioctl(this.#caller, { cmd, arg, data: NO_DATA });
      if (isWork(result)) this.#goOn(pending, opened, result);
      else this.#answer(pending, result);
    } catch (error) {
      if (error instanceof Undetermined || error instanceof Claimed) throw error;
      this.#fail(pending, opened, error);
    }
  }

  #goOn(pending: Pending, opened: Opened, work: Work<number>): void {
    const objects = usedBy(opened.file, 'ioctl');
    const proceed = (now?: true, milliseconds?: number) => {
      this.#begin(pending);
      try {
        const result = slice(work, now, milliseconds);
        if (typeof result !== 'object') return result;
        this.#answer(pending, result.value);
        return true;
      } catch (error) {
        this.#fail(pending, opened, error);
        return true;
      } finally {
        this.#leave();
      }
    };
    const { account } = opened;
    if (proceed(undefined, this.#turns.firstSlice(account)) === true) return;
    this.#turns.goOn(account, objects, proceed);
  }

  #fail(pending: Pending, opened: Opened, error: unknown): void {
    const refusal = error instanceof Refusal ? error : undefined;
    const path = nameOf(opened);
    if (refusal === undefined) this.#reports.failed(error, `a trapped call on ${path}`);
    const { call } = pending;
    const kind = isMapping(call) ? 'mmap' : isEmptyRead(call) ? 'read' : 'ioctl';
    recordUnserved(this.#reports.trace, kind, path, this.#caller, error);
    this.#answer(pending, -(refusal?.errno ?? Errno.EIO));
  }

  #answer(pending: Pending, result: number): void {
    this.#end(pending, () => this.#listener.answer(pending.call.id, result));
  }

  /**
   * Puts away what was made for the call, and answers it. A blank that was not needed is not kept for the
   * next: a process that ends with a file of its own open waits for its own answer to the close, for ever.
   */
  #end({ blank, installed, copies }: Pending, answer: () => void): void {
    for (const copy of copies) this.#identification.closeCopy(copy);
    const made = installed ?? blank;
    if (made === undefined) answer();
    else this.#blanks.close(made, answer);
  }

  #install(pending: Pending, file: OpenFile): Sliced<number> {
    try {
      const blank = pending.blank ?? refuse('ENFILE', 'the server has no descriptor left to hand over');
      const number = this.#listener.give(pending.call.id, blank.fd);
      blank.opened.file = file;
      pending.blank = undefined;
      pending.installed = blank;
      return number;
    } catch (error) {
      return failing(file.release(), error);
    }
  }

  #confirm({ id, tid }: TrappedCall): void {
    if (!this.#listener.waits(id)) refuse('ESRCH', `thread ${tid} was killed while it waited`);
  }

  /** @throws Undetermined; Claimed; Refusal. */
  #presented(tid: number, fd: number): object {
    const { object } = this.#opened(tid, fd).file;
    if (this.#turns.claimed([object])) throw new Claimed(object);
    return object;
  }

  /** @throws Undetermined; Refusal. */
  #opened(tid: number, fd: number): Opened {
    const pending = this.#current!;
    const known = pending.answers.get(fd);
    if (known instanceof Refusal) throw known;
    const opened = known ?? this.#identification.byInode(() => this.#payer(pending), tid, fd);
    if (opened === undefined) throw new Undetermined(fd);
    return opened;
  }

  /** Who pays for what is held while it is found out which file is called: who opened it, or calls. */
  #payer({ account, call }: Pending): Account {
    return account ?? accountOf(this.#openers, call.tid, userOfThread(call.tid) ?? 0);
  }

  #determine(pending: Pending, fd: number): void {
    this.#identification.byNonce(this.#payer(pending), pending.call.tid, fd, ({ answer, copy }) => {
      pending.answers.set(fd, answer);
      if (copy !== undefined) pending.copies.push(copy);
      this.#advance(pending);
    });
  }
}
