/**
 * Tracer: the processes that map files of ours. Each load and store there raises SIGBUS, for which the thread
 * stops before it sees it (ptrace(2)); the access is then made on the file (mapped-access.ts), and the thread
 * goes on behind the instruction.
 *
 * A process is traced from its first such mapping on, with all its threads and what it starts, until it
 * becomes another program or ends. All that is not ours goes on as if nobody traced: signals are delivered,
 * a stop of the whole process stays one.
 */
import { readdirSync } from 'node:fs';
import type { Caller } from '../file/open-file.js';
import type { Account } from '../linux/account.js';
import { seize } from '../linux/attach.js';
import { Refusal } from '../linux/errno.js';
import type { LoopSource } from '../linux/event-loop.js';
import { addressOf, libc } from '../linux/ffi.js';
import { livingProcessOf, parentOf, processOfThread, tracerOf } from '../linux/proc.js';
import {
  AT_CALL,
  BUS_ADRERR,
  Event,
  goOn,
  interrupt,
  isDead,
  isRunning,
  letGo,
  RAISED_BY_ACCESSES,
  resultOf,
  SI_KERNEL,
  SIGBUS,
  SIGSEGV,
  SIGTRAP,
  type StoppingSignal,
  signalBytes,
  signalOf,
  startedBy,
  stayStopped,
} from '../linux/ptrace.js';
import { Change, type WaitStates } from '../linux/wait-states.js';
import type { Opened } from './inode.js';
import type { MappedAccess } from './mapped-access.js';
import type { MapRequest, PageMappings } from './page-mappings.js';
import type { ProcessCaller } from './process-caller.js';
import { ACTION_BYTES } from './signal-state.js';
import { TracedProcess } from './traced-process.js';
import type { Visits } from './visits.js';

/** Stops that are seen to before others are served. */
const BATCH = 64;

/** A process, and how many of its threads are traced. */
interface Group {
  readonly process: TracedProcess;
  threads: number;
}

export class Tracer implements LoopSource {
  readonly fd: number;
  readonly passive = true;
  readonly #states: WaitStates;
  readonly #visits: Visits;
  readonly #access: MappedAccess;
  readonly #threads = new Map<number, Group>();
  readonly #groups = new Map<number, Group>();
  readonly #count = new Uint8Array(128);
  readonly #caller: ProcessCaller;
  readonly #pages: PageMappings;
  /** Threads that stop soon, and what they are to do then. */
  readonly #awaited = new Map<number, (process: TracedProcess) => void>();
  /** Processes that are traced only until that. */
  readonly #leaving = new Set<number>();
  /** Signals that threads have to be sent again. */
  readonly #owed = new Map<number, Uint8Array>();
  /** Who has traced last. */
  #account: Account | undefined;

  /** `bell` becomes readable when a thread has stopped (linux/child-bell.ts). */
  constructor(
    bell: number,
    states: WaitStates,
    visits: Visits,
    access: MappedAccess,
    pages: PageMappings,
    caller: ProcessCaller,
  ) {
    this.fd = bell;
    this.#states = states;
    this.#visits = visits;
    this.#access = access;
    this.#pages = pages;
    this.#caller = caller;
    states.unknown = (tid) => this.#adopt(tid);
  }

