/**
 * Outside: what the devices of a machine take from outside of it when they are made: files as disks, and
 * random numbers. What it has given is known, in its order, so that a replay gives the same again.
 */
import { randomBytes } from 'node:crypto';
import { WatchedLog } from '../iommu/event-log.js';
import { Disk, type DiskEvent } from './disk.js';
import { FileMedium } from './file-medium.js';
import type { Medium } from './medium.js';

/** Events that are kept for who looks at them. */
const KEPT = 1 << 14;

/** Where it takes them from. */
export interface Supply {
  /** @throws Error one sentence: there is no such file, or it can be no disk. */
  medium(path: string, writable: boolean): Medium;
  random(length: number): Uint8Array;
}

const real: Supply = {
  medium: (path, writable) => new FileMedium(path, writable),
  random: (length) => new Uint8Array(randomBytes(length)),
};

export class Outside {
  /** What its disks have asked of their media, and were answered, while somebody looks. */
  readonly log = new WatchedLog<DiskEvent>(KEPT);
  readonly disks: Disk[] = [];
  /** The random bytes that were drawn. */
  readonly drawn: Uint8Array[] = [];
  readonly #supply: Supply;

  constructor(supply: Supply = real) {
    this.#supply = supply;
  }

  /** The file at `path` as a disk. @throws Error one sentence: it can be none. */
  disk(path: string, writable: boolean): Disk {
    const disk = new Disk(this.#supply.medium(path, writable), this.disks.length, this.log);
    this.disks.push(disk);
    return disk;
  }

  /** Random bytes. */
  random(length: number): Uint8Array {
    const drawn = this.#supply.random(length);
    this.drawn.push(drawn);
    return drawn;
  }
}
