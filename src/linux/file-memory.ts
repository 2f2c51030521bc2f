/**
 * The memory of a file that a process has open: a memfd, usually.
 *
 * We hold a copy of the caller's descriptor, so the memory lives on when the process has gone. All mappings
 * of one account (account.ts) of one file with one open mode share one FileMemory and its descriptor, by
 * reference count. The file is mapped into this process once and copied from and to as fast as memory is.
 *
 * But to touch a page of it that is not there kills the toucher (SIGBUS): a file may shrink at any time,
 * filesystems and pools of huge pages become full. So the copy is guarded (guarded-copy.ts): it ends there,
 * and what is left is done through the kernel, which says exactly how much of it there is.
 *
 * Nor does the copy make pages in holes of a memfd, which would be charged to us (hole-guard.ts): it ends
 * there, too. A read goes on through the kernel, which has zeros there. For a write the pages are made by
 * whoever pays for them, a process that has the file mapped; where there is none, by us, as long as there is
 * room (memory-room.ts).
 *
 * Through the kernel, reads are pread and writes process_vm_writev to our own mapping, not pwrite, which
 * would make a shrunken file grow again. Where no copy can be guarded, all is done that way, but for memfds
 * that are sealed against shrinking.
 */
import { readlinkSync } from 'node:fs';
import { type Account, Pool } from './account.js';
import { closeHeld, unmapFile } from './background-close.js';
import { hex, Refusal } from './errno.js';
import { addressOf, lastErrno, libc } from './ffi.js';
import { type FileStatus, isSameFile, statusOfOurs, statusOfTheirs } from './file-status.js';
import { FileWaits } from './file-waits.js';
import { type GuardedCopy, guardedCopy } from './guarded-copy.js';
import { heldFlags, holdCopy } from './held-copy.js';
import type { HeldDescriptor } from './held-descriptors.js';
import { guardHoles, makePages } from './hole-guard.js';
import { readByKernel, writeByKernel } from './kernel-copy.js';
import { requireMappable, requireRange, requireRights, seals } from './mappable-file.js';
import { takeRoom } from './memory-room.js';
import type { ScatterList } from './scatter-list.js';

const WRITE = 2;
const F_GETFL = 3;

const F_SEAL_SHRINK = 0x2;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
/** (void *)-1 as a number. */
const MAP_FAILED = 2 ** 63;

/** Filesystems whose files are memory, charged page by page to whoever touches it first. */
const inMemory = new Set(['memfd', 'tmpfs']);
/** Those, and what is of huge pages: no others have pages that Linux's iommufd pins. */
const pinnable = new Set([...inMemory, 'hugetlb memfd', 'hugetlbfs']);
/** What is made of a hole before the copy goes on, in bytes. */
const HOLE_STEP = 2 ** 16;

/**
 * What all callers together may have mapped into this process. A sparse file costs its owner nothing, but us
 * addresses (of 2^47 in all) and an area (of vm.max_map_count, 65,530 as a rule), and a process that has used
 * up either dies at its next allocation.
 */
export const mappedBytes = new Pool('bytes of mapped files', 'ENOMEM', () => 2 ** 45);
export const mappedFiles = new Pool('mapped files', 'ENOMEM', () => 32_768);

/** By account, identity and open mode. */
const open = new Map<string, FileMemory>();

/**
 * Bytes [offset, offset+length) of the file behind descriptor `fd` of thread `tid`, which must be waiting for
 * us. Each call adds a reference, which the receiver closes. `account` pays.
 *
 * @param access 1 read, 2 write; 0: nothing is asked of the range yet.
 * @throws Refusal EBADF no such descriptor, or opened with O_PATH; EACCES not open, or sealed, for `access`;
 * EINVAL not a file that can be mapped, or past its end; EPERM ptrace rules forbid to copy the descriptor;
 * ENOMEM, EMFILE the account's part is used up.
 */
