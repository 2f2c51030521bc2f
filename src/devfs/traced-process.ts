/**
 * TracedProcess: an address space in which files of ours are mapped, as a tracer needs it: its memory, what
 * is mapped where, and pages of scratch memory in it.
 *
 * Scratch memory is mapped when it is needed first, by a system call that a stopped thread is made to do
 * (linux/injected-call.ts), and then kept for that address space. It is the tracer's: the program does not
 * know of it.
 */
import { closeSync } from 'node:fs';
import type { Caller } from '../file/open-file.js';
import type { Account } from '../linux/account.js';
import { vdsoAddress } from '../linux/aux-vector.js';
import { refuse } from '../linux/errno.js';
import { addressOf, libc } from '../linux/ffi.js';
import { servingFilesystem } from '../linux/file-status.js';
import { injectedCall } from '../linux/injected-call.js';
import { type Area, areaWith, type MappedByte, mappedByte } from '../linux/process-areas.js';
import { type Maps, ownMaps } from '../linux/reach.js';
import { SignalState } from './signal-state.js';

const PAGE = 4096;
const O_CLOEXEC = 0o2000000;
/** For each of two operands: two pages, since an access may lie across the end of one. */
const SCRATCH_BYTES = 4 * PAGE;
const SYS_mmap = 9;
const SYS_mprotect = 10;
const PROT_READ_WRITE = 3;
const PROT_READ_EXEC = 5;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const VDSO_BYTES = PAGE;
/** In Area.rights. */
const READABLE = 1;
const WRITABLE = 2;

/** Of all processes, the one that is looked at (/proc/PID): however many, it is three descriptors. */
let looking:
  | {
      readonly process: TracedProcess;
      readonly maps: Maps;
      readonly stat: number;
      readonly mem: number;
      readonly files: readonly number[];
    }
  | undefined;
const stat = new Uint8Array(512);
const found = new Uint8Array(128);
/** Of the fields of /proc/PID/stat behind the name, that of ignored signals; the next has handled ones. */
const IGNORED_FIELD = 31;
const [PARENTHESIS, SPACE, ZERO] = [0x29, 0x20, 0x30];

export class TracedProcess {
  readonly pid: number;
  /** Who pays for what is held of it. */
  readonly account: Account;
  #scratch: number | undefined;
  /** Where in it an instruction for system calls is. */
  #syscall: number | undefined;
  readonly signals: SignalState;
  /** It has started another since it is traced, or a traced one has started it: they may share its memory. */
  shares: boolean;
  /** What was found last, at which address, and where it can be read last: kept until `forgetMappings`. */
  #found: { readonly address: number; readonly byte: MappedByte } | undefined;
  #readable: Area | undefined;
  /** What `has` has compared since, by address. `fixed`: only another mapping of its file could change it. */
  readonly #compared = new Map<number, { readonly bytes: Uint8Array; readonly fixed: boolean }>();
  /** Where threads have tried again last, by their ids. */
  readonly #tried = new Map<number, number>();

  /** `parent`: of whose memory it has a copy, or which it shares. */
  constructor(pid: number, account: Account, parent?: TracedProcess) {
    this.pid = pid;
    this.account = account;
    this.shares = parent !== undefined;
    if (parent !== undefined) {
      [this.#scratch, this.#syscall] = [parent.#scratch, parent.#syscall];
      parent.shares = true;
    }
    this.signals = new SignalState(this, parent?.signals);
  }

  close(): void {
    if (looking?.process !== this) return;
    for (const fd of looking.files) closeSync(fd);
    looking = undefined;
  }

  /**
   * What is mapped at `address`, when it is a shared mapping of a file. `tid` is a thread of it that lives:
   * the first one may have ended before the others, and then has no memory.
   */
  mapped(tid: number, address: number): MappedByte | undefined {
    const known = this.#found && behind(this.#found.byte, address - this.#found.address);
    if (known !== undefined) return known;
    const maps = this.#look(tid)?.maps;
    const byte = maps === undefined ? undefined : mappedByte(maps, address);
    this.#found = byte && { address, byte };
    return byte;
  }

  /**
   * Thread `tid` has faulted at `address`, where no file of ours is now: one may have been when it faulted,
   * so it tries again. @returns false: it has.
   */
  triesAgain(tid: number, address: number): boolean {
    const first = this.#tried.get(tid) !== address;
    if (first) this.#tried.set(tid, address);
    else this.#tried.delete(tid);
    return first;
  }

  /** What is mapped where may have changed since it was looked at. */
  forgetMappings(): void {
    this.#found = undefined;
    this.#readable = undefined;
    this.#compared.clear();
  }

  /** What is mapped at `address`. */
  areaWith(tid: number, address: number): Area | undefined {
    const maps = this.#look(tid)?.maps;
    return maps === undefined ? undefined : areaWith(maps, address);
  }

  /**
   * Does it have `bytes` at `address`? Its memory stays its own while it is traced: the program that it
   * becomes is another process here. It has just executed them: they are there, and nobody has to fetch them,
   * or another of its threads maps our file over them at this moment, whose page is EIO (stand-in.ts). Those
   * that cannot be written are not compared again until something may have been mapped there: a processor,
   * too, need not see at once what is changed under another address.
   */
  has(tid: number, address: number, bytes: Uint8Array): boolean {
    const before = this.#compared.get(address);
    const again = before?.bytes === bytes;
    if (again && before.fixed) return true;
    const mem = this.#look(tid)?.mem;
    if (mem === undefined || libc().pread(mem, addressOf(found), bytes.length, address) !== bytes.length)
      return false;
    for (let i = 0; i < bytes.length; i++) if (bytes[i] !== found[i]) return false;
    this.#compared.set(address, { bytes, fixed: again && this.#isFixed(tid, address, bytes.length) });
    return true;
  }

  /** Is [address, address+length) memory of its own that it cannot write? */
  #isFixed(tid: number, address: number, length: number): boolean {
    const area = this.areaWith(tid, address);
    if (area === undefined || area.shared !== undefined) return false;
    return (area.rights & WRITABLE) === 0 && address + length <= area.end;
  }

