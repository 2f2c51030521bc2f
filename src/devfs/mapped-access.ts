/**
 * MappedAccess: one instruction of a stopped thread that loads from or stores to a mapped file of ours, made
 * as calls on that file.
 *
 * A load is a read of just its bytes, a store a write; what the processor steps over itself (instruction.ts)
 * reads and writes in aligned pieces of at most 8 bytes. MOVDIR64B and ENQCMD write 64 at once. Where the
 * file refuses, or nobody knows the instruction, the thread gets its SIGBUS, as without us, and the reason is
 * told.
 */
import { Errno, hex, Refusal, refuse } from '../linux/errno.js';
import {
  BUS_ADRERR,
  Registers,
  SEGV_ACCERR,
  SEGV_MAPERR,
  SI_KERNEL,
  SIGBUS,
  SIGSEGV,
  SIGTRAP,
  type StoppingSignal,
  step,
  Word,
} from '../linux/ptrace.js';
import { AccessData, MOST_OPERAND } from './access-data.js';
import { usedBy } from './file-requests.js';
import { nameOf, type Opened } from './inode.js';
import type { Address, Instruction, Operand } from './instruction.js';
import { InstructionFetch } from './instruction-fetch.js';
import type { PageMappings } from './page-mappings.js';
import type { ProcessCaller } from './process-caller.js';
import type { TracedProcess } from './traced-process.js';
import type { Turns } from './turns.js';

const PAGE = 4096;
/** CF, PF, AF, ZF, SF, OF. */
const ARITHMETIC_FLAGS = 0x8d5;
const ZERO_FLAG = 0x40;
const PIECE = 8;
/** What MOVDIR64B and ENQCMD store, and a multiple of which its address is. */
const STORE64 = 64;
/** What the kernel tells of the processor's #GP. */
const GENERAL_PROTECTION: StoppingSignal = { code: SI_KERNEL, address: 0 };

type Store64 = Instruction & { kind: 'store64' };

/** An operand in a mapped file. */
interface Target {
  readonly opened: Opened;
  readonly offset: number;
  /** Bytes that are mapped from there on. */
  readonly length: number;
}

/** An operand that the processor finds at `place` instead, by its register moved `by` so many bytes. */
interface Moved {
  readonly operand: Operand;
  readonly target: Target;
  readonly place: number;
  readonly by: number;
}

/** Is told why an access to the file at `path` was not made, so that the caller gets a signal. */
export type Tell = (path: string, error: unknown) => void;

export class MappedAccess {
  readonly #pages: PageMappings;
  readonly #turns: Turns;
  readonly #tell: Tell;
  readonly #caller: ProcessCaller;
  readonly #registers = new Registers();
  readonly #data = new AccessData();
  readonly #fetch: InstructionFetch;

  constructor(pages: PageMappings, turns: Turns, caller: ProcessCaller, tell: Tell) {
    this.#pages = pages;
    this.#turns = turns;
    this.#caller = caller;
    this.#tell = tell;
    this.#fetch = new InstructionFetch(caller, this.#registers);
  }

