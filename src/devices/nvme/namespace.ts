/**
 * A namespace: blocks of one size on a disk, by the number that commands name it with.
 */
import type { Disk } from '../disk.js';

export class Namespace {
  /** 1 and up. */
  readonly id: number;
  readonly disk: Disk;
  /** Bytes of a block, a power of two. */
  readonly block: number;
  /** Blocks. */
  readonly size: number;
  /** What it is known by for ever (RFC 9562), 16 bytes. */
  readonly uuid: Uint8Array;

  constructor(id: number, disk: Disk, block: number, uuid: Uint8Array) {
    this.id = id;
    this.disk = disk;
    this.block = block;
    this.size = disk.size / block;
    this.uuid = uuid;
  }

  /** Is there every one of `count` blocks from `first` on? */
  has(first: number, count: number): boolean {
    return first < this.size && count <= this.size - first;
  }
}
