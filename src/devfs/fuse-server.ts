/**
 * FuseServer: a filesystem of device files, served by answering the kernel's requests one at a time.
 *
 * Every request is answered before the next is read, with one exception: a request that presents a descriptor
 * which only a nonce can identify (identification.ts) is set aside with a copy of its bytes, and dispatched
 * again, from the start, when the answer is there. That is sound because handlers resolve descriptors before
 * they change anything. An answer is good for the request that asked, no longer.
 *
 * Device nodes are regular files to the kernel: it passes ioctl, pread and pwrite on a FUSE regular file to
 * us, but would take a character device elsewhere. What programs are told: device-status.ts.
 */

import type { DeviceNode } from '../file/device-node.js';
import { CallListener } from '../linux/call-listener.js';
import { childBell } from '../linux/child-bell.js';
import { Errno, Refusal, refuse } from '../linux/errno.js';
import type { LoopSource } from '../linux/event-loop.js';
import { connectionDevice } from '../linux/fd-identity.js';
import { libc } from '../linux/ffi.js';
import type { TrapDescriptors } from '../linux/nested-trap.js';
import { whyNotTraceable } from '../linux/ptrace.js';
import type { WaitStates } from '../linux/wait-states.js';
import type { Trace } from '../trace/trace.js';
import { recordUnserved } from '../trace/traced-file.js';
import { BlankFiles } from './blank-files.js';
import { DeviceStatus } from './device-status.js';
import { DeviceTree, type TreeEntry } from './device-tree.js';
import { FileRequests, type Ongoing, type OpenedFile } from './file-requests.js';
import { errnoForCaller, FuseChannel } from './fuse-channel.js';
import type { Owner } from './fuse-replies.js';
import { get64, Opcode, Request } from './fuse-wire.js';
import { Identification, Undetermined } from './identification.js';
import { Interrupts } from './interrupts.js';
import { LongCalls } from './long-calls.js';
import { MappedAccess, type Tell } from './mapped-access.js';
import { NameRequests } from './name-requests.js';
import type { Openers } from './openers.js';
import { OwnFiles } from './own-files.js';
import { PageMappings } from './page-mappings.js';
import { ProcessCaller } from './process-caller.js';
import { type RequestKind, requestTable } from './request-table.js';
import { SetAside } from './set-aside.js';
import { type StandIn, TooEarly } from './stand-in.js';
import { Tracer } from './tracer.js';
import { TrappedCalls } from './trapped-calls.js';
import { Claimed, slice, Turns } from './turns.js';
import { Visits } from './visits.js';

export type { TreeEntry } from './device-tree.js';
export type { OpenedFile } from './file-requests.js';
export type { Owner } from './fuse-replies.js';

/** Requests answered in one `serve`, so that a flood of them does not keep everything else waiting. */
const BATCH = 64;
const ENDED = -1;
const MAX_LOGGED = 1000;

export interface FuseServerOptions {
  /** Entries beside the device nodes. */
  readonly extra?: readonly TreeEntry[];
  /** Folders of device nodes are listed by their owner and root alone. */
  readonly unlisted?: boolean;
  /** Default root. */
  readonly owner?: Owner;
  /**
   * The device number of the mount. Without it no descriptor is identified where the kernel does not tell it
   * (before 6.16).
   */
  readonly device?: number;
  /** Whose what open files make us hold is. Default: users'. */
  readonly openers?: Openers;
  /** Where calls are recorded that are refused before their file is asked. Those on it record themselves. */
  readonly trace?: Trace;
  /**
   * What becomes of processes. With it, programs may map files, and are traced then; the trapped calls must
   * be served.
   */
  readonly states?: WaitStates;
  /** Memory that is locked for devices is counted for who has mapped it (linux/locked-memory.ts). */
  readonly memlock?: boolean;
  /**
   * Reads the connection when this thread cannot. Without it, memory that is backed by one of our own files
   * must not be touched.
   */
  readonly standIn?: StandIn;
}

export class FuseServer {
  readonly fuseFd: number;
  /** Serves loads and stores of mapped files; undefined where there is none. */
  readonly tracer: Tracer | undefined;
  readonly #channel: FuseChannel;
  readonly #standIn: StandIn | undefined;
  readonly #tree: DeviceTree;
  readonly #turns = new Turns();
  readonly #longCalls = new LongCalls(this.#turns);
  readonly #interrupts: Interrupts;
  readonly #own: OwnFiles;
  readonly #identification: Identification;
  readonly #files: FileRequests;
  readonly #openers: Openers;
  readonly #trace: Trace | undefined;
  readonly #memlock: boolean;
  /** By opcode. */
  readonly #requests: Readonly<Record<number, RequestKind>>;
  /** The request being served, when it had been set aside. */
  #resumed: SetAside | undefined;
  readonly #logged = new Set<string>();
  /** Node's exit waits for its other threads, and they may wait for us (own-files.ts). */
  readonly #atExit = () => this.end();

