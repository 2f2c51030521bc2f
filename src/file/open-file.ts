/**
 * OpenFile and Caller: the two sides of a system call on one of our files.
 *
 * An OpenFile is one open file description, as `devfs` (real processes) and the in-process machine drive it.
 * Each open(2) makes one, and so does each call that returns a new descriptor (Caller.install). dup, fork and
 * SCM_RIGHTS share it. `flush` comes once per descriptor closed, `release` once, at the end.
 *
 * The Caller is the process that is in the middle of the call, as the layers below see it. Everything that a
 * call may name by number (an address, a file descriptor) means something only inside that process. The
 * Caller is the one place that turns such numbers into objects, or refuses; nothing below can tell real
 * processes from those of a test. The two know each other (a file is called by a caller, who may be given a
 * new file), so they are told in one place.
 */
import type { Access } from '../iommu/iommu.js';
import type { Memory } from '../iommu/memory.js';
import type { Account } from '../linux/account.js';
import type { Refusal } from '../linux/errno.js';
import type { Counting, Locker } from '../linux/locked-memory.js';
import type { SharedPages } from '../linux/shared-pages.js';
import type { Sliced } from './work.js';

/** The calls that there are on an open file. */
export type FileCall = 'ioctl' | 'read' | 'write' | 'flush' | 'release';

/** An ioctl as it arrives. `cmd` is the whole 32-bit number. */
export interface IoctlCall {
  readonly cmd: number;
  /** The third argument of ioctl(2): for most commands an address in the caller, otherwise a plain number. */
  readonly arg: number;
  /**
   * The bytes that the kernel copied in and will copy out, `_IOC_SIZE(cmd)` of them, for
   * `_IOR`/`_IOW`/`_IOWR`; empty for `_IO`. What the handler leaves in it is what the caller gets back when
   * the ioctl succeeds and `cmd` has the read direction.
   */
  readonly data: Uint8Array;
}

/** POLLIN | POLLRDNORM: there is something to read. */
export const READABLE = 0x41;
/** POLLOUT | POLLWRNORM: it can be written. */
export const WRITABLE = 0x104;

/**
 * What a file of events is to those who wait for them. Such a file has no offsets: it is read and written as
 * a stream (pread and pwrite are ESPIPE), and a read never waits. Nobody is told when an event comes in;
 * whoever serves a poll looks at `arrivals` when something has come into any (arrivals.ts).
 */
export interface EventStream {
  /** The POLL* bits that hold now. */
  ready(): number;
  /** How often something has come in that a poll may wait for: the count of an Arrivals, or 0 for ever. */
  arrivals(): number;
}

/** Pages that lie in a mapping at `offset` of the file: those from byte `at` on of `pages`. */
export interface MappedPages {
  readonly offset: number;
  readonly length: number;
  readonly pages: SharedPages;
  readonly at: number;
}

/** A file that can be mapped, shared: each load and store becomes a read or write. */
export interface Mapping {
  /**
   * May `caller` map [offset, offset+length)? @throws Refusal ENODEV, EINVAL, ENXIO, EPERM when it may not.
   */
  check(caller: Caller, offset: number, length: number): void;
  /**
   * What a program that maps [offset, offset+length) may have itself, instead of being trapped there. @throws
   * Refusal EMFILE, ENFILE no descriptors left.
   */
  pages(offset: number, length: number): readonly MappedPages[];
  /**
   * What devices reach by DMA where byte `offset` of the file is mapped. @throws Refusal EFAULT nothing, now.
   */
  memory(offset: number): MemoryRange;
  /** A load, as OpenFile.read. The host's part of a device may look otherwise than by its file. */
  read(offset: number, target: Uint8Array): number;
  /** A store, as OpenFile.write; a device may look otherwise, as for a load. @returns the bytes taken. */
  write(caller: Caller, offset: number, source: Uint8Array): number;
  /**
   * A store of 64 bytes at once, at a multiple of as many. @returns false when it is not taken now. @throws
   * Refusal.
   */
  write64(caller: Caller, offset: number, source: Uint8Array): boolean;
}

