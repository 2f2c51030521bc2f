/**
 * OpenFile: one open file description of one of our device files, as `devfs` (real processes) and the
 * in-process machine drive it.
 *
 * Each open(2) makes one, and so does each call that returns a new descriptor (Caller.install). dup, fork and
 * SCM_RIGHTS share it. `flush` comes once per descriptor closed, `release` once, at the end.
 */
import type { Refusal } from '../linux/errno.js';
import type { Caller } from './caller.js';

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
 * whoever serves a poll looks at `arrivals` after every call.
 */
export interface EventStream {
  /** The POLL* bits that hold now. */
  ready(): number;
  /** How often something has come in that a poll may wait for. It only grows. */
  readonly arrivals: number;
}

/** One open file description. All methods run to completion; they throw Refusal, and nothing else. */
export interface OpenFile {
  /** What this file stands for when its descriptor is presented to another file (Caller.presented). */
  readonly object: object;

  /** The last refusal on this file, for those who ask why. */
  lastRefusal: Refusal | undefined;

  /** Absent: the file is read and written at offsets, and always ready for both. */
  readonly stream?: EventStream | undefined;

  /** @returns the ioctl's result, >= 0. Unknown commands: ENOTTY. */
  ioctl(caller: Caller, call: IoctlCall): number;

  /** pread: fills `target`. A stream has no offsets, so it does not look at it. @returns the bytes read. */
  read(caller: Caller, offset: number, target: Uint8Array): number;

  /** pwrite, as `read`. @returns the bytes written. */
  write(caller: Caller, offset: number, source: Uint8Array): number;

  /**
   * One descriptor of this file was closed (by close, exec or exit); others may remain. Returns when DMA in
   * flight has drained.
   */
  flush(): void;

  /** The last descriptor is gone. */
  release(): void;
}
