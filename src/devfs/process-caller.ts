/**
 * ProcessCaller: the real process whose request is being served.
 *
 * One object serves many requests; `begin` points it to the next caller. It names the caller by thread id.
 * With a FUSE request that is safe: the thread sleeps in the kernel until it is answered, so the id cannot
 * come to mean somebody else meanwhile. Where the thread may be killed before (trapped-calls.ts),
 * `Presence.confirm` says afterwards whether what was found by its id was the caller's.
 */
import type { Caller, Doorbell, MemoryRange, OpenFile, Signal } from '../file/open-file.js';
import { failing, type Sliced, type Work } from '../file/work.js';
import type { Access } from '../iommu/iommu.js';
import type { Memory } from '../iommu/memory.js';
import type { Account } from '../linux/account.js';
import { doorbellOf } from '../linux/doorbells.js';
import { Errno, Refusal, refuse } from '../linux/errno.js';
import { eventfdOf } from '../linux/eventfd.js';
import { fileMemory } from '../linux/file-memory.js';
import { payFor } from '../linux/file-payer.js';
import { broken } from '../linux/invariant.js';
import { LiveMemory, liveMemory } from '../linux/live-memory.js';
import { lockerOf } from '../linux/locked-memory.js';
import { hasCapability, processOfThread, sharesUserNamespace } from '../linux/proc.js';
import type { ProcessMemory } from '../linux/process-memory.js';
import { type BufferList, bufferListOf, bufferListSoon } from '../linux/vectored-call.js';
import { CallMemory } from './call-memory.js';
import type { Identification } from './identification.js';
import type { PageMappings } from './page-mappings.js';

/** From <linux/capability.h>. */
const CAP_SYS_RAWIO = 17;
const CAP_SYS_ADMIN = 21;

/** What depends on how the call came to us. */
export interface Presence {
  /** Returns when the calling thread has been the same, and waiting, up to now. @throws Refusal ESRCH. */
  confirm(): void;
  /** As Caller.install. */
  install(file: OpenFile): Sliced<number>;
}

/** What descriptors look like. */
type Names = Pick<Identification, 'named'>;
/** The files that are mapped (PageMappings). */
type Mappings = Pick<PageMappings, 'range'>;

/** A call that came as a FUSE request. */
const byFuse: Presence = {
  confirm: () => undefined,
  install: (file) => {
    const who = 'only a program that `ioasid run` has started can be given a new descriptor';
    return failing(file.release(), new Refusal(Errno.EOPNOTSUPP, `${who}, where seccomp lets it`));
  },
};

/** By which descriptor a file was called last, for those who show calls. */
const descriptors = new WeakMap<OpenFile, number>();
/** The most buffers of one call (UIO_MAXIOV), and the bytes of a `struct iovec`. */
const MOST_BUFFERS = 1024;
const BUFFER_BYTES = 16;
/** Descriptors that are looked at to find one of a file: a program may have a million. */
const MOST_LOOKED_AT = 1024;

export class ProcessCaller implements Caller {
  readonly #names: Names;
  readonly #presented: (tid: number, fd: number) => object;
  readonly #traceable: ((tid: number) => boolean) | undefined;
  readonly #mappings: Mappings | undefined;
  readonly #countsLocked: boolean;
  #tid = 0;
  #account: Account | undefined;
  #pid: number | undefined;
  #presence = byFuse;
  readonly #memory = new CallMemory();

  /**
   * `presented` finds the object behind a descriptor of a thread, or refuses; `names` tells what it looks
   * like. `traceable`: can its loads and stores be seen? `mappings` knows the files that are mapped; none are
   * without it. `countsLocked`: its memory is counted when it is mapped for devices.
   */
  constructor(
    names: Names,
    presented: (tid: number, fd: number) => object,
    traceable?: (tid: number) => boolean,
    mappings?: Mappings,
    countsLocked = false,
  ) {
    this.#countsLocked = countsLocked;
    this.#names = names;
    this.#presented = presented;
    this.#traceable = traceable;
    this.#mappings = mappings;
  }

  /**
   * The caller is thread `tid` from now on; 0 when its pid namespace cannot be seen from here. What the call
   * makes us hold is charged to `account`, that of the file which is called; nothing may be while there is
   * none.
   */
  begin(tid: number, account: Account | undefined, presence = byFuse): void {
    this.#tid = tid;
    this.#account = account;
    this.#pid = undefined;
    this.#presence = presence;
    this.#memory.begin();
  }

  get tid(): number {
    return this.#tid;
  }

  get pid(): number {
    this.#pid ??= this.#tid === 0 ? 0 : processOfThread(this.#tid);
    return this.#pid;
  }

  get mapsFiles(): boolean {
    return this.#traceable?.(this.#tid) ?? false;
  }