  /**
   * Serves the connection `fuseFd`, which stays the caller's, to close when `serve` has returned false.
   * @throws Refusal EEXIST, ENOTDIR when the paths of nodes and extra entries contradict each other.
   */
  constructor(fuseFd: number, nodes: readonly DeviceNode[], options: FuseServerOptions = {}) {
    this.fuseFd = fuseFd;
    this.#trace = options.trace;
    this.#memlock = options.memlock ?? false;
    this.#openers = options.openers ?? 'users';
    this.#standIn = options.standIn;
    this.#channel = new FuseChannel(fuseFd, options.standIn);
    this.#interrupts = new Interrupts(this.#channel);
    this.#tree = new DeviceTree(nodes, options.extra ?? [], options.unlisted);
    this.#own = new OwnFiles();
    const device = options.device ?? connectionDevice(process.pid, fuseFd) ?? Number.NaN;
    this.#identification = new Identification(this.#tree, device, this.#own);
    const pages = new PageMappings(this.#identification);
    this.tracer = this.#tracerOf(options.states, pages);
    const owner = options.owner ?? { uid: 0, gid: 0 };
    const status = new DeviceStatus(this.tracer, this.#openers, options.standIn);
    const mappable = this.tracer !== undefined;
    const names = new NameRequests(this.#channel, this.#tree, owner, status, this.#openers, mappable);
    this.#files = new FileRequests(
      this.#channel,
      this.#identification,
      this.#own,
      this.#callerOf(this.tracer, pages),
      options.trace,
      this.#turns,
      this.#openers,
    );
    this.#requests = requestTable(names, this.#files, this.#interrupts, options.standIn);
    process.once('exit', this.#atExit);
  }

  /** Makes `nodes` the device nodes. Files that are open stay open. @throws Refusal EEXIST, ENOTDIR. */
  update(nodes: readonly DeviceNode[]): void {
    this.#tree.update(nodes);
  }

  /**
   * Answers what is pending, without blocking; after each request `between` is called, and the rest is left
   * for later when it returns false. (To look for the next request at once is faster than to poll for it: the
   * caller just answered often sends it right away.)
   * @returns false when the filesystem is gone: every open file has then been released.
   */
  serve(between: () => boolean = () => true): boolean {
    for (let count = 0; count < BATCH; count++) {
      const length = this.#channel.receive();
      if (length === ENDED) {
        process.off('exit', this.#atExit);
        this.#own.end();
        this.#standIn?.end();
        this.#turns.end();
        this.#files.releaseAll((error) => this.#log(error));
        return false;
      }
      if (length === 0) break;
      this.#dispatch(length);
      if (!between()) break;
    }
    return true;
  }

  /**
   * Goes on with calls that take long, for a slice, when it is not `hurried`, and wakes programs that poll a
   * stream of events into which something has come. To be called after whatever may have put something in:
   * requests, trapped ioctls, the work of devices. @returns whether there is more to be done now.
   */
  step(hurried = false): boolean {
    const goesOn = !hurried && this.#turns.step();
    return this.#files.wakePolls() || goesOn;
  }

  /** Has every call ended that was begun? */
  get idle(): boolean {
    return this.#turns.idle;
  }

  /**
   * Does what no request asked for: the work of devices. What it throws is a bug, and told as one in a
   * request is. @returns undefined then.
   */
  attempt<T>(what: string, work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.#log(error, what);
      return undefined;
    }
  }

  /** Files that programs have open. */
  get opens(): number {
    return this.#files.opens;
  }

  /** Each of them, for those who look. */
  opened(): Iterable<OpenedFile> {
    return this.#files.opened();
  }

  /**
   * Closes the connection before this process ends: whoever waits for an answer is let go by the kernel, this
   * process's own threads too, without which it could not end.
   */
  end(): void {
    this.#standIn?.end();
    libc().close(this.fuseFd);
    this.#own.untilAlone();
  }

  /**
   * What serves the ioctls that return new descriptors, of the processes that are trapped (linux/seccomp.ts).
   * `root` is a descriptor of the mounted root directory. The descriptors stay the caller's; they are needed
   * as long as anything is served.
   */
  trapped({ root, ...trap }: TrapDescriptors & { readonly root: number }): LoopSource {
    return new TrappedCalls(
      new CallListener(trap),
      this.#identification,
      new BlankFiles(this.#tree, root),
      this.#turns,
      this.#openers,
      {
        trace: this.#trace,
        serving: (tid) => this.#standIn?.serves(tid === 0 ? 0 : Opcode.IOCTL, tid),
        failed: (error, what) => this.#log(error, what),
      },
      this.tracer,
    );
  }

  /** Whoever makes requests; he may map files when he can be traced. */
  #callerOf(tracer?: Tracer, pages?: PageMappings): ProcessCaller {
    const traceable = tracer && ((tid: number) => tracer.canTrace(tid));
    const presented = (tid: number, fd: number) => this.#presented(tid, fd);
    return new ProcessCaller(this.#identification, presented, traceable, tracer && pages, this.#memlock);
  }

  #tracerOf(states: WaitStates | undefined, pages: PageMappings): Tracer | undefined {
    const bell = states && whyNotTraceable() === undefined ? childBell() : undefined;
    if (bell === undefined) return undefined;
    const caller = this.#callerOf();
    const tell: Tell = (path, error) => {
      if (!(error instanceof Refusal)) this.#log(error, `an access to ${path}`);
      recordUnserved(this.#trace, 'access', path, caller, error);
    };
    const access = new MappedAccess(pages, this.#turns, caller, tell);
    return new Tracer(bell, states!, new Visits(states!), access, pages, caller);
  }

  #dispatch(length: number): void {
    const { request } = this.#channel;
    this.#standIn?.serves(request[Request.opcode]!, request[Request.pid]!);
    this.#files.next();
    let began = performance.now();
    try {
      const ongoing = this.#handle(length);
      if (ongoing) began += this.#goOn(ongoing);
    } catch (error) {
      if (error instanceof Undetermined) this.#setAside(error.fd, length);
      else if (error instanceof Claimed) this.#wait(error.objects, length);
      else if (error instanceof TooEarly) this.#standIn?.keep(this.#channel.requestBytes.subarray(0, length));
      else this.#fail(error);
    } finally {
      this.#standIn?.serves(0, 0);
      this.#longCalls.count(this.#files.opener, began, performance.now());
    }
  }

  #handle(length: number): Ongoing | undefined | void {
    const opcode = this.#channel.request[Request.opcode]!;
    const kind = this.#requests[opcode];
    if (kind === undefined) this.#channel.answerError(Errno.ENOSYS);
    else if (length < kind.least)
      refuse('EINVAL', `a FUSE request ${opcode} of ${length} bytes is too short`);
    else return kind.handle(length);
  }

  /** Most are done in their first slice. @returns how long that might take, in ms, where there are more. */
  #goOn(ongoing: Ongoing): number {
    const { request, requestBytes } = this.#channel;
    const opener = this.#files.account;
    const most = this.#turns.firstSlice(opener);
    const first = slice(ongoing.work, undefined, most);
    if (typeof first === 'object') {
      ongoing.answer(first.value);
      return 0;
    }
    const id = get64(request, Request.unique);
    this.#interrupts.paused(id, first);
    let bytes = requestBytes.slice(0, ongoing.bytes);
    this.#turns.goOn(opener, ongoing.objects, (now) => {
      requestBytes.set(bytes);
      this.#standIn?.serves(request[Request.opcode]!, request[Request.pid]!);
      ongoing.resume();
      try {
        this.#interrupts.goesOn(id);
        const result = slice(ongoing.work, now);
        if (typeof result === 'object') {
          ongoing.answer(result.value);
          return true;
        }
        this.#interrupts.paused(id, result);
        bytes = requestBytes.slice(0, ongoing.bytes);
        return result;
      } catch (error) {
        this.#fail(error);
        return true;
      } finally {
        this.#standIn?.serves(0, 0);
      }
    });
    return most;
  }