/** A process, what it calls itself, and the descriptor by which it means a file. */
export interface CalledBy {
  readonly pid: number | undefined;
  readonly program: string | undefined;
  readonly fd: number | undefined;
}

/**
 * One open file description. What takes long is returned as Work. Methods and their work throw Refusal, and
 * nothing else.
 */
export interface OpenFile {
  /** What this file stands for when its descriptor is presented to another file (Caller.presented). */
  readonly object: object;

  /** The last refusal on this file, for those who ask why. */
  lastRefusal: Refusal | undefined;

  /** What it is called, when no path leads to it. */
  readonly called?: string | undefined;

  /** Who has called it last, as far as a trace has seen it. */
  readonly calledBy?: CalledBy | undefined;

  /** Absent: the file is read and written at offsets, and always ready for both. */
  readonly stream?: EventStream | undefined;

  /** Absent: it cannot be mapped. */
  readonly mapping?: Mapping | undefined;

  /**
   * What a call on this file uses: it is not served while another that goes on in slices uses one of these.
   * Absent: `object` alone.
   */
  readonly uses?: ((call: FileCall) => readonly object[]) | undefined;

  /**
   * @returns the ioctl's result, >= 0. Unknown commands: ENOTTY. Work that is returned must not look at
   * `call` after its first piece, but may keep `call.data`.
   */
  ioctl(caller: Caller, call: IoctlCall): Sliced<number>;

  /**
   * pread: fills `target`, which is its own until it has ended. A stream has no offsets, so it does not look
   * at it. @returns the bytes read.
   */
  read(caller: Caller, offset: number, target: Uint8Array): Sliced<number>;

  /** pwrite, as `read`. Work must not look at `source` after its first piece. @returns the bytes written. */
  write(caller: Caller, offset: number, source: Uint8Array): Sliced<number>;

  /**
   * One descriptor of this file was closed (by close, exec or exit); others may remain. Returns when DMA in
   * flight has drained.
   */
  flush(): Sliced<void>;

  /** The last descriptor is gone. */
  release(): Sliced<void>;
}

/** A stretch of memory: byte `offset` of `memory` onwards. */
export interface MemoryRange {
  readonly memory: Memory;
  readonly offset: number;
  /** Who has it counted when it is locked for a device. Absent: nobody. */
  readonly lockedBy?: (counting: Counting) => Locker;
}

/** Something that can be signalled: an eventfd, in this process's own copy. */
export interface Signal {
  /** Adds 1 to the eventfd's counter. Never blocks, never throws. */
  raise(): void;
  close(): void;
}

/**
 * An eventfd by which a program says that there is something to do, in this process's own copy. Nobody is
 * called when it is rung: who serves it compares.
 */
export interface Doorbell {
  /**
   * How often it was found rung: 1 from the beginning when its counter was not 0. It only grows; two rings
   * that nobody looked between may count as one.
   */
  readonly rings: number;
  /** Looks for rings now, of all doorbells; who serves them does so when nothing else is to be done. */
  listen(): void;
  /** Takes what its counter holds, as read(2) would. Never blocks, never throws. */
  empty(): void;
  close(): void;
}

/**
 * The process (thread) that made the call now being served. Valid until that call is answered, not longer.
 */
export interface Caller {
  /** The process id, for `ls` and for the log; 0 when there is none. */
  readonly pid: number;

  /** The thread that makes the call; 0 when it is not seen from here. Absent: there are no threads. */
  readonly tid?: number;

  /** Whoever pays for what a file that it opens makes us hold. Absent: nobody counts. */
  readonly payer?: Account | undefined;

  /** A descriptor of `file`, which it is calling; undefined when that is not known. */
  descriptorOf?(file: OpenFile): number | undefined;

  /** Has it CAP_SYS_RAWIO, in its own user namespace? Absent: it has. */
  readonly rawIo?: boolean;
  /** Has it CAP_SYS_ADMIN, in the user namespace that this system is in? Absent: it has. */
  readonly isAdmin?: boolean;
  /** Can it map files of ours, so that each load and store arrives? Absent: it cannot. */
  readonly mapsFiles?: boolean;

