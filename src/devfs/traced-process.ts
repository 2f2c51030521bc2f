/**
 * TracedProcess: an address space in which files of ours are mapped, as a tracer needs it: its memory, what
 * is mapped where, and pages of scratch memory in it.
 *
 * Scratch memory is mapped when it is needed first, by a system call that a stopped thread is made to do
 * (the instruction for it is the vDSO's), and then kept for that address space. It is the tracer's: the
 * program does not know of it.
 */
import { closeSync, openSync } from 'node:fs';
import type { Caller } from '../file/open-file.js';
import type { Account } from '../linux/account.js';
import { vdsoAddress } from '../linux/aux-vector.js';
import { refuse } from '../linux/errno.js';
import { type MappedByte, mappedByte } from '../linux/process-areas.js';
import { Registers, SIGTRAP, step, Word } from '../linux/ptrace.js';

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

  #mapScratch(tid: number, caller: Caller): number {
    const before = new Registers();
    const registers = new Registers();
    if (!before.load(tid)) refuse('ESRCH', `thread ${tid} is gone`);
    registers.words.set(before.words);
    const call = { [Word.RIP]: this.#syscallInstruction(tid, caller), [Word.RAX]: SYS_mmap, [Word.RDI]: 0 };
    const rest = {
      [Word.RSI]: SCRATCH_BYTES,
      [Word.RDX]: PROT_READ_WRITE,
      [Word.R10]: MAP_PRIVATE_ANONYMOUS,
      [Word.R8]: -1,
      [Word.R9]: 0,
    };
    for (const [word, value] of Object.entries({ ...call, ...rest })) registers.set(Number(word), value);
    registers.store(tid);
    const stopped = step(tid) === SIGTRAP;
    registers.load(tid);
    before.store(tid);
    const address = registers.wide(Word.RAX);
    if (!stopped || address % PAGE !== 0 || address === 0)
      refuse('ENOMEM', `process ${this.pid} gets no scratch memory`);
    return address;
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