export function fileMemory(
  account: Account,
  tid: number,
  fd: number,
  offset: number,
  length: number,
  access: number,
): { memory: FileMemory; offset: number } {
  const expected = statusOfTheirs(tid, fd);
  const filesystem = requireMappable(tid, fd, expected);
  const known = FileMemory.known(account, expected.identity);
  const flags = known && heldFlags(account, tid, fd, expected);
  if (known !== undefined && flags !== undefined) {
    const writable = requireRights(fd, flags, known.fd, access);
    if (access !== 0) requireRange(fd, expected.size, offset, length);
    const memory = FileMemory.again(account, expected, writable);
    if (memory !== undefined) return { memory, offset };
  }
  const copy = holdCopy(account, tid, fd, (pid, there) => isSameFile(statusOfTheirs(pid, there), expected));
  const status = statusOfOurs(copy.fd);
  let writable: boolean;
  try {
    writable = requireRights(fd, libc().fcntl(copy.fd, F_GETFL, 0), copy.fd, access);
    if (access !== 0) requireRange(fd, status.size, offset, length);
  } catch (refusal) {
    closeHeld(copy);
    throw refusal;
  }
  return { memory: FileMemory.of(copy, status, filesystem, writable), offset };
}

/** A process that has the file mapped, and is charged for what is touched there. */
export interface Payer {
  /** Touches the pages of bytes [offset, offset+length) of the file, as far as they are mapped. */
  touch(offset: number, length: number): void;
}

/** One that pays for all that nobody else does. */
export interface StandingPayer extends Payer {
  /** It never will again. */
  readonly gone: boolean;
  close(): void;
}

function keyOf(account: Account, identity: string, writable: boolean): string {
  return `${account.id}:${identity}:${writable ? 'rw' : 'r'}`;
}

/** A mapped file. It has the shape of the `Memory` that the IOMMU knows. */
export class FileMemory {
  readonly ofProcess = false;
  readonly description: string;
  /** As Memory.onDisk. */
  readonly onDisk: boolean;
  readonly #identity: string;
  readonly #key: string;
  readonly #file: HeldDescriptor;
  readonly #writable: boolean;
  readonly #copy: GuardedCopy;
  readonly #isMemory: boolean;
  readonly #waits: FileWaits;
  /** The copy makes no pages. */
  #guarded = false;
  #payer: StandingPayer | undefined;
  #shortfall: string | undefined;
  #address = 0;
  #length = 0;
  #references = 0;

  /** That of a file which `account` has mapped already, in whatever mode. */
  static known(account: Account, identity: string): FileMemory | undefined {
    return open.get(keyOf(account, identity, true)) ?? open.get(keyOf(account, identity, false));
  }

