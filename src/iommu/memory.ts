/**
 * What an IOVA finally leads to: some bytes that a transfer can read and write.
 *
 * The IOMMU knows memory by this interface alone. Where the bytes are (another process, a memfd, a buffer of
 * this process) is the affair of the implementations; that access may fail at any moment is part of the
 * contract, because processes exit and files shrink.
 */

import type { Ranges } from '../linux/ranges.js';
import type { ScatterList } from '../linux/scatter-list.js';

export interface Memory {
  /** Names the memory in `ls`, in faults and in reasons: `"process 4711"`, `"memfd:ram"`. */
  readonly description: string;

  /** True for the memory of a process, at its addresses; false for memory that is there without one. */
  readonly ofProcess: boolean;

  /** Is it a file on a disk, whose pages are a cache that no kernel pins for a device? Absent: it is not. */
  readonly onDisk?: boolean;

  /**
   * Copies `length` bytes from byte `offset` of this memory to `target[at..at+length)`.
   * @returns the bytes copied; fewer than `length` when the memory ends or faults there. Never throws.
   */
  read(offset: number, target: Uint8Array, at: number, length: number): number;

  /** Copies `source[at..at+length)` to byte `offset` of this memory. Returns as `read` does. Never throws. */
  write(offset: number, source: Uint8Array, at: number, length: number): number;

  /**
   * Reads all parts of `ranges`, one after the other, into `target` from `at` on, where that takes less than
   * a `read` for each. @returns the bytes copied up to the first that cannot be. Never throws. Absent: it
   * takes as long.
   */
  gather?(ranges: Ranges, target: Uint8Array, at: number): number;

  /** As `gather`, a write. No part behind one that cannot be written has been. */
  scatter?(ranges: Ranges, source: Uint8Array, at: number): number;

  /**
   * The most parts, and bytes, that are read or written together, where each may keep everybody waiting by
   * itself. Absent: they are one access.
   */
  readonly together?: { readonly parts: number; readonly bytes: number };

  /**
   * Adds to `places` where [offset, offset+length) is in this process, for something to be moved there at
   * once, or from there (`access`). @returns false when that cannot be said. Never throws. Absent: it never
   * can.
   */
  place?(offset: number, length: number, places: ScatterList, access: number): boolean;

  /**
   * Why the last transfer ended early, where there is more to say than that nothing is there. Asked right
   * after it.
   */
  readonly shortfall?: string | undefined;

  /**
   * Is all of [offset, offset+length) there now, for `access` (bit set: 1 read, 2 write)? Never throws. What
   * takes long is work in slices, as file/work.ts has it.
   */
  reaches(offset: number, length: number, access: number): boolean | InSlices<boolean>;

  /**
   * What lies behind byte `offset`: a file, by a text that is the same for the same file, or (undefined) only
   * this memory; which byte of that; and how many bytes are sure to follow in the same way. Absent: it is
   * always this memory alone. Not for the DMA path.
   */
  backing?(offset: number): Backing | InSlices<Backing>;

  /**
   * The same bytes at the same offsets, held for `access`: they stay when their owner unmaps them or exits,
   * as pinned memory does. It is the receiver's. Absent or undefined: it is memory that stays anyway, or
   * cannot be held. Asked while the owner waits in the call that named it, in slices. Not for the DMA path.
   * Never throws.
   */
  held?(offset: number, length: number, access: number): InSlices<Memory | undefined>;

  /** Lets go of the memory; called once, when no mapping names it any more. */
  close(): void;
}

type InSlices<T> = Generator<undefined, T, unknown>;

/** What stands for `memory` when it is to be held: its reference is taken over, and the receiver's. */
export function* holding(memory: Memory, offset: number, length: number, access: number): InSlices<Memory> {
  const held = memory.held === undefined ? undefined : yield* memory.held(offset, length, access);
  if (held === undefined) return memory;
  memory.close();
  return held;
}

/** What Memory.backing says. */
export interface Backing {
  readonly file: string | undefined;
  readonly offset: number;
  readonly length: number;
}

/** Bytes that are copied one by one. */
const SHORT = 16;

/** Memory inside this process: what an in-process machine maps, and what tests look into. */
export class BufferMemory implements Memory {
  readonly ofProcess = false;
  readonly bytes: Uint8Array;
  readonly description: string;

  constructor(bytes: Uint8Array, description = 'buffer') {
    this.bytes = bytes;
    this.description = description;
  }

  read(offset: number, target: Uint8Array, at: number, length: number): number {
    const n = Math.max(0, Math.min(length, this.bytes.length - offset));
    // A view costs more than it saves for what is as short as an entry of a page table.
    if (n <= SHORT) for (let i = 0; i < n; i++) target[at + i] = this.bytes[offset + i]!;
    else target.set(this.bytes.subarray(offset, offset + n), at);
    return n;
  }

  write(offset: number, source: Uint8Array, at: number, length: number): number {
    const n = Math.max(0, Math.min(length, this.bytes.length - offset));
    if (n > 0) this.bytes.set(source.subarray(at, at + n), offset);
    return n;
  }

  reaches(offset: number, length: number): boolean {
    return offset >= 0 && offset + length <= this.bytes.length;
  }

  close(): void {}
}