  ready(between: () => boolean): boolean {
    libc().read(this.fd, addressOf(this.#count), 8);
    for (let told = 0; told < BATCH; told++) {
      told += this.#states.follow(BATCH, between);
      if (this.#states.look(1)) return true;
      if (!between()) break;
    }
    this.#ring();
    return true;
  }

  /** There is more: others are served first. */
  #ring(): void {
    this.#count.fill(0);
    this.#count[0] = 1;
    libc().write(this.fd, addressOf(this.#count), 8);
  }

  /** Is the process of thread `tid` traced by us, or by nobody? */
  canTrace(tid: number): boolean {
    return this.#threads.has(tid) || tracerOf(tid) === 0;
  }

  /**
   * Traces the process of thread `tid`, all its threads; `account` pays for what is held of it.
   * @throws Refusal EPERM it is traced by another, or may not be; ESRCH it is gone.
   */
  trace(tid: number, account: Account): void {
    this.#account = account;
    const pid = processOfThread(tid);
    const isNew = !this.#groups.has(pid);
    for (let found = true; found; ) {
      found = false;
      for (const name of readdirSync(`/proc/${pid}/task`)) {
        if (this.#threads.has(Number(name))) continue;
        found = this.#seize(Number(name), pid, account) || found;
      }
    }
    if (isNew) this.#stopSoon(tid, ({ signals }) => signals.begin(tid, this.#caller));
  }

  /**
   * Does `then` when thread `tid`, which waits for our answer, has it, before it executes anything; whom it
   * is given is that thread, and `account` pays. @throws Refusal EPERM, ESRCH as `trace`.
   */
  afterAnswer(tid: number, account: Account, then: (caller: Caller) => void): void {
    const act = () => void this.#act(tid, account, () => then(this.#caller));
    if (this.#threads.has(tid)) this.#stopSoon(tid, act);
    else this.#visits.begin(tid, act);
  }

  /**
   * The thread calls rt_sigaction(2) for `signal`, with the addresses of what it sets and of what there was
   * before. What follows is done when the call has returned.
   */
  setsAction(tid: number, signal: number, set: number, old: number): void {
    const group = this.#threads.get(tid);
    if (group === undefined) return;
    this.#caller.begin(tid, group.process.account);
    const action = set === 0 ? undefined : this.#read(set, ACTION_BYTES);
    group.process.signals.sets(tid);
    this.#stopSoon(tid, ({ signals }) => {
      signals.isSet(tid);
      if (resultOf(tid) === 0) signals.set(tid, this.#caller, signal, action, old);
    });
  }

  #read(address: number, length: number): Uint8Array | undefined {
    const bytes = new Uint8Array(length);
    try {
      this.#caller.readMemory(address, bytes);
      return bytes;
    } catch {
      return undefined;
    }
  }

  /** As PageMappings.begin, for a thread that is traced. What follows is done when the call has returned. */
  mapPages(tid: number, opened: Opened, request: MapRequest, give: (fd: number) => number): void {
    const finish = this.#pages.begin(opened, request, give);
    if (finish !== undefined) this.#stopSoon(tid, (process) => finish(tid, process, this.#caller));
  }

  #stopSoon(tid: number, then: (process: TracedProcess) => void): void {
    const before = this.#awaited.get(tid);
    this.#awaited.set(tid, (process) => {
      before?.(process);
      then(process);
    });
    interrupt(tid);
  }

  #seize(tid: number, pid: number, account: Account): boolean {
    const visit = this.#visits.handOver(tid);
    try {
      if (visit === undefined) seize(tid);
    } catch (error) {
      // One that a traced thread has just started is traced too, and is told of later.
      if (tracerOf(tid) === process.pid) return false;
      // The first one of a process is there after its end, until all others have ended.
      if (error instanceof Refusal && isDead(tid)) return false;
      throw error;
    }
    this.#add(tid, pid, account);
    if (visit !== undefined) this.#awaited.set(tid, visit);
    return true;
  }

