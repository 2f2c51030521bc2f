/**
 * The Caller: the process that is in the middle of a call on one of our files, as the layers below see it.
 *
 * Everything a call may name by number (an address, a file descriptor) means something only inside the
 * process that made the call. The Caller is the one place that turns such numbers into objects, or refuses.
 * `devfs` implements it for real processes, the in-process machine for tests; nothing below them can tell
 * which.
 */
import type { Access } from '../iommu/iommu.js';
import type { Memory } from '../iommu/memory.js';
import type { OpenFile } from './open-file.js';

/** A stretch of memory: byte `offset` of `memory` onwards. */
export interface MemoryRange {
  readonly memory: Memory;
  readonly offset: number;
}

/** Something that can be signalled: an eventfd, in this process's own copy. */
export interface Signal {
  /** Adds 1 to the eventfd's counter. Never blocks, never throws. */
  raise(): void;
  close(): void;
}

/**
 * The process (thread) that made the call now being served. Valid until that call is answered, not longer.
 */
export interface Caller {
  /** The process id, for `ls` and for the log; 0 when there is none. */
  readonly pid: number;

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
  memory(address: number, length: number, access: Access): MemoryRange;

  /**
   * The file behind the caller's descriptor `fd` as memory, [offset, offset+length).
   * @throws Refusal EBADF no such descriptor; EACCES not open for `access`; EINVAL not a file that can be
   * mapped, or past its end.
   */
  fileMemory(fd: number, offset: number, length: number, access: Access): MemoryRange;

  /** The eventfd behind the caller's descriptor. @throws Refusal EBADF; EINVAL when it is not an eventfd. */
  eventfd(fd: number): Signal;

  /**
   * The object behind the caller's descriptor `fd`, when `fd` is an open file of this very system: what our
   * side of that open file stands for (an IoasidContext, a VFIO device file). Presenting a descriptor is the
   * security check of the whole model.
   * @throws Refusal EBADF no such descriptor; EINVAL not a file of this system.
   */
  presented(fd: number): object;

  /**
   * Puts a new descriptor, close-on-exec, into the calling process that means `file`: what
   * VFIO_GROUP_GET_DEVICE_FD and IOMMU_FAULT_QUEUE_ALLOC do. `file` is taken over in any case: when this
   * fails, it has been released.
   *
   * Call it last, after everything that may be refused and after the caller's struct has been found writable
   * (write back what is there): a descriptor that the caller has cannot be taken away again. The ioctl must
   * be one of `newFdIoctls` (uapi/new-fd.ts):
   *
   *     caller.writeMemory(call.arg, struct);
   *     putS32(struct, at, caller.install(new DeviceFile(queue, queueTable, { release: () => queue.close() })));
   *     caller.writeMemory(call.arg, struct);
   *
   * @returns the descriptor's number in the caller.
   * @throws Refusal EOPNOTSUPP when this caller cannot be given any: it does not run under `ioasid run`;
   * EMFILE, ENFILE no room for one; ESRCH the caller was killed meanwhile.
   */
  install(file: OpenFile): number;
}
