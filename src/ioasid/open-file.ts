/**
 * OpenFile: one open file description of one of our device files, as `devfs` (real processes) and the in-process machine drive it.
 *
 * Each open(2) makes one, and so does each call that returns a new descriptor (Caller.install). dup, fork and SCM_RIGHTS share it.
 * `flush` comes once per descriptor closed, `release` once, at the end.
 */
import type { Refusal } from '../linux/errno.js';
import type { Caller } from './caller.js';

/** An ioctl as it arrives. `cmd` is the whole 32-bit number. */
export interface IoctlCall {
  readonly cmd: number;
  /** The third argument of ioctl(2): for most commands an address in the caller, otherwise a plain number. */
  readonly arg: number;
  /**
   * The bytes that the kernel copied in and will copy out, `_IOC_SIZE(cmd)` of them, for `_IOR`/`_IOW`/`_IOWR`; empty for `_IO`.
   * What the handler leaves in it is what the caller gets back when the ioctl succeeds and `cmd` has the read direction.
   */
  readonly data: Uint8Array;
}

/** One open file description. All methods run to completion; they throw Refusal, and nothing else. */
export interface OpenFile {
  /** What this file stands for when its descriptor is presented to another file (Caller.presented). */
  readonly object: object;

  /** The last refusal on this file, for those who ask why. */
  lastRefusal: Refusal | undefined;

  /** @returns the ioctl's result, >= 0. Unknown commands: ENOTTY. */
  ioctl(caller: Caller, call: IoctlCall): number;

  /** pread: fills `target`. @returns the bytes read. */
  read(caller: Caller, offset: number, target: Uint8Array): number;

  /** pwrite. @returns the bytes written. */
  write(caller: Caller, offset: number, source: Uint8Array): number;

  /** One descriptor of this file was closed (by close, exec or exit); others may remain. Returns when DMA in flight has drained. */
  flush(): void;

  /** The last descriptor is gone. */
  release(): void;
}