  #add(tid: number, pid: number, account: Account, parent?: TracedProcess): void {
    const known = this.#groups.get(pid);
    const group = known ?? { process: new TracedProcess(pid, account, parent), threads: 0 };
    if (known === undefined && parent !== undefined)
      this.#awaited.set(tid, ({ signals }) => signals.inherit(tid, this.#caller));
    this.#groups.set(pid, group);
    this.#threads.set(tid, group);
    group.threads++;
    this.#states.watchStops(tid, (change, status) => this.#changed(tid, change, status));
  }

  #remove(tid: number): void {
    this.#states.unwatchStops(tid);
    const group = this.#threads.get(tid);
    if (group === undefined) return;
    this.#threads.delete(tid);
    this.#awaited.delete(tid);
    this.#owed.delete(tid);
    this.#leaving.delete(tid);
    group.process.signals.forget(tid);
    if (--group.threads > 0) return;
    this.#groups.delete(group.process.pid);
    group.process.close();
  }

  #changed(tid: number, change: number, status: number): void {
    if (change <= Change.DUMPED) this.#remove(tid);
    else if (change === Change.TRAPPED) this.#stopped(tid, status & 0xff, status >> 8);
  }

  #stopped(tid: number, signal: number, event: number): void {
    switch (event) {
      case 0:
        this.#signalled(tid, signal);
        break;
      case Event.FORK:
      case Event.VFORK:
      case Event.CLONE:
        this.#started(startedBy(tid), this.#threads.get(tid));
        this.#goOn(tid, 0);
        break;
      case Event.EXEC:
        this.#becameAnother(tid);
        break;
      case Event.EXIT:
        this.#ends(tid);
        break;
      case Event.STOP:
        if (signal === SIGTRAP) this.#interrupted(tid);
        else stayStopped(tid);
        break;
      default:
        this.#goOn(tid, 0);
    }
  }

  #goOn(tid: number, signal: number): void {
    const group = this.#threads.get(tid);
    if (group === undefined) goOn(tid, signal);
    else group.process.signals.goOn(tid, signal);
  }

  #interrupted(tid: number): void {
    const [then, group] = [this.#awaited.get(tid), this.#threads.get(tid)];
    this.#awaited.delete(tid);
    if (group !== undefined)
      this.#act(tid, group.process.account, () => {
        group.process.signals.interrupted(tid, this.#caller);
        then?.(group.process);
      });
    if (this.#leaving.delete(tid)) this.#leave(tid);
    else this.#goOn(tid, 0);
  }

  /** Does `then` with a stopped thread. @returns false: it is gone, or has taken its memory away. */
  #act(tid: number, account: Account, then: () => void): boolean {
    this.#caller.begin(tid, account);
    try {
      then();
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return false;
    }
  }

  #signalled(tid: number, signal: number): void {
    const group = this.#threads.get(tid);
    const ours = RAISED_BY_ACCESSES.includes(signal) || signal === SIGSEGV;
    const info = ours ? signalOf(tid) : undefined;
    if (signal === AT_CALL) group?.process.signals.calls(tid);
    else if (group === undefined || info === undefined) this.#goOn(tid, signal);
    else if (!this.#act(tid, group.process.account, () => this.#raised(tid, group, signal, info)))
      this.#goOn(tid, signal);
  }

  /** A thread has stopped for a signal that accesses may raise. */
  #raised(tid: number, group: Group, signal: number, info: StoppingSignal): void {
    if (signal !== SIGSEGV) this.#forced(tid, group, signal, info);
    else if (info.code !== SI_KERNEL) this.#goOn(tid, signal);
    else {
      group.process.forgetMappings();
      this.#access.submission(tid, group.process, signal, info);
    }
  }

  /** The same, for a signal whose action and mask are kept (signal-state.ts). */
  #forced(tid: number, { process }: Group, signal: number, info: StoppingSignal): void {
    const sent = info.code <= 0 ? signalBytes(tid) : undefined;
    const { signals } = process;
    const known = info.code > 0 && signals.isOpen(tid, signal);
    // With instructions alone, nobody but others who share its memory has mapped anything.
    if (!known || process.shares || this.#threads.get(tid)?.threads !== 1) process.forgetMappings();
    const forced = !known && signals.settle(tid, this.#caller, signal, () => this.#othersRun(tid));
    if (sent !== undefined && forced) this.#owe(tid, sent);
    else if (info.code <= 0) signals.deliver(tid, this.#caller, signal);
    else {
      this.#pay(tid, process);
      if (signal !== SIGBUS) this.#access.submission(tid, process, signal, info);
      else if (info.code === BUS_ADRERR) this.#access.fault(tid, process, info);
      else signals.deliver(tid, this.#caller, signal, info);
    }
  }

  /**
   * The kernel has not added the signal of the fault to one that the thread blocks, and that waits for it
   * already. Without that one, the thread faults once more.
   */
  #owe(tid: number, sent: Uint8Array): void {
    this.#owed.set(tid, sent);
    this.#goOn(tid, 0);
  }

  #pay(tid: number, { signals }: TracedProcess): void {
    const owed = this.#owed.get(tid);
    if (owed === undefined) return;
    this.#owed.delete(tid);
    signals.sendAgain(tid, this.#caller, owed);
  }

  /** Do other threads of its process run, or have they stopped and nobody has looked? */
  #othersRun(tid: number): boolean {
    const group = this.#threads.get(tid);
    if (group === undefined || group.threads === 1) return false;
    for (const [other, its] of this.#threads)
      if (its === group && other !== tid && isRunning(other)) return true;
    return false;
  }

  /**
   * A thread, or a process, that a traced one has started: it is traced already, and stops. It must be waited
   * for even if it has been killed since: its process does not end for its parent before.
   */
  #started(tid: number, by: Group | undefined): void {
    if (tid !== 0 && by !== undefined && !this.#threads.has(tid))
      this.#add(tid, livingProcessOf(tid) ?? by.process.pid, by.process.account, by.process);
  }

  /** One that was started by a thread that has been killed before it could say so. */
  #adopt(tid: number): boolean {
    const account = this.#account;
    if (account === undefined || tracerOf(tid) !== process.pid) return false;
    const pid = livingProcessOf(tid) ?? tid;
    this.#add(tid, pid, account, this.#groups.get(parentOf(pid))?.process);
    return true;
  }

  /** Were it traced to its end, its parent could not wait for it before we have. */
  #ends(tid: number): void {
    if (letGo(tid)) this.#remove(tid);
  }

  /**
   * Its other threads are gone, and so are the mappings. It is traced no more, but what it has ignored it has
   * to ignore again first, when it is out of the system call.
   */
  #becameAnother(pid: number): void {
    const before = this.#groups.get(pid)?.process;
    const ignored = before?.signals.ignored() ?? [];
    if (before === undefined || ignored.length === 0) this.#leave(pid);
    else {
      this.#release(pid);
      this.#add(pid, pid, before.account);
      this.#stopSoon(pid, ({ signals }) => signals.ignore(pid, this.#caller, ignored));
      this.#leaving.add(pid);
      goOn(pid, 0);
    }
  }

  /** One that is killed before it is let go stops once more, before its end, or ends: it is watched still. */
  #leave(pid: number): void {
    if (letGo(pid)) this.#release(pid);
  }

  #release(pid: number): void {
    for (const [tid, group] of [...this.#threads]) if (group.process.pid === pid) this.#remove(tid);
  }
}
