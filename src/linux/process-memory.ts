/**
 * The memory of another process, to be used after the call that named it has ended.
 *
 * It is held as an open file of /proc/PID/mem. Such a file is bound to the address space itself and not to a
 * process id: when the process exits, every access fails; when it executes another program, set-user-id or
 * not, every access still means the old address space, which is gone; a reused id changes nothing. A DMA can
 * therefore never be redirected into another program. (process_vm_readv with a process id promises none of
 * this.) Nothing is pinned: what is unmapped later faults, exactly to the page.
 *
 * All mappings of one account (account.ts) of one address space share one ProcessMemory and its descriptors,
 * by reference count. Whether a remembered one is still the caller's address space is proved at each call,
 * see space-proof.ts.
 *
 * Access through /proc/PID/mem ignores the protection of private pages, so the rights are checked here, when
 * a range is mapped. It never waits for a userfaultfd of the process: such pages end a transfer.
 * process_vm_readv would wait, for as long as the process likes. It may wait for a FUSE server; who waits
 * then is said in reach.ts.
 */
import type { Account } from './account.js';
import { Errno, hex, Refusal, refuse } from './errno.js';
import { lastErrno, libc } from './ffi.js';
import { filesystemOfDevice } from './file-status.js';
import { HeldArea } from './held-area.js';
import { heldDescriptors } from './held-descriptors.js';
import { procFile } from './own-proc.js';
import { canHaveHelpers } from './patient-helper.js';
import { commandName, couldKillUs, gone, notTraceable, processBefore, processOfThread } from './proc.js';
import { areaAt, areaOfFile, areasFrom, type SharedArea } from './process-areas.js';
import type { Ranges } from './ranges.js';
import { type Maps, OwnReach, type Reach } from './reach.js';
import { RemoteReach } from './remote-reach.js';
import { isOfDevice } from './shared-pages.js';
import { SpaceProof } from './space-proof.js';

const WRITE = 2;

const O_RDONLY = 0;
const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;
const SYS_pidfd_open = 434;
/** That one address space costs us. */
const DESCRIPTORS = 3;

/** May processes that could end this one by kill(2) have it wait (reach.ts)? */
let waitsForOwnUser = true;

/** `alone`: one command is served, and no one else. */
export function servesAlone(alone: boolean): void {
  waitsForOwnUser = alone;
}

/** By account and process (`keyOf`), the newest address space of each process that has memory mapped. */
const current = new Map<number, ProcessMemory>();

/**
 * The memory [address, address+length) of the process that thread `tid` belongs to, in the address space that
 * it has now. The thread must be waiting for us, so that it cannot exit or execute another program meanwhile.
 * Each call adds a reference, which the receiver closes. `account` pays.
 *
 * @param access 1 read, 2 write; 0: nothing is asked of the range yet.
 * @throws Refusal EFAULT not mapped, or not with these rights; ESRCH the process has exited; EPERM ptrace
 * rules forbid it; EMFILE the account's part is used up.
 */
export function* processMemory(
  account: Account,
  tid: number,
  address: number,
  length: number,
  access: number,
): Generator<undefined, { memory: ProcessMemory; offset: number }, unknown> {
  requireNumbers(address, length);
  const memory = ProcessMemory.of(account, tid);
  try {
    return yield* memory.range(tid, address, length, access);
  } finally {
    memory.drop();
  }
}

/** @throws Refusal EFAULT no process can have such a range. */
function requireNumbers(address: number, length: number): void {
  if (
    !Number.isSafeInteger(address) ||
    !Number.isSafeInteger(length) ||
    !Number.isSafeInteger(address + length) ||
    address < 0 ||
    length <= 0
  ) {
    refuse('EFAULT', `${hex(length)} bytes at address ${hex(address)} are no range of memory`);
  }
}

/** As Memory.backing gives it. */
interface Backing {
  readonly file: string | undefined;
  readonly offset: number;
  readonly length: number;
}

/** One address space. Offsets are addresses in it. It has the shape of the `Memory` that the IOMMU knows. */
export class ProcessMemory {
  readonly ofProcess = true;
  readonly description: string;
  readonly #account: Account;
  readonly pid: number;
  readonly #pidfd: number;
  readonly #mem: number;
  readonly #maps: number;
  readonly #reach: Reach;
  #closed = false;
  readonly #proof: SpaceProof;
  readonly #harmless = new Set<number>([-1]);
  #references = 1;
  /** Those that are charged. */
  #held = 0;

  /** The address space of thread `tid`, with one more reference. */
  static of(account: Account, tid: number): ProcessMemory {
    const again = ProcessMemory.#known(account, processBefore(tid), tid);
    if (again !== undefined) return again;
    const pid = processOfThread(tid);
    const known = ProcessMemory.#known(account, pid, tid);
    if (known !== undefined) return known;
    const memory = new ProcessMemory(account, tid, pid);
    current.set(keyOf(account, pid), memory);
    return memory;
  }

