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
import type { Account } from '../linux/account.js';
import { Refusal } from '../linux/errno.js';
import type { LoopSource } from '../linux/event-loop.js';
import { addressOf, libc } from '../linux/ffi.js';
import { processOfThread, tracerOf } from '../linux/proc.js';
import { Event, goOn, isDead, letGo, seize, signalOf, startedBy, stayStopped } from '../linux/ptrace.js';
import { Change, type WaitStates } from '../linux/wait-states.js';
import type { MappedAccess } from './mapped-access.js';
import { TracedProcess } from './traced-process.js';

const SIGILL = 4;
const SIGTRAP = 5;
const SIGBUS = 7;
/** si_code: nothing is there at that address. */
const BUS_ADRERR = 2;

/** A process, and how many of its threads are traced. */
interface Group {
  readonly process: TracedProcess;
  threads: number;
}

export class Tracer implements LoopSource {
  readonly fd: number;
  readonly passive = true;
  readonly #states: WaitStates;
  readonly #access: MappedAccess;
  readonly #threads = new Map<number, Group>();
  readonly #groups = new Map<number, Group>();
  readonly #count = new Uint8Array(128);
  /** Who has traced last. */
  #account: Account | undefined;

  /** `bell` becomes readable when a thread has stopped (linux/child-bell.ts). */
  constructor(bell: number, states: WaitStates, access: MappedAccess) {
    this.fd = bell;
    this.#states = states;
    this.#access = access;
    states.unknown = (tid) => this.#adopt(tid);
  }

  ready(): boolean {
    libc().read(this.fd, addressOf(this.#count), 8);
    this.#states.look();
    return true;
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
    for (let found = true; found; ) {
      found = false;
      for (const name of readdirSync(`/proc/${pid}/task`)) {
        if (this.#threads.has(Number(name))) continue;
        found = this.#seize(Number(name), pid, account) || found;
      }
    }
  }

  #seize(tid: number, pid: number, account: Account): boolean {
    try {
      seize(tid);
    } catch (error) {
      // One that a traced thread has just started is traced too, and is told of later.
      if (tracerOf(tid) === process.pid) return false;
      // The first one of a process is there after its end, until all others have ended.
      if (error instanceof Refusal && isDead(tid)) return false;
      throw error;
    }
    this.#add(tid, pid, account);
    return true;
  }

  #add(tid: number, pid: number, account: Account): void {
    const group = this.#groups.get(pid) ?? { process: new TracedProcess(pid, account), threads: 0 };
    this.#groups.set(pid, group);
    this.#threads.set(tid, group);
    group.threads++;
    this.#states.watchStops(tid, (change, status) => this.#changed(tid, change, status));
  }

  #remove(tid: number): void {
    const group = this.#threads.get(tid);
    if (group === undefined) return;
    this.#threads.delete(tid);
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
        goOn(tid, 0);
        break;
      case Event.EXEC:
        this.#becameAnother(tid);
        break;
      case Event.EXIT:
        this.#ends(tid);
        break;
      case Event.STOP:
        if (signal === SIGTRAP) goOn(tid, 0);
        else stayStopped(tid);
        break;
      default:
        goOn(tid, 0);
    }
  }

  #signalled(tid: number, signal: number): void {
    const group = this.#threads.get(tid);
    const ours = signal === SIGBUS || signal === SIGILL;
    const info = ours ? signalOf(tid) : undefined;
    if (group === undefined || info === undefined || info.code <= 0) goOn(tid, signal);
    else if (signal === SIGILL) this.#access.illegal(tid, group.process);
    else if (info.code === BUS_ADRERR) this.#access.fault(tid, group.process, info.address);
    else goOn(tid, signal);
  }

  /**
   * A thread, or a process, that a traced one has started: it is traced already, and stops. It must be waited
   * for even if it has been killed since: its process does not end for its parent before.
   */
  #started(tid: number, by: Group | undefined): void {
    if (tid !== 0 && by !== undefined && !this.#threads.has(tid))
      this.#add(tid, groupOf(tid) ?? by.process.pid, by.process.account);
  }

  /** One that was started by a thread that has been killed before it could say so. */
  #adopt(tid: number): boolean {
    const account = this.#account;
    if (account === undefined || tracerOf(tid) !== process.pid) return false;
    this.#add(tid, groupOf(tid) ?? tid, account);
    return true;
  }

  /** Were it traced to its end, its parent could not wait for it before we have. */
  #ends(tid: number): void {
    this.#remove(tid);
    this.#states.unwatchStops(tid);
    letGo(tid);
  }

  /** Its other threads are gone, and so are the mappings. */
  #becameAnother(pid: number): void {
    for (const [tid, group] of [...this.#threads]) {
      if (group.process.pid !== pid) continue;
      this.#remove(tid);
      this.#states.unwatchStops(tid);
    }
    letGo(pid);
  }
}

/** The process of thread `tid`; undefined when it is gone. */
function groupOf(tid: number): number | undefined {
  try {
    return processOfThread(tid);
  } catch {
    return undefined;
  }
}
