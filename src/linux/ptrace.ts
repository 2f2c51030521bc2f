/**
 * ptrace(2), as far as a tracer of SIGBUS needs it (x86-64): a thread that is seized (attach.ts) stops by
 * signals and events, is looked at and goes on. All of it by the thread that has seized it.
 *
 * Registers are struct user_regs_struct as 32-bit words, two for each, low half first; `Word` says which.
 */
import { readFileSync } from 'node:fs';
import { Errno } from './errno.js';
import { addressOf, libc } from './ffi.js';
import { procFile } from './own-proc.js';
import { answersMappedBytes } from './process-areas.js';

const POKEUSER = 6;
const SINGLESTEP = 9;
const GETREGS = 12;
const SETREGS = 13;
const CONT = 7;
const SYSCALL = 24;
const DETACH = 17;
const GETEVENTMSG = 0x4201;
const GETSIGINFO = 0x4202;
const SETSIGINFO = 0x4203;
const INTERRUPT = 0x4207;
const LISTEN = 0x4208;

export const SIGILL = 4;
export const SIGTRAP = 5;
export const SIGBUS = 7;
export const SIGSEGV = 11;
/** si_code of a SIGBUS and of a SIGSEGV: nothing is there at that address; it may not be accessed so. */
export const BUS_ADRERR = 2;
export const SEGV_MAPERR = 1;
export const SEGV_ACCERR = 2;
/** si_code of a SIGSEGV without an address: the processor's #GP. */
export const SI_KERNEL = 128;
/** In place of a signal: the thread begins a system call, after `goOnToCall`. */
export const AT_CALL = SIGTRAP | 0x80;
/**
 * What stops a thread that accesses a mapped file: SIGILL, where the processor has not the instruction. A
 * SIGSEGV too, of ENQCMD where it has: but that is left alone where it is anything else.
 */
export const RAISED_BY_ACCESSES: readonly number[] = [SIGILL, SIGBUS];

/** PTRACE_EVENT_*, above the signal in the status of a stop. */
export const Event = { FORK: 1, VFORK: 2, CLONE: 3, EXEC: 4, EXIT: 6, STOP: 128 } as const;

/** Places of registers in struct user_regs_struct, in words. */
export const Word = {
  R15: 0,
  R14: 2,
  R13: 4,
  R12: 6,
  RBP: 8,
  RBX: 10,
  R11: 12,
  R10: 14,
  R9: 16,
  R8: 18,
  RAX: 20,
  RCX: 22,
  RDX: 24,
  RSI: 26,
  RDI: 28,
  ORIG_RAX: 30,
  RIP: 32,
  CS: 34,
  EFLAGS: 36,
  RSP: 38,
} as const;

const REGISTER_WORDS = 54;

const GETSIGMASK = 0x420a;
const SETSIGMASK = 0x420b;
/** SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV as bits of a signal set. */
const RAISED_BY_INSTRUCTIONS = 0x4d8;
const P_PID = 1;
const WNOHANG = 1;
const WSTOPPED = 2;
const WNOWAIT = 0x01000000;
/** How long is waited for a thread that sleeps, and for one that has a processor or waits for one. */
const MOST_WAITED_MS = 200;
const MOST_RUNNABLE_MS = 2000;
/** States of threads in /proc. */
const RUNNABLE = 'R';
const DEAD: readonly string[] = ['Z', 'X', ''];
const WALL = 0x40000000;
const CLD_TRAPPED = 4;
const mask = new Int32Array(32);
const maskAt = addressOf(new Uint8Array(mask.buffer));

/** siginfo_t as 32-bit words: signal 0, code 2, address 4. */
const info = new Int32Array(32);
const infoAt = addressOf(new Uint8Array(info.buffer));
const message = new Uint32Array(32);
const messageAt = addressOf(new Uint8Array(message.buffer));

/**
 * Why loads and stores of other processes cannot be traced here; undefined when they can, as far as can be
 * told without a try. `arch` as Node names processors.
 */
