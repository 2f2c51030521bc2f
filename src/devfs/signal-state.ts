/**
 * SignalState: what a traced program has set for the signals that accesses raise, SIGBUS and SIGILL.
 *
 * The kernel forces such a signal on its thread: where that blocks or ignores it, the bit is cleared and the
 * action becomes the default one, before a tracer is asked. So that this is seen, a traced program never has
 * the default action. Where it has set that, or ignores the signal, the kernel has a handler of ours, which
 * nobody runs: signals come to the tracer first. A fault that finds the default action is one of a thread
 * that blocks the signal. (Should the tracer be killed, the handler makes the action the default one, and
 * returns.)
 *
 * To look at the action costs as much as half an access. It is not looked at for a thread that is known not
 * to block the signal and has done instructions alone since: it goes on in such a way that its next system
 * call is told, by which it could block it (ptrace(2), PTRACE_SYSCALL). One that calls often is not watched.
 *
 * The program's own calls of rt_sigaction(2) for these signals are trapped (linux/seccomp.ts): `set` keeps
 * what it sets, and gives it that when it asks.
 */
import type { Caller } from '../file/open-file.js';
import { Refusal } from '../linux/errno.js';
import { assembled, type MachineCode } from '../linux/machine-code.js';
import {
  belowStack,
  blocks,
  goOn,
  goOnToCall,
  interrupt,
  RAISED_BY_ACCESSES,
  SIGSEGV,
  type StoppingSignal,
  setBlocked,
  setFault,
} from '../linux/ptrace.js';
import { TRACERS_CALL } from '../linux/seccomp.js';

const SYS_rt_sigaction = 13;
const SYS_getpid = 39;
const SYS_gettid = 186;
const SYS_rt_tgsigqueueinfo = 297;
const SET_BYTES = 8;
const DEFAULT = 0n;
const IGNORE = 1n;
const MASK = 24;
/** SIGKILL and SIGSTOP. */
const NOT_TO_BLOCK = 0x40100n;
const SA_RESTORER = 0x04000000n;
const SA_RESETHAND = 0x80000000n;

/** The kernel's struct sigaction: handler 0, flags 8, restorer 16, mask 24. */
export const ACTION_BYTES = 32;
type Action = DataView<ArrayBuffer>;

/** The process, as far as it is needed. Its thread `tid`, which is `caller`, is stopped. */
interface Process {
  /** Memory for what calls take and give. @throws Refusal. */
  scratch(tid: number, caller: Caller, index: number): number;
  /** Maps code. @throws Refusal. */
  executable(tid: number, caller: Caller, code: Uint8Array): number;
  /** @returns the call's result, or a negative errno. @throws Refusal. */
  call(tid: number, caller: Caller, nr: number, ...args: readonly number[]): number;
  /** Does it handle `signal`, or ignore it, as the kernel has it? undefined: it is gone. */
  handles(tid: number, signal: number): boolean | undefined;
}

export const handlerCode: MachineCode = {
  text: `b8 0f 00 00 00          | mov eax, 15              | rt_sigreturn: the restorer
0f 05                   | syscall                  |
                        | handler:                 | the signal is in edi
31 d2                   | xor edx, edx             |
48 8d 35 14 00 00 00    | lea rsi, [rip + previous]| the default action
41 ba 08 00 00 00       | mov r10d, 8              |
41 b8 fd 3b fd 3b       | mov r8d, 0x3bfd3bfd      | TRACERS_CALL: nobody is there to be asked
b8 0d 00 00 00          | mov eax, 13              | rt_sigaction
0f 05                   | syscall                  |
c3                      | ret                      |
                        | previous:                |`,
  handler: 7,
  previous: 36,
};

/** What is known of a thread. */
interface Thread {
  /** How many repairs of its process there had been when it went on. */
  repairs: number;
  /** The signals that it blocked at the last fault that told, as bits: bit N is signal N. */
  blocked: number;
  /** Those that it does not block, and could not since, as bits. */
  open: number;
  /** Accesses since its last call that was told, and those until its calls are told again. */
  accesses: number;
  unwatched: number;
}