  /** As `caller.readMemory`, at less cost where the kernel serves the memory alone. @throws Refusal. */
  read(tid: number, caller: Caller, address: number, target: Uint8Array): void {
    const end = address + target.length;
    if (this.#readable === undefined || address < this.#readable.start || end > this.#readable.end) {
      const area = this.areaWith(tid, address);
      const reads = area !== undefined && (area.rights & READABLE) !== 0 && isServed(tid, area);
      this.#readable = reads && end <= area.end ? area : undefined;
    }
    const mem = this.#readable && this.#look(tid)?.mem;
    if (mem !== undefined && libc().pread(mem, addressOf(target), target.length, address) === target.length)
      return;
    caller.readMemory(address, target);
  }

  /** Does it handle `signal`, or ignore it? As it has it from the kernel. undefined: it is gone. */
  handles(tid: number, signal: number): boolean | undefined {
    const open = this.#look(tid);
    if (open === undefined) return undefined;
    const length = libc().pread(open.stat, addressOf(stat), stat.length, 0);
    if (length > 0) return isHandled(length, signal);
    // The thread that was looked at has ended.
    this.close();
    return libc().access(`/proc/${this.pid}/task/${tid}`, 0) === 0 ? this.handles(tid, signal) : undefined;
  }

  #look(tid: number): typeof looking {
    if (looking?.process === this) return looking;
    looking?.process.close();
    const open = (name: string) => libc().open(`/proc/${tid}/${name}`, O_CLOEXEC, 0);
    const files = [open('maps'), open('stat'), open('mem')] as const;
    const [maps, stat, mem] = files;
    if (maps >= 0 && stat >= 0 && mem >= 0)
      looking = { process: this, maps: ownMaps(maps), stat, mem, files };
    else for (const fd of files) if (fd >= 0) closeSync(fd);
    return looking;
  }

  /**
   * Scratch memory for operand `index`, 0 or 1. Thread `tid`, which is `caller`, is stopped. @throws Refusal
   * ENOMEM.
   */
  scratch(tid: number, caller: Caller, index: number): number {
    this.#scratch ??= this.#map(tid, caller, SCRATCH_BYTES);
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

  /** Maps `code`. @returns its address. @throws as `scratch`. */
  executable(tid: number, caller: Caller, code: Uint8Array): number {
    const address = this.#map(tid, caller, PAGE);
    caller.writeMemory(address, code);
    this.call(tid, caller, SYS_mprotect, address, PAGE, PROT_READ_EXEC);
    return address;
  }

  #map(tid: number, caller: Caller, length: number): number {
    const how = [PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0];
    const address = this.call(tid, caller, SYS_mmap, 0, length, ...how);
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

/** The byte that is `by` behind `byte`, where that is in the same mapping. */
function behind(byte: MappedByte, by: number): MappedByte | undefined {
  if (by === 0) return byte;
  if (by < 0 || by >= byte.length) return undefined;
  return { ...byte, offset: byte.offset + by, length: byte.length - by };
}

/** Are its pages there, or had without asking another process? */
function isServed(tid: number, { device }: Area): boolean {
  return device === -1 || servingFilesystem(tid, device) === undefined;
}

/** Are ignored or handled signals in the `length` bytes of the text `signal`'s? */
function isHandled(length: number, signal: number): boolean {
  let at = stat.lastIndexOf(PARENTHESIS, length - 1);
  let handled = 0;
  for (let field = 1; field <= IGNORED_FIELD + 1; field++) {
    at = stat.indexOf(SPACE, at) + 1;
    if (field < IGNORED_FIELD) continue;
    let value = 0;
    for (let i = at; stat[i]! >= ZERO; i++) value = value * 10 + stat[i]! - ZERO;
    handled |= value;
  }
  return ((handled >>> (signal - 1)) & 1) === 1;
}
