/**
 * TracedProcess: an address space in which files of ours are mapped, as a tracer needs it: its memory, what
 * is mapped where, and pages of scratch memory in it.
 *
 * Scratch memory is mapped when it is needed first, by a system call that a stopped thread is made to do
 * (linux/injected-call.ts), and then kept for that address space. It is the tracer's: the
 * program does not know of it.
 */
import { closeSync, openSync } from 'node:fs';
import type { Caller } from '../file/open-file.js';
import type { Account } from '../linux/account.js';
import { vdsoAddress } from '../linux/aux-vector.js';
import { refuse } from '../linux/errno.js';
import { injectedCall } from '../linux/injected-call.js';
import { type MappedByte, mappedByte } from '../linux/process-areas.js';

const PAGE = 4096;
/** For each of two operands: two pages, since an access may lie across the end of one. */
const SCRATCH_BYTES = 4 * PAGE;
const SYS_mmap = 9;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const VDSO_BYTES = PAGE;

/** Of all processes, the one whose /proc/PID/maps is open: however many there are, it is one descriptor. */
let looking: { readonly process: TracedProcess; readonly maps: number } | undefined;

export class TracedProcess {
  readonly pid: number;
  /** Who pays for what is held of it. */
  readonly account: Account;
  #scratch: number | undefined;
  /** Where in it an instruction for system calls is. */
  #syscall: number | undefined;

  constructor(pid: number, account: Account) {
    this.pid = pid;
    this.account = account;
  }

  close(): void {
    if (looking?.process !== this) return;
    closeSync(looking.maps);
    looking = undefined;
  }

  /**
   * What is mapped at `address`, when it is a shared mapping of a file. `tid` is a thread of it that lives:
   * the first one may have ended before the others, and then has no memory.
   */
  mapped(tid: number, address: number): MappedByte | undefined {
    if (looking?.process !== this) {
      looking?.process.close();
      try {
        looking = { process: this, maps: openSync(`/proc/${tid}/maps`, 'r') };
      } catch {
        return undefined;
      }
    }
    return mappedByte(looking.maps, address);
  }

  /**
   * Scratch memory for operand `index`, 0 or 1. Thread `tid`, which is `caller`, is stopped. @throws Refusal
   * ENOMEM.
   */
  scratch(tid: number, caller: Caller, index: number): number {
    this.#scratch ??= this.#mapScratch(tid, caller);
    return this.#scratch + index * 2 * PAGE;
  }

  /**
   * Thread `tid`, which is `caller`, and stopped, does system call `nr`. @returns its result, or a negative
   * errno. @throws Refusal ENOMEM it has no vDSO; ESRCH it is gone.
   */
  call(tid: number, caller: Caller, nr: number, ...args: readonly number[]): number {
    this.#syscall ??= this.#syscallInstruction(tid, caller);
    return injectedCall(tid, this.#syscall, nr, args);
  }

  #mapScratch(tid: number, caller: Caller): number {
    const how = [PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0];
    const address = this.call(tid, caller, SYS_mmap, 0, SCRATCH_BYTES, ...how);
    return address > 0 ? address : refuse('ENOMEM', `process ${this.pid} gets no scratch memory`);
  }
  #syscallInstruction(tid: number, caller: Caller): number {
    const vdso = vdsoAddress(tid);
    if (vdso === 0) refuse('ENOMEM', `process ${this.pid} has no vDSO`);
    const code = Buffer.alloc(VDSO_BYTES);
    caller.readMemory(vdso, code);
    const found = code.indexOf(Buffer.from([0x0f, 0x05]));
    return found >= 0 ? vdso + found : refuse('ENOMEM', `process ${this.pid} has no system call in its vDSO`);
  }
}