  descriptorOf(file: OpenFile): number | undefined {
    const known = descriptors.get(file);
    if (known !== undefined && this.#means(known, file)) return known;
    for (let fd = 0; fd < MOST_LOOKED_AT; fd++) {
      if (!this.#means(fd, file)) continue;
      descriptors.set(file, fd);
      return fd;
    }
    return undefined;
  }

  parts(length: number): Sliced<readonly number[] | undefined> {
    const list = this.#tid === 0 ? undefined : bufferListOf(this.#tid);
    return list === 'running' ? this.#partsSoon(length) : this.#partsIn(list, length);
  }

  *#partsSoon(length: number): Work<readonly number[] | undefined> {
    return this.#partsIn(yield* bufferListSoon(this.#tid), length);
  }

  #partsIn(list: BufferList | undefined, length: number): readonly number[] | undefined {
    if (list === undefined || list.count > MOST_BUFFERS) return undefined;
    const entries = new Uint8Array(list.count * BUFFER_BYTES);
    try {
      this.readMemory(list.address, entries);
    } catch (error) {
      if (error instanceof Refusal) return undefined;
      throw error;
    }
    return lengthsIn(new DataView(entries.buffer), length);
  }

  readMemory(address: number, target: Uint8Array): void {
    this.#memory.read(this.payer, this.#thread(), address, target);
  }

  writeMemory(address: number, source: Uint8Array): void {
    this.#memory.write(this.payer, this.#thread(), address, source);
  }

  *memory(address: number, length: number, access: Access): Work<MemoryRange> {
    return this.#lockable(this.#confirmed(yield* this.#space().range(this.#tid, address, length, access)));
  }

  *mappedFile(address: number, length: number, access: Access): Work<MemoryRange | undefined> {
    if (this.#mappings === undefined) return undefined;
    const { memory } = yield* this.#space().range(this.#thread(), address, length, 0);
    try {
      const found = yield* this.#mappings.range(memory.maps, address, length, access);
      this.#presence.confirm();
      return found?.opened.file.mapping?.memory(found.start);
    } finally {
      memory.close();
    }
  }

  addressSpace(): Memory {
    const memory = liveMemory(this.payer, this.#thread());
    this.#confirm(memory);
    return memory;
  }

  livesIn(memory: Memory): boolean {
    return this.#tid !== 0 && memory instanceof LiveMemory && memory.isOf(this.#tid);
  }

  get rawIo(): boolean {
    return this.#tid !== 0 && hasCapability(this.#tid, CAP_SYS_RAWIO);
  }

  /** What a user has in a namespace of his own, he has not here. */
  get isAdmin(): boolean {
    return hasCapability(this.#tid, CAP_SYS_ADMIN) && sharesUserNamespace(this.#tid);
  }

  fileMemory(fd: number, offset: number, length: number, access: Access): MemoryRange {
    const range = fileMemory(this.payer, this.#thread(), fd, offset, length, access);
    this.#confirm(range.memory);
    payFor(range.memory, this.#thread());
    return this.#lockable(range);
  }

  eventfd(fd: number): Signal {
    const signal = eventfdOf(this.payer, this.#thread(), fd);
    this.#confirm(signal);
    return signal;
  }

  doorbell(fd: number): Doorbell {
    const doorbell = doorbellOf(this.payer, this.#thread(), fd);
    this.#confirm(doorbell);
    return doorbell;
  }

  presented(fd: number): object {
    const object = this.#presented(this.#thread(), fd);
    this.#presence.confirm();
    return object;
  }

  install(file: OpenFile): Sliced<number> {
    return this.#presence.install(file);
  }

  /** Is `fd` one of `file`, by what it looks like? No, where that cannot be told at once. */
  #means(fd: number, file: OpenFile): boolean {
    try {
      return this.#names.named(this.#tid, fd)?.file.object === file.object;
    } catch (error) {
      if (error instanceof Refusal) return false;
      throw error;
    }
  }

  get payer(): Account {
    return this.#account ?? broken('a call on no file makes us hold something');
  }

  #thread(): number {
    if (this.#tid === 0) refuse('EPERM', 'the caller lives in a pid namespace that the server cannot see');
    return this.#tid;
  }

  #space(): ProcessMemory {
    return this.#memory.of(this.payer, this.#thread());
  }

  #confirmed(range: MemoryRange): MemoryRange {
    this.#confirm(range.memory);
    return range;
  }

  /** `range`, whose pages are counted for the caller when they are locked (`--memlock`). */
  #lockable(range: MemoryRange): MemoryRange {
    const tid = this.#tid;
    return this.#countsLocked ? { ...range, lockedBy: (counting) => lockerOf(tid, counting) } : range;
  }

  /** Closes `found` again when it may have been somebody else's. */
  #confirm(found: { close(): void }): void {
    try {
      this.#presence.confirm();
    } catch (error) {
      found.close();
      throw error;
    }
  }
}

/** The lengths in an array of `struct iovec`, when they are several and `total` together. */
function lengthsIn(entries: DataView, total: number): readonly number[] | undefined {
  const lengths: number[] = [];
  for (let at = 0; at < entries.byteLength; at += BUFFER_BYTES) {
    const length = entries.getUint32(at + 8, true) + entries.getUint32(at + 12, true) * 2 ** 32;
    if (length > 0) lengths.push(length);
  }
  const sum = lengths.reduce((all, each) => all + each, 0);
  return lengths.length > 1 && sum === total ? lengths : undefined;
}