  /** Thread `tid` has stopped for SIGBUS. */
  fault(tid: number, process: TracedProcess, fault: StoppingSignal): void {
    const { address } = fault;
    this.#caller.begin(tid, process.account);
    const target = this.#targetAt(tid, process, address);
    if (target === undefined && process.triesAgain(tid, address)) process.signals.goOn(tid, 0);
    else if (target === undefined || !this.#registers.load(tid))
      process.signals.deliver(tid, this.#caller, SIGBUS, fault);
    else if (!this.#waits(target, () => this.fault(tid, process, fault)))
      this.#attempt(tid, process, target.opened, fault, () => {
        const instruction = this.#fetch.instruction(tid, process) ?? this.#refuse();
        const whole = this.#whole(tid, process, instruction, target, address);
        this.#perform(tid, process, instruction, whole, address);
      });
  }

  /**
   * Thread `tid` has stopped for `signal`: SIGILL, perhaps of MOVDIR64B or ENQCMD on a processor that has
   * none; or SIGSEGV, perhaps of ENQCMD on one that wants a PASID of the process before all else.
   */
  submission(tid: number, process: TracedProcess, signal: number, fault: StoppingSignal): void {
    this.#caller.begin(tid, process.account);
    const instruction = this.#registers.load(tid) ? this.#fetch.readable(tid, process) : undefined;
    const it = instruction?.kind === 'store64' ? instruction : undefined;
    const address = it === undefined ? 0 : this.#registers.wide(it.target);
    const target = it && this.#targetAt(tid, process, address);
    const isAligned = address % STORE64 === 0;
    if (it === undefined || target === undefined || (signal === SIGSEGV && isAligned && !it.enqueues))
      this.#isOther(tid, process, signal, fault);
    else if (!this.#waits(target, () => this.submission(tid, process, signal, fault)))
      this.#submit(tid, process, it, target, address);
  }

  /** Something else has raised `signal`. What the program does for SIGSEGV is between it and the kernel. */
  #isOther(tid: number, { signals }: TracedProcess, signal: number, fault: StoppingSignal): void {
    if (signal === SIGSEGV) signals.goOn(tid, signal);
    else signals.deliver(tid, this.#caller, signal, fault);
  }

  /** Stores to `address`, with the faults of a processor that has the instruction, in their order. */
  #submit(tid: number, process: TracedProcess, it: Store64, target: Target, address: number): void {
    const { opened } = target;
    const from = this.#addressOf(it.source);
    try {
      process.read(tid, this.#caller, from, this.#data.bytes);
    } catch (error) {
      const code = process.areaWith(tid, from) === undefined ? SEGV_MAPERR : SEGV_ACCERR;
      this.#raise(tid, process, opened, SIGSEGV, { code, address: from }, error);
      return;
    }
    if (address % STORE64 !== 0) {
      const why = new Refusal(Errno.EINVAL, `the 64 bytes at ${hex(address)} are not aligned`);
      this.#raise(tid, process, opened, SIGSEGV, GENERAL_PROTECTION, why);
      return;
    }
    this.#attempt(tid, process, opened, { code: BUS_ADRERR, address }, () => {
      this.#write64(it, target);
      this.#advance(tid, process, it);
    });
  }