  /** The newest address space of process `pid`, if thread `tid` lives in it, with one more reference. */
  static #known(account: Account, pid: number, tid: number): ProcessMemory | undefined {
    const known = current.get(keyOf(account, pid));
    if (!known?.isOf(tid)) return undefined;
    known.#references++;
    return known;
  }

  private constructor(account: Account, tid: number, pid: number) {
    this.#account = account;
    [this.#mem, this.#maps, this.#pidfd] = openAll(tid, pid);
    this.pid = pid;
    this.description = `process ${pid} (${commandName(pid)})`;
    this.#reach =
      (waitsForOwnUser && couldKillUs(tid)) || !canHaveHelpers()
        ? new OwnReach(this.#mem, this.#maps)
        : new RemoteReach(account, this.#mem, this.#maps, this.description);
    this.#proof = new SpaceProof(pid, tid, this.#pidfd, this.#reach);
  }

  /**
   * Copies from address `offset`. @returns the bytes copied: short, to the page, where nothing is mapped any
   * more.
   */
  read(offset: number, target: Uint8Array, at: number, length: number): number {
    return inside(target, at, length) ? this.#reach.read(offset, target, at, length) : 0;
  }

  /** Copies to address `offset`. Returns as `read` does. */
  write(offset: number, source: Uint8Array, at: number, length: number): number {
    return inside(source, at, length) ? this.#reach.write(offset, source, at, length) : 0;
  }

  /** As Memory.gather. */
  gather(ranges: Ranges, target: Uint8Array, at: number): number {
    return inside(target, at, ranges.length) ? this.#reach.gather(ranges, target, at) : 0;
  }

  /** As Memory.scatter. */
  scatter(ranges: Ranges, source: Uint8Array, at: number): number {
    return inside(source, at, ranges.length) ? this.#reach.scatter(ranges, source, at) : 0;
  }

  /** As Memory.shortfall. */
  get shortfall(): string | undefined {
    return this.#reach.shortfall;
  }

  /** Its areas. */
  get maps(): Maps {
    return this.#reach;
  }

  /** Is [address, address+length) mapped with the rights of `access` now? */
  *reaches(address: number, length: number, access: number): Generator<undefined, boolean, unknown> {
    if (this.#closed || !Number.isSafeInteger(address + length)) return false;
    try {
      yield* this.require(this.pid, address, length, access);
      return true;
    } catch (error) {
      if (error instanceof Refusal) return false;
      throw error;
    }
  }

  /** As Memory.held: what is shared, while the process waits for us. */
  *held(
    address: number,
    length: number,
    access: number,
  ): Generator<undefined, HeldArea | undefined, unknown> {
    if (this.#closed) return undefined;
    const range = { address, length, access };
    const held = yield* HeldArea.of(this.#account, this.pid, this.#reach, range, this);
    // Whoever asks has a reference that is charged.
    if (held !== undefined) this.retain();
    return held;
  }

  /** As Memory.backing: the file of shared memory. */
  *backing(address: number): Generator<undefined, Backing, unknown> {
    const area = this.#closed ? undefined : yield* areaAt(this.pid, this.#reach, address);
    if (area === undefined) return { file: undefined, offset: address, length: Number.POSITIVE_INFINITY };
    const length = area.end - address;
    if (area.shared === undefined) return { file: undefined, offset: address, length };
    return { file: area.shared.identity, offset: area.shared.offset + (address - area.start), length };
  }

  /**
   * Touches the pages of [address, address+length), 64 KiB at most: those of shared memory that are not there
   * are made then, and charged to the process. @returns the bytes touched; 0 when the address space has gone,
   * negative when nothing is mapped there.
   */
  touch(address: number, length: number): number {
    return this.#reach.touch(address, length);
  }

  /** Has the process exited? It may have executed another program before. */
  get exited(): boolean {
    return this.#proof.exited;
  }

  /** Where it has byte `offset` of the file with this identity mapped. @throws Refusal ESRCH. */
  areaOfFile(identity: string, offset: number): SharedArea | undefined {
    return areaOfFile(this.#reach, identity, offset);
  }

  /** Makes a reference one that is charged. @throws Refusal EMFILE; then it has been dropped. */
  hold(): void {
    try {
      if (this.#held === 0) this.#account.take(heldDescriptors, DESCRIPTORS);
    } catch (refusal) {
      this.drop();
      throw refusal;
    }
    this.#held++;
  }

  /** One more reference that is charged. @throws Refusal EMFILE. */
  retain(): void {
    this.#references++;
    this.hold();
  }

  /** Drops a reference that is charged. */
  close(): void {
    if (this.#held === 0) return;
    if (--this.#held === 0) this.#account.give(heldDescriptors, DESCRIPTORS);
    this.drop();
  }

  /** Drops a reference that is not charged; the last of all closes the descriptors. */
  drop(): void {
    if (--this.#references > 0) return;
    const key = keyOf(this.#account, this.pid);
    if (current.get(key) === this) current.delete(key);
    this.#closed = true;
    this.#reach.close();
    closeAll([this.#mem, this.#maps, this.#pidfd]);
  }

  /** As processMemory, of thread `tid`, whose address space this is known to be. */
  *range(
    tid: number,
    address: number,
    length: number,
    access: number,
  ): Generator<undefined, { memory: ProcessMemory; offset: number }, unknown> {
    requireNumbers(address, length);
    this.retain();
    try {
      if (access !== 0) yield* this.require(tid, address, length, access);
      return { memory: this, offset: address };
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * As `require`, for the call being served: takes no slices, since `length` is short, and charges nothing,
   * so that whoever gives back what he has is never refused because he has too much.
   */
  requireNow(tid: number, address: number, length: number, access: number): void {
    requireNumbers(address, length);
    for (const _ of this.require(tid, address, length, access));
  }

  /**
   * Checks that [address, address+length) is mapped with the rights of `access`.
   * @throws Refusal EFAULT naming the first address that is not.
   */
  *require(
    tid: number,
    address: number,
    length: number,
    access: number,
  ): Generator<undefined, void, unknown> {
    let at = address;
    for (const area of areasFrom(tid, this.#reach, address)) {
      if (area === undefined) {
        yield;
        continue;
      }
      const missing = access & ~area.rights;
      if (missing !== 0) {
        const right = missing & WRITE ? 'write' : 'read';
        refuse('EFAULT', `address ${hex(at)} of ${this.description} is mapped without the right to ${right}`);
      }
      this.#refuseFuse(tid, at, area.device);
      if (area.shared !== undefined && isOfDevice(area.shared.identity))
        refuse('EFAULT', `address ${hex(at)} of ${this.description} is memory of a device`);
      at = area.end;
      if (at >= address + length) return;
    }
    refuse('EFAULT', `address ${hex(at)} is not mapped in ${this.description}`);
  }

  /** Is this the address space of thread `tid`, which waits for us? */
  isOf(tid: number): boolean {
    return this.#proof.isOf(tid);
  }

  /**
   * A page of a FUSE filesystem is read by asking its server, who may be this very thread, or wait for it.
   * Later changes of the mapping cannot be noticed; this catches the honest mistake. (For dishonest ones see
   * reach.ts, for our own files devfs/stand-in.ts.)
   */
  #refuseFuse(tid: number, at: number, device: number): void {
    if (this.#harmless.has(device)) return;
    const type = filesystemOfDevice(tid, device);
    if (type !== undefined && /^fuse/.test(type)) {
      const where = `a file on a ${type} filesystem, whose server a DMA would have to wait for`;
      refuse('EFAULT', `address ${hex(at)} of ${this.description} is ${where}`);
    }
    this.#harmless.add(device);
  }
}

function inside(buffer: Uint8Array, at: number, length: number): boolean {
  return length > 0 && at >= 0 && at + length <= buffer.length;
}

/** Exact: the kernel has no process ids above 2^22 (proc_sys_kernel(5), pid_max). */
function keyOf(account: Account, pid: number): number {
  return account.id * 2 ** 22 + pid;
}

/** /proc/TID/mem, /proc/TID/maps and a pidfd; all of them or none. */
function openAll(tid: number, pid: number): [mem: number, maps: number, pidfd: number] {
  const open: number[] = [];
  try {
    open.push(openOf(tid, procFile(tid, 'mem'), O_RDWR));
    open.push(openOf(tid, procFile(tid, 'maps'), O_RDONLY));
    open.push(openPidfd(pid));
    return open as [number, number, number];
  } catch (error) {
    closeAll(open);
    throw error;
  }
}

function closeAll(descriptors: readonly number[]): void {
  for (const fd of descriptors) libc().close(fd);
}

function openOf(tid: number, path: string, flags: number): number {
  const fd = libc().open(path, flags | O_CLOEXEC, 0);
  if (fd !== -1) return fd;
  const errno = lastErrno();
  if (errno === Errno.EACCES || errno === Errno.EPERM) throw notTraceable(tid, 'the memory');
  if (errno === Errno.ENOENT || errno === Errno.ESRCH) throw gone(tid);
  throw new Refusal(errno, `${path} cannot be opened`);
}

function openPidfd(pid: number): number {
  const pidfd = libc().syscall(SYS_pidfd_open, pid, 0, 0);
  if (pidfd !== -1) return pidfd;
  throw new Refusal(lastErrno(), `process ${pid} cannot be named by a pidfd`);
}