export function whyNotTraceable(arch: string = process.arch): string | undefined {
  if (arch !== 'x64') return `the instructions of ${arch} are not known`;
  if (!answersMappedBytes())
    return 'the kernel does not tell what is mapped at an address (before Linux 6.11)';
  const scope = yamaScope();
  if (scope > (process.geteuid?.() === 0 ? 2 : 1)) return `kernel.yama.ptrace_scope is ${scope}`;
  return undefined;
}

/** kernel.yama.ptrace_scope; 0 where there is none. */
export function yamaScope(): number {
  try {
    return Number(readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'latin1'));
  } catch {
    return 0;
  }
}

/** A set of registers. */
export class Registers {
  readonly words = new Int32Array(REGISTER_WORDS);
  readonly #at = addressOf(new Uint8Array(this.words.buffer));

  /** @returns false: the thread is gone. */
  load(tid: number): boolean {
    return libc().ptrace(GETREGS, tid, 0, this.#at) === 0;
  }

  store(tid: number): boolean {
    return libc().ptrace(SETREGS, tid, 0, this.#at) === 0;
  }

  /** The same, when no other register than RIP has been changed, at half the cost. */
  storeRip(tid: number): boolean {
    return libc().ptrace(POKEUSER, tid, 4 * Word.RIP, this.wide(Word.RIP)) === 0;
  }

  /** The 64-bit register at `word`; exact for addresses. */
  wide(word: number): number {
    return (this.words[word]! >>> 0) + (this.words[word + 1]! >>> 0) * 2 ** 32;
  }

  /** The same, as a signed number: for an index. */
  signed(word: number): number {
    return (this.words[word]! >>> 0) + this.words[word + 1]! * 2 ** 32;
  }

  /** `value` is exact: below 2^53 on either side of 0. */
  set(word: number, value: number): void {
    const high = Math.floor(value / 2 ** 32);
    this.words[word] = value - high * 2 ** 32;
    this.words[word + 1] = high;
  }

  /** Adds to the 64-bit register at `word`, whose value is exact. */
  add(word: number, difference: number): void {
    this.set(word, this.signed(word) + difference);
  }
}

/** What the system call has returned that a stopped thread has just done: a negative errno. */
export function resultOf(tid: number): number {
  return returned.load(tid) ? returned.signed(Word.RAX) : -Errno.ESRCH;
}

/** An address of the stopped thread's stack that it does not use: below the red zone. */
export function belowStack(tid: number): number {
  return returned.load(tid) ? returned.wide(Word.RSP) - 1024 : 0;
}

const returned = new Registers();

/** A stopped thread goes on; `signal` is delivered to it, 0 none. */
export function goOn(tid: number, signal: number): void {
  libc().ptrace(CONT, tid, 0, signal);
}

/** A stopped thread goes on, and stops at its next system call too (AT_CALL). */
export function goOnToCall(tid: number): void {
  libc().ptrace(SYSCALL, tid, 0, 0);
}

/** A running thread stops before it does another instruction (Event.STOP). */
export function interrupt(tid: number): void {
  libc().ptrace(INTERRUPT, tid, 0, 0);
}

/** A thread in a group stop stays in it, as it would untraced. */
export function stayStopped(tid: number): void {
  libc().ptrace(LISTEN, tid, 0, 0);
}

function bitOf(signal: number): number {
  return 1 << (signal - 1);
}

/** Does the stopped thread block `signal`, one of the first 31? */
export function blocks(tid: number, signal: number): boolean {
  return libc().ptrace(GETSIGMASK, tid, 8, maskAt) === 0 && (mask[0]! & bitOf(signal)) !== 0;
}

/** It does from now on, or no more. */
export function setBlocked(tid: number, signal: number, blocked: boolean): void {
  if (blocks(tid, signal) === blocked) return;
  mask[0]! ^= bitOf(signal);
  libc().ptrace(SETSIGMASK, tid, 8, maskAt);
}

/**
 * A stopped thread does one instruction. Signals that come meanwhile wait, but for those that the instruction
 * itself raises: SIGTRAP and, where the thread does not block them, the others. One that it blocks the kernel
 * forces upon it, as always.
 * @returns the signal of the stop that it has come to: SIGTRAP when all went well; 0: the thread is gone.
 */
export function step(tid: number): number {
  libc().ptrace(GETSIGMASK, tid, 8, maskAt);
  const [low, high] = [mask[0]!, mask[1]!];
  mask[0] = (~RAISED_BY_INSTRUCTIONS | low) & ~bitOf(SIGTRAP);
  mask[1] = -1;
  libc().ptrace(SETSIGMASK, tid, 8, maskAt);
  const signal = libc().ptrace(SINGLESTEP, tid, 0, 0) === 0 ? stopOf(tid) : 0;
  mask[0] = signal === SIGTRAP || signal === 0 ? low : low & ~bitOf(signal);
  mask[1] = high;
  libc().ptrace(SETSIGMASK, tid, 8, maskAt);
  return signal;
}

/**
 * Waits for the stop of a thread that is to do one instruction, which takes microseconds from when it has a
 * processor. A thread that is killed stops before its end alone, or not at all, and that of its process's
 * leader is not even told before all others have been asked.
 * @returns the stop's signal; 0: it has not come, and will not. The stop is left to who asks for its state.
 */
function stopOf(tid: number): number {
  for (let waited = 0, runnable = 0; ; ) {
    info[4] = 0;
    if (libc().waitid(P_PID, tid, infoAt, WSTOPPED | WNOHANG | WALL | WNOWAIT) !== 0) return 0;
    if (info[4] !== 0) return info[2] === CLD_TRAPPED && info[6]! >> 8 !== Event.EXIT ? info[6]! & 0x7f : 0;
    const state = stateOf(tid);
    if (waited > MOST_WAITED_MS || runnable > MOST_RUNNABLE_MS || DEAD.includes(state)) return 0;
    if (state === RUNNABLE) runnable++;
    else waited++;
    libc().poll(0, 0, 1);
  }
}

/** Has thread `tid` ended, waited for or not? */
export function isDead(tid: number): boolean {
  return DEAD.includes(stateOf(tid));
}

/** The state of a thread as /proc has it, one letter; none when it is gone. */
function stateOf(tid: number): string {
  try {
    return /^.*\) (\w) /s.exec(readFileSync(procFile(tid, 'stat'), 'latin1'))?.[1] ?? '';
  } catch {
    return '';
  }
}

/** A stopped thread is traced no more, and goes on. @returns false: it was killed, and is not stopped. */
export function letGo(tid: number): boolean {
  return libc().ptrace(DETACH, tid, 0, 0) === 0;
}

/** The id of what a thread has started, after Event.FORK, VFORK and CLONE. */
export function startedBy(tid: number): number {
  return libc().ptrace(GETEVENTMSG, tid, 0, messageAt) === 0 ? message[0]! : 0;
}

/** A signal that a thread has stopped for. */
export interface StoppingSignal {
  /** si_code: above 0 the kernel has sent it. */
  readonly code: number;
  /** si_addr, of a fault. */
  readonly address: number;
}

/** @returns undefined: the thread is gone. */
export function signalOf(tid: number): StoppingSignal | undefined {
  if (libc().ptrace(GETSIGINFO, tid, 0, infoAt) !== 0) return undefined;
  return { code: info[2]!, address: (info[4]! >>> 0) + (info[5]! >>> 0) * 2 ** 32 };
}

/** The same as the kernel has it. @returns undefined: the thread is gone. */
export function signalBytes(tid: number): Uint8Array | undefined {
  return libc().ptrace(GETSIGINFO, tid, 0, infoAt) === 0 ? new Uint8Array(info.buffer).slice() : undefined;
}

/** The signal that a thread has stopped for becomes `signal`, of a fault. */
export function setFault(tid: number, signal: number, { code, address }: StoppingSignal): void {
  info.fill(0);
  info[0] = signal;
  info[2] = code;
  info[4] = address;
  info[5] = address / 2 ** 32;
  libc().ptrace(SETSIGINFO, tid, 0, infoAt);
}

/**
 * Does the thread run, or has it stopped without anybody having been told so far? Its state is read first:
 * one that stops meanwhile is found to have stopped.
 */
export function isRunning(tid: number): boolean {
  if (stateOf(tid) === RUNNABLE) return true;
  info[4] = 0;
  return libc().waitid(P_PID, tid, infoAt, WSTOPPED | WNOHANG | WNOWAIT | WALL) === 0 && info[4] !== 0;
}