/** So many accesses spare what the stop at the call after them costs; after fewer, so many are unwatched. */
const WORTH_A_CALL = 4;
const UNWATCHED = 64;

export class SignalState {
  readonly #process: Process;
  readonly #actions = new Map<number, Action>();
  readonly #threads = new Map<number, Thread>();
  /** Where the handler's code is; undefined: nothing has been set. */
  #code: number | undefined;
  #repairs = 0;
  /** Threads whose calls of rt_sigaction(2) may have changed an action, or not yet. */
  readonly #setting = new Set<number>();
  /** Of these the handler, which is for once, is being called. */
  readonly #used = new Set<number>();

  /** `parent`: whose state it begins with. */
  constructor(process: Process, parent?: SignalState) {
    this.#process = process;
    if (parent === undefined) return;
    this.#code = parent.#code;
    for (const [signal, action] of parent.#actions) this.#actions.set(signal, copyOf(action));
  }

  /** Begins: thread `tid`, which is `caller`, is stopped. @throws Refusal ENOMEM, EFAULT, ESRCH. */
  begin(tid: number, caller: Caller): void {
    const code = this.#process.executable(tid, caller, assembled(handlerCode));
    for (const signal of RAISED_BY_ACCESSES) this.#actions.set(signal, this.#ask(tid, caller, signal));
    this.#code = code;
    for (const signal of RAISED_BY_ACCESSES) this.#put(tid, caller, signal);
  }

  /** A new process begins, which may have been given default actions (CLONE_CLEAR_SIGHAND). */
  inherit(tid: number, caller: Caller): void {
    if (this.#code === undefined) return;
    for (const signal of RAISED_BY_ACCESSES) {
      if (this.#process.handles(tid, signal) !== false) continue;
      this.#actions.set(signal, emptyAction());
      this.#put(tid, caller, signal);
    }
  }

  forget(tid: number): void {
    this.#threads.delete(tid);
    this.#setting.delete(tid);
  }

  /**
   * Thread `tid` has stopped for `signal`: what the kernel has changed is put back. `othersRun`: do other
   * threads of the process run, or have they stopped and not been here yet? @returns whether the kernel has
   * forced the signal upon the thread, so that it is that of a fault.
   */
  settle(tid: number, caller: Caller, signal: number, othersRun: () => boolean): boolean {
    const intact = this.#code === undefined ? undefined : this.#process.handles(tid, signal);
    if (intact === undefined) return false;
    const blocked = this.#hasBlocked(tid, signal, intact, othersRun);
    // First of all: others of its kind may wait.
    if (blocked) setBlocked(tid, signal, true);
    if (!intact) this.#repair(tid, caller, signal);
    this.#thread(tid).repairs = this.#repairs;
    return !intact || blocked;
  }

  /** Does the stopped thread surely not block `signal`, as it did not before its fault? */
  isOpen(tid: number, signal: number): boolean {
    return ((this.#threads.get(tid)?.open ?? 0) & (1 << signal)) !== 0;
  }

  /** The access of thread `tid` has been made, and it goes on. */
  resume(tid: number): void {
    const thread = this.#thread(tid);
    if (thread.unwatched > 0) {
      thread.unwatched--;
      thread.open = 0;
    }
    thread.accesses++;
    if (thread.open === 0) goOn(tid, 0);
    else goOnToCall(tid);
  }

  /** Thread `tid` goes on in another way, with `signal` or 0: nothing is sure of it any more. */
  goOn(tid: number, signal: number): void {
    const thread = this.#threads.get(tid);
    if (thread !== undefined) thread.open = 0;
    goOn(tid, signal);
  }

  /** Thread `tid` is about to do a system call, and goes on. */
  calls(tid: number): void {
    const thread = this.#thread(tid);
    if (thread.accesses < WORTH_A_CALL) thread.unwatched = UNWATCHED;
    thread.accesses = 0;
    this.goOn(tid, 0);
  }

  /**
   * Has the thread blocked `signal` before its fault? The action tells, but it is that of all threads: what
   * is not the default one may have been put back after another's fault, and what is may be of another's.
   */
  #hasBlocked(tid: number, signal: number, intact: boolean, othersRun: () => boolean): boolean {
    const thread = this.#thread(tid);
    const bit = 1 << signal;
    const untouched = intact && thread.repairs === this.#repairs && this.#setting.size === 0;
    if (this.isOpen(tid, signal) || untouched) {
      thread.blocked &= ~bit;
      thread.open |= bit;
      return false;
    }
    // Who blocks this one blocks them all: a guess where two threads cannot be told apart.
    if (blocks(tid, SIGSEGV)) return true;
    if (!intact && !othersRun()) thread.blocked |= bit;
    return (thread.blocked & bit) !== 0;
  }

  /**
   * Thread `tid` gets `signal`, as it would if nobody traced it. `fault`: an instruction has raised it, so
   * the kernel forces it upon a thread that blocks or ignores it.
   */
  deliver(tid: number, caller: Caller, signal: number, fault?: StoppingSignal): void {
    // Another thread's fault may have changed the action, and this one has not been settled.
    if (this.isOpen(tid, signal)) this.settle(tid, caller, signal, () => true);
    const ignored = this.#ignores(tid, caller, signal);
    if (fault !== undefined && (blocks(tid, signal) || ignored)) {
      this.#makeDefault(tid, caller, signal);
      setBlocked(tid, signal, false);
    } else if (this.#has(signal, DEFAULT)) this.#makeDefault(tid, caller, signal);
    else if (this.#isOnce(signal)) {
      this.#used.add(signal);
      interrupt(tid);
    }
    if (fault !== undefined) setFault(tid, signal, fault);
    this.goOn(tid, ignored && fault === undefined ? 0 : signal);
  }

  /** The signals that the program ignores. */
  ignored(): number[] {
    return RAISED_BY_ACCESSES.filter((signal) => this.#has(signal, IGNORE));
  }

  /** Of another program, which begins at thread `tid`: it ignores `signals`. @throws Refusal. */
  ignore(tid: number, caller: Caller, signals: readonly number[]): void {
    const at = belowStack(tid);
    const action = emptyAction();
    action.setBigUint64(0, IGNORE, true);
    caller.writeMemory(at, bytesOf(action));
    for (const signal of signals) this.#set(tid, caller, signal, at);
    caller.writeMemory(at, bytesOf(emptyAction()));
  }

  /** Thread `tid` has stopped, asked to: it may have called a handler that is for once. */
  interrupted(tid: number, caller: Caller): void {
    for (const signal of this.#used) {
      this.#actions.get(signal)?.setBigUint64(0, DEFAULT, true);
      this.#repair(tid, caller, signal);
    }
    this.#used.clear();
  }

  /**
   * Thread `tid` sends itself the signal of the siginfo_t `bytes`, of a signal that it blocks: its own waits
   * for it again.
   */
  sendAgain(tid: number, caller: Caller, bytes: Uint8Array): void {
    const call = (nr: number, ...args: readonly number[]) => this.#process.call(tid, caller, nr, ...args);
    try {
      const at = this.#process.scratch(tid, caller, 0);
      caller.writeMemory(at, bytes);
      call(SYS_rt_tgsigqueueinfo, call(SYS_getpid), call(SYS_gettid), bytes[0]!, at);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  }

  /** Thread `tid` is about to call rt_sigaction(2); when that has returned, `isSet` and, perhaps, `set`. */
  sets(tid: number): void {
    this.#setting.add(tid);
  }

  isSet(tid: number): void {
    this.#setting.delete(tid);
  }

  /**
   * A call of rt_sigaction(2) for `signal` has succeeded in thread `tid`: `set` is the action that it has
   * set, and `old` where it wanted to know what was set before; 0 nowhere. @throws Refusal EFAULT, ESRCH.
   */
  set(tid: number, caller: Caller, signal: number, set: Uint8Array | undefined, old: number): void {
    const before = this.#actions.get(signal);
    if (before === undefined) return;
    if (set !== undefined) {
      const action = new DataView(set.slice().buffer);
      action.setBigUint64(MASK, action.getBigUint64(MASK, true) & ~NOT_TO_BLOCK, true);
      this.#actions.set(signal, action);
      this.#repair(tid, caller, signal);
    }
    if (old === 0) return;
    const told = emptyAction();
    caller.readMemory(old, bytesOf(told));
    if (handlerOf(told) === BigInt(this.#handler)) caller.writeMemory(old, bytesOf(before));
  }

  /** Is the handler of `signal` for once, so that its action becomes the default one when it is called? */
  #isOnce(signal: number): boolean {
    const action = this.#actions.get(signal);
    return action !== undefined && handlerOf(action) > IGNORE && (flagsOf(action) & SA_RESETHAND) !== 0n;
  }

  #thread(tid: number): Thread {
    const known = this.#threads.get(tid);
    if (known !== undefined) return known;
    const thread = { repairs: 0, blocked: 0, open: 0, accesses: 0, unwatched: 0 };
    this.#threads.set(tid, thread);
    return thread;
  }

  /** Does the program ignore `signal`? The kernel knows of those whose actions are not kept. */
  #ignores(tid: number, caller: Caller, signal: number): boolean {
    if (RAISED_BY_ACCESSES.includes(signal)) return this.#has(signal, IGNORE);
    try {
      return handlerOf(this.#ask(tid, caller, signal)) === IGNORE;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return false;
    }
  }

  #has(signal: number, handler: bigint): boolean {
    const action = this.#actions.get(signal);
    return action !== undefined && handlerOf(action) === handler;
  }

  /** The action with our handler. */
  #ours(): Action {
    const ours = emptyAction();
    ours.setBigUint64(0, BigInt(this.#handler), true);
    ours.setBigUint64(8, SA_RESTORER, true);
    ours.setBigUint64(16, BigInt(this.#code!), true);
    return ours;
  }

  get #handler(): number {
    return this.#code! + handlerCode.handler;
  }

  /** Has the kernel use what the program has set; where that is no handler, ours. */
  #put(tid: number, caller: Caller, signal: number): void {
    const action = this.#actions.get(signal)!;
    this.#tell(tid, caller, signal, handlerOf(action) > IGNORE ? action : this.#ours());
  }

  /** The same, where the kernel may have changed it for another thread, which has not been looked at. */
  #repair(tid: number, caller: Caller, signal: number): void {
    this.#put(tid, caller, signal);
    this.#thread(tid).repairs = ++this.#repairs;
  }

  #makeDefault(tid: number, caller: Caller, signal: number): void {
    this.#actions.get(signal)?.setBigUint64(0, DEFAULT, true);
    this.#tell(tid, caller, signal, this.#actions.get(signal) ?? emptyAction());
  }

  /** A program that has taken the scratch memory away, or is gone, is not told. */
  #tell(tid: number, caller: Caller, signal: number, action: Action): void {
    try {
      const at = this.#process.scratch(tid, caller, 0);
      caller.writeMemory(at, bytesOf(action));
      this.#set(tid, caller, signal, at);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  }

  #set(tid: number, caller: Caller, signal: number, at: number): void {
    this.#process.call(tid, caller, SYS_rt_sigaction, signal, at, 0, SET_BYTES, TRACERS_CALL);
  }

  #ask(tid: number, caller: Caller, signal: number): Action {
    const at = this.#process.scratch(tid, caller, 0);
    const action = emptyAction();
    this.#process.call(tid, caller, SYS_rt_sigaction, signal, 0, at, SET_BYTES, TRACERS_CALL);
    caller.readMemory(at, bytesOf(action));
    return action;
  }
}

function emptyAction(): Action {
  return new DataView(new ArrayBuffer(ACTION_BYTES));
}

function bytesOf({ buffer }: Action): Uint8Array {
  return new Uint8Array(buffer);
}

function handlerOf(action: Action): bigint {
  return action.getBigUint64(0, true);
}

function flagsOf(action: Action): bigint {
  return action.getBigUint64(8, true);
}

function copyOf({ buffer }: Action): Action {
  return new DataView(buffer.slice(0));
}