  /**
   * The buffers that the caller's read or write of `length` bytes is made of, as their lengths, none of them
   * 0; undefined: it is one, or that is not known. Absent: it always is one.
   */
  parts?(length: number): Sliced<readonly number[] | undefined>;

  /** Reads the caller's memory now. @throws Refusal EFAULT when any byte of it cannot be read. */
  readMemory(address: number, target: Uint8Array): void;

  /** Writes the caller's memory now. @throws Refusal EFAULT when any byte of it cannot be written. */
  writeMemory(address: number, source: Uint8Array): void;

  /**
   * The caller's memory [address, address+length), to be used after the call has ended. The same process
   * gives the same Memory object each time; each call adds a reference that the receiver closes.
   * @param access 0: nothing is asked of the range yet; whoever uses it later asks `Memory.reaches`.
   * @throws Refusal EFAULT when the range is not mapped, or not with the rights of `access`.
   */
  memory(address: number, length: number, access: Access): Sliced<MemoryRange>;

  /**
   * [address, address+length), when it is a mapping of a file of this system (Mapping), as memory; undefined:
   * it does not begin in one. `memory` refuses those. Absent: it maps none.
   * @throws Refusal EFAULT when it is not all of the same file, or not mapped with the rights of `access`.
   */
  mappedFile?(address: number, length: number, access: Access): Sliced<MemoryRange | undefined>;

  /**
   * The caller's whole address space, to be used after the call has ended: offsets are addresses, and each
   * byte can be read and written as the caller itself may at that time. Ends with the address space. The
   * receiver closes it.
   * @throws Refusal EPERM when the caller is not dumpable, or its memory is out of reach.
   */
  addressSpace(): Memory;
  /**
   * Is `memory`, which `addressSpace` gave to some caller, the address space that this one lives in now?
   */
  livesIn(memory: Memory): boolean;

  /**
   * The file behind the caller's descriptor `fd` as memory, [offset, offset+length).
   * @throws Refusal EBADF no such descriptor; EACCES not open for `access`; EINVAL not a file that can be
   * mapped, or past its end.
   */
  fileMemory(fd: number, offset: number, length: number, access: Access): MemoryRange;

  /** The eventfd behind the caller's descriptor. @throws Refusal EBADF; EINVAL when it is not an eventfd. */
  eventfd(fd: number): Signal;

  /**
   * The same, to hear of what the caller writes to it. A counter that is not 0 has been rung. @throws Refusal
   * as `eventfd`.
   */
  doorbell(fd: number): Doorbell;

  /**
   * The object behind the caller's descriptor `fd`, when `fd` is an open file of this very system: what our
   * side of that open file stands for (an IoasidContext, a VFIO device file). Presenting a descriptor is the
   * security check of the whole model.
   * @throws Refusal EBADF no such descriptor; EINVAL not a file of this system.
   */
  presented(fd: number): object;

  /**
   * Puts a new descriptor, close-on-exec, into the calling process that means `file`: what
   * VFIO_GROUP_GET_DEVICE_FD and IOMMU_FAULT_QUEUE_ALLOC do. `file` is taken over in any case: before this
   * fails, it is released, and where that takes long it is work.
   *
   * Call it last, after everything that may be refused and after the caller's struct has been found writable
   * (write back what is there): a descriptor that the caller has cannot be taken away again. The ioctl must
   * be one of `newFdIoctls` (uapi/new-fd.ts):
   *
   *     caller.writeMemory(call.arg, struct);
   *     const file = new DeviceFile(queue, queueTable, { release: () => queue.close() });
   *     putS32(struct, at, yield* workOf(caller.install(file)));
   *     caller.writeMemory(call.arg, struct);
   *
   * @returns the descriptor's number in the caller.
   * @throws Refusal EOPNOTSUPP when this caller cannot be given any: it does not run under `ioasid run`;
   * EMFILE, ENFILE no room for one; ESRCH the caller was killed meanwhile.
   */
  install(file: OpenFile): Sliced<number>;
}