  /** Makes an access to `opened`; where that is refused the thread gets SIGBUS. */
  #attempt(
    tid: number,
    process: TracedProcess,
    opened: Opened,
    fault: StoppingSignal,
    access: () => void,
  ): void {
    try {
      access();
    } catch (error) {
      this.#raise(tid, process, opened, SIGBUS, fault, error);
    }
  }

  /**
   * Thread `tid` gets `signal`, because of `error`. One that has been killed meanwhile can be neither read
   * nor written any more, and nobody is told.
   */
  #raise(
    tid: number,
    { signals }: TracedProcess,
    opened: Opened,
    signal: number,
    fault: StoppingSignal,
    error: unknown,
  ): void {
    if (!this.#registers.load(tid)) return;
    this.#tell(nameOf(opened), error);
    signals.deliver(tid, this.#caller, signal, fault);
  }

  #refuse(): never {
    refuse('EOPNOTSUPP', `the instruction at ${hex(this.#registers.wide(Word.RIP))} is not known`);
  }

  #refuseSource(at: number): never {
    return refuse('EOPNOTSUPP', `64 bytes are loaded at ${hex(at)}, and stored where no device is`);
  }

  /** Another call goes on with the file: later. @returns whether that is so. */
  #waits({ opened }: Target, again: () => void): boolean {
    if (this.#turns.idle) return false;
    const objects = usedBy(opened.file, 'write');
    if (!this.#turns.claimed(objects)) return false;
    this.#turns.wait(objects, again);
    return true;
  }

  /**
   * Where the access of a load or store begins, which has faulted at `fault`: in the page below, perhaps.
   * @throws Refusal EFAULT it is not all in one mapping; EOPNOTSUPP it is the source of MOVDIR64B.
   */
  #whole(tid: number, process: TracedProcess, it: Instruction, target: Target, fault: number): Target {
    if (it.kind === 'step') return target;
    if (it.kind === 'store64')
      return this.#targetAt(tid, process, this.#registers.wide(it.target)) ?? this.#refuseSource(fault);
    const start = fault % PAGE === 0 ? this.#addressOf(it.address) : fault;
    const whole = start === fault ? target : this.#targetAt(tid, process, start);
    if (whole !== undefined && it.size <= whole.length) return whole;
    return refuse('EFAULT', `${it.size} bytes at ${hex(start)} are not all in one mapping`);
  }

  #targetAt(tid: number, process: TracedProcess, address: number): Target | undefined {
    const byte = process.mapped(tid, address);
    const file = byte && this.#pages.file(byte.device, byte.inode);
    return file && { opened: file.opened, offset: file.start + byte!.offset, length: byte!.length };
  }

  #perform(
    tid: number,
    process: TracedProcess,
    instruction: Instruction,
    target: Target,
    address: number,
  ): void {
    switch (instruction.kind) {
      case 'load':
        this.#read(target, 0, instruction.size);
        this.#data.toRegister(
          this.#registers.words,
          instruction.target,
          instruction.size,
          instruction.signed,
        );
        break;
      case 'store':
        if ('source' in instruction) this.#data.fromRegister(this.#registers.words, instruction.source);
        else this.#data.fromWords(instruction.low, instruction.high);
        this.#write(target, 0, instruction.size);
        break;
      case 'store64':
        this.#store64(tid, process, instruction, target);
        break;
      case 'step':
        this.#step(tid, process, instruction, address);
        return;
    }
    this.#advance(tid, process, instruction);
  }

  #advance(tid: number, { signals }: TracedProcess, instruction: Instruction): void {
    this.#registers.add(Word.RIP, instruction.length);
    if (isPlainStore(instruction)) this.#registers.storeRip(tid);
    else this.#registers.store(tid);
    signals.resume(tid);
  }

  /** Fills the data from `at` on. @throws Refusal. */
  #read({ opened, offset }: Target, at: number, length: number): void {
    const bytes = this.#data.part(at, length);
    const done = opened.file.mapping?.read(offset + at, bytes) ?? 0;
    if (done < length) refuse('EFAULT', `byte ${hex(offset + at + done)} of the file is none of a BAR`);
  }

  /**
   * Writes the data from `at` on. What the device does not take is lost, as on a bus. @returns whether it has
   * taken it. @throws Refusal EIO when there is no device to be reached.
   */
  #write({ opened, offset }: Target, at: number, length: number): boolean {
    try {
      opened.file.mapping?.write(this.#caller, offset + at, this.#data.part(at, length));
      return true;
    } catch (error) {
      if (!(error instanceof Refusal) || error.errno === Errno.EIO) throw error;
      return false;
    }
  }

  #store64(tid: number, process: TracedProcess, it: Store64, target: Target): void {
    process.read(tid, this.#caller, this.#addressOf(it.source), this.#data.bytes);
    this.#write64(it, target);
  }

  /** Writes the data: one access of the device. @throws Refusal. */
  #write64({ enqueues }: Store64, { opened, offset }: Target): void {
    const taken = opened.file.mapping?.write64(this.#caller, offset, this.#data.bytes) ?? false;
    if (!enqueues) return;
    const { words } = this.#registers;
    words[Word.EFLAGS] = (words[Word.EFLAGS]! & ~ARITHMETIC_FLAGS) | (taken ? 0 : ZERO_FLAG);
  }

  #addressOf({ base, index, scale, displacement }: Address): number {
    const from = base < 0 ? 0 : this.#registers.signed(base);
    const times = index < 0 ? 0 : this.#registers.signed(index);
    return from + times * scale + displacement;
  }

  /** Where, from its address on, the operand lies that has the bit. */
  #elementOf({ size, bits }: Operand): number {
    if (bits === undefined) return 0;
    const low = this.#registers.words[bits.word]!;
    const bit = size === 8 ? this.#registers.signed(bits.word) : size === 2 ? (low << 16) >> 16 : low;
    return Math.floor(bit / (8 * size)) * size;
  }

  /** Lets the processor do it, on scratch memory in place of what is mapped. */
  #step(
    tid: number,
    process: TracedProcess,
    instruction: Instruction & { kind: 'step' },
    fault: number,
  ): void {
    const moved: Moved[] = [];
    let isThere = false;
    for (const operand of instruction.operands) {
      const address = this.#addressOf(operand.address) + this.#elementOf(operand);
      const target = this.#targetAt(tid, process, address);
      if (target === undefined) continue;
      if (operand.size > target.length)
        refuse('EFAULT', `${operand.size} bytes at ${hex(address)} are not all in one mapping`);
      if (operand.mover < 0 || operand.size === 0 || operand.size > MOST_OPERAND || moved.length === 2)
        refuse('EOPNOTSUPP', `the access at ${hex(fault)} is of a kind that is not known`);
      const place = process.scratch(tid, this.#caller, moved.length) + (address % PAGE);
      moved.push({ operand, target, place, by: place - address });
      isThere ||= address <= fault && fault < address + operand.size;
    }
    if (!isThere) refuse('EOPNOTSUPP', `what is accessed at ${hex(fault)} is not known`);
    for (const { operand, target, place, by } of moved) {
      if (operand.reads) this.#pieces(target, operand.size, (at, length) => this.#read(target, at, length));
      if (operand.reads) this.#caller.writeMemory(place, this.#data.part(0, operand.size));
      this.#registers.add(operand.mover, by);
    }
    this.#stepped(tid, process, moved);
  }

  #stepped(tid: number, { signals }: TracedProcess, moved: readonly Moved[]): void {
    const registers = this.#registers;
    const masked = moved.some(({ operand }) => operand.masked);
    const kept = masked ? this.#written(tid, moved) : undefined;
    registers.store(tid);
    const signal = step(tid);
    if (signal === 0 || !registers.load(tid)) return;
    for (const { operand, by } of moved) registers.add(operand.mover, -by);
    registers.store(tid);
    if (signal === SIGTRAP) {
      for (const { operand, target, place } of moved) {
        if (!operand.writes) continue;
        this.#caller.readMemory(place, this.#data.part(0, operand.size));
        this.#pieces(target, operand.size, (at, length) => this.#writeKept(target, at, length, kept));
      }
    }
    if (signal === SIGTRAP) signals.resume(tid);
    else signals.goOn(tid, signal);
  }

  /** Which bytes of a masked store are stored: those that it changes in one of two patterns. */
  #written(tid: number, moved: readonly Moved[]): Uint8Array {
    const before = this.#registers.words.slice();
    const changed = new Uint8Array(MOST_OPERAND);
    for (const pattern of [0x00, 0xff]) {
      for (const { operand, place } of moved) {
        if (!operand.masked) continue;
        this.#caller.writeMemory(place, this.#data.part(0, operand.size).fill(pattern));
        this.#registers.words.set(before);
        this.#registers.store(tid);
        step(tid);
        this.#caller.readMemory(place, this.#data.part(0, operand.size));
        for (let i = 0; i < operand.size; i++) if (this.#data.bytes[i] !== pattern) changed[i] = 1;
      }
    }
    this.#registers.words.set(before);
    return changed;
  }

  /** Writes those bytes of a piece that are stored: all, or runs of them. */
  #writeKept(target: Target, at: number, length: number, kept: Uint8Array | undefined): void {
    if (kept === undefined) {
      this.#write(target, at, length);
      return;
    }
    for (let from = at; from < at + length; from++) {
      if (kept[from] === 0) continue;
      let end = from;
      while (end < at + length && kept[end] === 1) end++;
      this.#write(target, from, end - from);
      from = end;
    }
  }

  /** Cuts `size` bytes into pieces that lie in aligned words of 8 of the file. */
  #pieces({ offset }: Target, size: number, piece: (at: number, length: number) => void): void {
    for (let at = 0; at < size; ) {
      const length = Math.min(size - at, PIECE - ((offset + at) % PIECE));
      piece(at, length);
      at += length;
    }
  }
}

/** Does it change no register? */
function isPlainStore(it: Instruction): boolean {
  return it.kind === 'store' || (it.kind === 'store64' && !it.enqueues);
}