  /** The same in this mode, with one more reference. @throws Refusal ENOMEM it has grown. */
  static again(account: Account, { identity, size }: FileStatus, writable: boolean): FileMemory | undefined {
    const memory = open.get(keyOf(account, identity, writable));
    if (memory === undefined) return undefined;
    if (memory.#length < size) memory.#waits.whileMapping(() => memory.#map(size));
    memory.#references++;
    return memory;
  }

  /**
   * The memory of `file`, which is taken over in any case, with one more reference. @throws Refusal ENOMEM.
   */
  static of(file: HeldDescriptor, status: FileStatus, filesystem: string, writable: boolean): FileMemory {
    let unused = true;
    try {
      const known = FileMemory.again(file.account, status, writable);
      if (known !== undefined) return known;
      const memory = new FileMemory(file, status.identity, filesystem, writable);
      memory.#begin(status.size);
      unused = false;
      return memory;
    } finally {
      if (unused) closeHeld(file);
    }
  }

  private constructor(file: HeldDescriptor, identity: string, filesystem: string, writable: boolean) {
    this.#file = file;
    this.#waits = FileWaits.of(file.account);
    this.#identity = identity;
    this.#key = keyOf(file.account, identity, writable);
    this.#writable = writable;
    const copy = guardedCopy();
    this.onDisk = !pinnable.has(filesystem);
    this.#isMemory = copy !== undefined && inMemory.has(filesystem);
    this.#copy =
      copy ?? (filesystem === 'memfd' && (seals(file.fd) & F_SEAL_SHRINK) !== 0 ? plainCopy : noCopy);
    this.description = readlinkSync(`/proc/self/fd/${file.fd}`)
      .replace(/^\/(memfd:.*) \(deleted\)$/, '$1')
      .replace(/\p{C}/gu, '?');
  }

  /** Maps it, and lets others share it. State is unchanged when that fails. @throws Refusal ENOMEM. */
  #begin(size: number): void {
    if (size > 0) this.#waits.whileMapping(() => this.#map(size));
    try {
      this.account.take(mappedFiles, 1);
    } catch (refusal) {
      this.#unmap();
      throw refusal;
    }
    open.set(this.#key, this);
    this.#references++;
  }

  /** Who pays for what it costs the server. */
  get account(): Account {
    return this.#file.account;
  }

  get fd(): number {
    return this.#file.fd;
  }

  /** Copies from byte `offset` of the file. @returns the bytes copied: short where the file ends now. */
  read(offset: number, target: Uint8Array, at: number, length: number): number {
    if (!this.#has(offset, target, at, length)) return 0;
    if (!this.#waits.touch()) return this.#readByHelper(offset, target, at, length);
    const local = addressOf(target) + at;
    const done = this.#copy(local, this.#address + offset, length);
    if (done === length) return done;
    this.#shortfall = undefined;
    return done + readByKernel(this.#file.fd, offset + done, local + done, length - done);
  }

  /** A hole that may not get a page is not there for a helper; the file is asked, which waits for nobody. */
  #readByHelper(offset: number, target: Uint8Array, at: number, length: number): number {
    const { helped } = this.#waits;
    const done = helped.read(this.#address + offset, target, at, length);
    this.#shortfall = helped.shortfall;
    if (done === length || helped.shortfall !== undefined || !this.#isMemory) return done;
    return done + readByKernel(this.#file.fd, offset + done, addressOf(target) + at + done, length - done);
  }

  /** As Memory.shortfall. */
  get shortfall(): string | undefined {
    return this.#shortfall;
  }

  /** Is there something to pay for, and nobody who does? */
  get wantsPayer(): boolean {
    return this.#guarded && this.#writable && (this.#payer?.gone ?? true);
  }

  /** `payer` is charged for what is written into holes, from now on. It is closed with the file. */
  paidBy(payer: StandingPayer): void {
    this.#payer?.close();
    this.#payer = payer;
  }

  /**
   * Copies to byte `offset` of the file; pages that are not there yet are charged to `payer`, if it has them
   * mapped. Returns as `read` does; the file never grows.
   */
  write(
    offset: number,
    source: Uint8Array,
    at: number,
    length: number,
    payer: Payer | undefined = this.#payer,
  ): number {
    if (!this.#writable || !this.#has(offset, source, at, length)) return 0;
    const helped = !this.#waits.touch();
    const done = helped ? 0 : this.#copy(this.#address + offset, addressOf(source) + at, length);
    if (done === length) return done;
    return done + this.#writeRest(helped, offset + done, source, at + done, length - done, payer);
  }

  /**
   * What this thread's copy has not done, which is seldom: so the engine can take all of `write` into its
   * caller. @returns the bytes written.
   */
  #writeRest(
    helped: boolean,
    offset: number,
    source: Uint8Array,
    at: number,
    length: number,
    payer: Payer | undefined,
  ): number {
    this.#shortfall = undefined;
    const copy = (from: number) => this.#store(helped, offset + from, source, at + from, length - from);
    let done = helped ? copy(0) : 0;
    // Where the copy has stopped is a hole, perhaps.
    while (this.#guarded && done < length && this.#shortfall === undefined) {
      const step = Math.min(length - done, HOLE_STEP);
      let copied = 0;
      if (payer !== undefined) {
        payer.touch(offset + done, step);
        copied = copy(done);
      }
      if (copied === 0 && this.#shortfall === undefined && this.#makePages(offset + done, step))
        copied = copy(done);
      if (copied === 0) break;
      done += copied;
    }
    if (helped || done === length) return done;
    return done + writeByKernel(this.#address + offset + done, addressOf(source) + at + done, length - done);
  }

  /** Copies as far as there are pages. @returns the bytes copied. */
  #store(helped: boolean, offset: number, source: Uint8Array, at: number, length: number): number {
    const target = this.#address + offset;
    this.#shortfall = undefined;
    if (!helped) return this.#copy(target, addressOf(source) + at, length);
    const done = this.#waits.helped.write(target, source, at, length);
    this.#shortfall = this.#waits.helped.shortfall;
    return done;
  }

  /** As Memory.place. No copy makes pages, the kernel's neither, and all stop where the file has ended. */
  place(offset: number, length: number, places: ScatterList, access: number): boolean {
    if ((access === WRITE && !this.#writable) || offset < 0 || offset + length > this.#length) return false;
    return places.add(this.#address + offset, length, this.#waits);
  }

  /** Makes pages that we are charged for. @returns whether there are any now. */
  #makePages(offset: number, length: number): boolean {
    if (takeRoom(length)) return makePages(this.#address + offset, length) > 0;
    const where = `${this.description} has a hole at ${hex(offset)}, which its owner has not mapped`;
    this.#shortfall = `${where}, and the server has no memory left to fill it`;
    return false;
  }

  #has(offset: number, buffer: Uint8Array, at: number, length: number): boolean {
    if (
      length > 0 &&
      offset >= 0 &&
      offset + length <= this.#length &&
      at >= 0 &&
      at + length <= buffer.length
    )
      return true;
    this.#shortfall = undefined;
    return false;
  }

  /** Maps the file anew, to its present size. State is unchanged when it fails. @throws Refusal ENOMEM. */
  #map(size: number): void {
    this.account.take(mappedBytes, size - this.#length);
    const protection = this.#writable ? PROT_READ | PROT_WRITE : PROT_READ;
    // A shared mapping of a file that is open for reading only cannot be guarded; not written to, a private
    // one is the same.
    const kind = this.#isMemory && !this.#writable ? MAP_PRIVATE : MAP_SHARED;
    const address = libc().mmap(0, size, protection, kind, this.#file.fd, 0);
    if (address >= MAP_FAILED) {
      const errno = lastErrno();
      this.account.give(mappedBytes, size - this.#length);
      throw new Refusal(errno, `${this.description} of ${hex(size)} bytes cannot be mapped into the server`);
    }
    const [old, oldLength] = [this.#address, this.#length];
    unmapFile(this.#file, old, oldLength, () => {});
    this.#address = address;
    this.#length = size;
    this.#guarded = this.#isMemory && guardHoles(address, size);
  }

  /** Does the file have these bytes now, and was it opened for `access`? */
  reaches(offset: number, length: number, access: number): boolean {
    if (access & WRITE && !this.#writable) return false;
    return offset >= 0 && offset + length <= statusOfOurs(this.#file.fd).size;
  }

  /** As Memory.backing: the file itself. */
  backing(offset: number): { file: string; offset: number; length: number } {
    return { file: this.#identity, offset, length: Number.POSITIVE_INFINITY };
  }

  /** Drops one reference; the last one unmaps and closes the file. */
  close(): void {
    if (this.#references === 0 || --this.#references > 0) return;
    open.delete(this.#key);
    this.#payer?.close();
    this.#payer = undefined;
    const { account } = this;
    this.#waits.whenUnmapping(() => {
      this.#unmap(() => account.give(mappedFiles, 1));
      closeHeld(this.#file);
    });
  }

  /** `done`: it is. */
  #unmap(done = () => {}): void {
    const [account, length] = [this.account, this.#length];
    this.#length = 0;
    unmapFile(this.#file, this.#address, length, () => {
      account.give(mappedBytes, length);
      done();
    });
  }
}

/** For memory that cannot fault: the file keeps at least the size that is mapped. */
function plainCopy(target: number, source: number, length: number): number {
  libc().memcpy(target, source, length);
  return length;
}

/** For memory that only the kernel may touch. */
function noCopy(): number {
  return 0;
}