  /** A handler refused, or broke. */
  #fail(error: unknown): void {
    const refusal = error instanceof Refusal ? error : undefined;
    if (refusal === undefined) this.#log(error);
    this.#channel.answerError(errnoForCaller(refusal?.errno ?? Errno.EIO));
    this.#files.failed(error);
  }

  /** Reports a bug, with its stack, once. */
  #log(error: unknown, what = this.#files.description): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (this.#logged.has(text) || this.#logged.size >= MAX_LOGGED) return;
    this.#logged.add(text);
    console.error(`ioasid: ${what} failed inside ioasid: ${text}`);
  }

  #presented(tid: number, fd: number): object {
    const known = this.#resumed?.answers.get(fd);
    if (known instanceof Refusal) throw known;
    const opened = known ?? this.#identification.byInode(() => this.#files.account, tid, fd);
    if (opened === undefined) throw new Undetermined(fd);
    const { object } = opened.file;
    if (this.#turns.claimed([object])) throw new Claimed(...this.#files.uses, object);
    return object;
  }

  /** Keeps the request until nobody who came before uses one of `objects`. */
  #wait(objects: readonly object[], length: number): void {
    const waiting = this.#kept(length);
    if (waiting === undefined) return;
    this.#turns.wait(objects, () => this.#resume(waiting));
  }

  /** The request being served, to be dispatched again; undefined when it has been refused instead. */
  #kept(length: number): SetAside | undefined {
    try {
      const bytes = this.#channel.requestBytes.subarray(0, length);
      const kept = this.#resumed ?? new SetAside(bytes, this.#files.account);
      kept.waits = true;
      return kept;
    } catch (refusal) {
      this.#fail(refusal);
      return undefined;
    }
  }

  /** Keeps the request until descriptor `fd` is identified. */
  #setAside(fd: number, length: number): void {
    const { request } = this.#channel;
    const waiting = this.#kept(length);
    if (waiting === undefined) return;
    this.#identification.byNonce(this.#files.account, request[Request.pid]!, fd, ({ answer, copy }) => {
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
    if (!waiting.waits) waiting.end((copy) => this.#identification.closeCopy(copy));
  }
}
