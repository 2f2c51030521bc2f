/**
 * The files that a machine has, as `devfs` (real processes) and the in-process machine find them. What
 * opening one makes is an OpenFile.
 */
import type { Caller, OpenFile } from './open-file.js';

/** A file that can be opened, by its path below `/dev`: `ioasid`, `vfio/devices/vfio0`. */
export interface DeviceNode {
  readonly path: string;
  /**
   * Every close waits for `flush` (devices with DMA in flight); without it a close says nothing until the
   * last.
   */
  readonly flushes: boolean;
  /** What is opened has an EventStream. */
  readonly stream?: boolean;
  /**
   * Where its offsets end, in bytes: its size, as stat(2) tells it. Absent: 0, as of a character device. The
   * kernel asks for asynchronous reads (libaio, io_uring) only below it, and calls them done otherwise.
   */
  readonly extent?: number;
  /**
   * Its device number now, as `deviceNumber` makes it: a program that can be traced is told by stat(2) that
   * this is a character device. Absent: a regular file.
   */
  readonly number?: () => number;
  /** Is it there now? Absent: always. */
  readonly present?: () => boolean;
  /**
   * What opening it uses, as OpenFile.uses: nothing, where each open makes an object of its own.
   */
  readonly uses?: () => readonly object[];
  /** @throws Refusal when the file cannot be opened now (EBUSY). */
  open(caller: Caller): OpenFile;
}
