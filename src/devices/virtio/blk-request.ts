/**
 * One request of a block device (virtio 1.3 §5.2.6): a header to read, data in one of the two directions, and
 * a status byte to write at the very end.
 *
 * A request moves its data in pieces of bounded size, one job of the disk after the other; between two of
 * them it holds nothing but its buffer. It ends with a status in any case that has a place for one.
 */

import type { Disk } from '../disk.js';
import { MOST_PARTS } from '../effort.js';
import { Job } from '../medium.js';
import type { Chain } from './chain.js';
import type { Virtqueue } from './virtqueue.js';

export const SECTOR = 512;
/** Bytes that are moved at a time. */
const PIECE = 1 << 20;
const SMALLEST_BUFFER = 4096;
const HEADER_BYTES = 16;
const SEGMENT_BYTES = 16;
const ID_BYTES = 20;
/** The most sectors of one discard or write zeroes request, which is one segment. */
export const MAX_CLEARED_SECTORS = 0x10000;

const Type = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8, DISCARD: 11, WRITE_ZEROES: 13 } as const;
/** Those that have no sector in their header: it is 0 (§5.2.6). */
const others: readonly number[] = [Type.FLUSH, Type.GET_ID, Type.DISCARD, Type.WRITE_ZEROES];
const OK = 0;
const IO_ERROR = 1;
const UNSUPPORTED = 2;
const UNMAP = 1;

/** What all requests of a device share. */
export interface BlkContext {
  readonly disk: Disk;
  /** 20 bytes, padded with zeros. */
  readonly id: Uint8Array;
  /** The driver cannot flush: what is written is on the medium before the request ends. */
  readonly writeThrough: boolean;
}

export class BlkRequest {
  readonly job = new Job();
  readonly #context: BlkContext;
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #view = new DataView(this.#header.buffer);
  #buffer: Uint8Array = new Uint8Array();
  #queue: Virtqueue | undefined;
  #chain: Chain | undefined;
  #type = 0;
  /** Bytes of data, those moved so far, and where they are on the disk. */
  #length = 0;
  #done = 0;
  #start = 0;

  constructor(context: BlkContext) {
    this.#context = context;
  }

  /**
   * Takes up the request in `chain` of `queue`. @returns whether `job` is to be done; otherwise it has ended,
   * with a status, or without one when the driver has left no place for it.
   */
  begin(queue: Virtqueue, chain: Chain): boolean {
    this.#queue = queue;
    this.#chain = chain;
    this.#done = 0;
    if (chain.writable === 0) {
      queue.fail(`a request of ${chain.readable} bytes has no room for its status`);
      return false;
    }
    if (chain.read(0, this.#header) < HEADER_BYTES) return this.#end(IO_ERROR);
    this.#type = this.#view.getUint32(0, true);
    const sector = this.#view.getUint32(12, true) * 2 ** 32 + this.#view.getUint32(8, true);
    const { writable } = this.#context.disk;
    if (this.#type === Type.IN) return this.#move(sector, chain.writable - 1);
    if (this.#type === Type.OUT)
      return writable ? this.#move(sector, chain.readable - HEADER_BYTES) : this.#end(IO_ERROR);
    if (!others.includes(this.#type)) return this.#end(UNSUPPORTED);
    if (sector !== 0) return this.#end(IO_ERROR);
    if (this.#type === Type.GET_ID) return this.#giveId();
    if (this.#type === Type.FLUSH) return this.#do('sync', 0, 0);
    return writable ? this.#clear() : this.#end(IO_ERROR);
  }

  /**
   * `job` is done. @returns whether it is to be done again, with what it now says; otherwise it has ended.
   */
  goOn(): boolean {
    const { job } = this;
    if (job.error !== undefined) return this.#end(IO_ERROR);
    if (job.delivered) this.#chain!.written += job.length;
    else if (job.kind === 'read') {
      const chain = this.#chain!;
      // What comes to more than a step may is read again, with what follows it.
      job.length = chain.writeSome(this.#done, job.buffer, 0, job.length);
      if (chain.faulted) return this.#end(IO_ERROR);
    }
    this.#done += job.length;
    if (job.kind === 'sync') return this.#end(OK);
    if (this.#done < this.#length) return this.#piece();
    const sync = job.kind !== 'read' && this.#context.writeThrough;
    return sync ? this.#do('sync', 0, 0) : this.#end(OK);
  }

  /** Reads or writes `length` bytes from `sector` on. */
  #move(sector: number, length: number): boolean {
    if (!this.#isOnDisk(sector, Math.ceil(length / SECTOR))) return this.#end(IO_ERROR);
    this.#start = sector * SECTOR;
    this.#length = length;
    return length === 0 ? this.#end(OK) : this.#piece();
  }

  /** The next piece of the data, which for a write is read out of the buffer first. */
  #piece(): boolean {
    const length = this.#pieceLength();
    if (this.#buffer.length < length)
      this.#buffer = new Uint8Array(Math.max(SMALLEST_BUFFER, 2 ** Math.ceil(Math.log2(length))));
    this.job.buffer = this.#buffer;
    this.job.target = this.#chain;
    this.job.targetOffset = this.#done;
    const offset = this.#start + this.#done;
    if (this.#type === Type.IN) return this.#do('read', offset, length);
    const got = this.#chain!.readSome(HEADER_BYTES + this.#done, this.#buffer, 0, length);
    return this.#chain!.faulted ? this.#end(IO_ERROR) : this.#do('write', offset, got);
  }

  /** No more than few parts of the buffer have; that may be less than a sector, which nothing here needs. */
  #pieceLength(): number {
    const most = Math.min(PIECE, this.#length - this.#done);
    const write = this.#type === Type.IN;
    return this.#chain!.within(write ? this.#done : HEADER_BYTES + this.#done, most, MOST_PARTS, write);
  }

  #giveId(): boolean {
    const { id } = this.#context;
    const length = Math.min(ID_BYTES, this.#chain!.writable - 1);
    return this.#end(this.#chain!.write(0, id, 0, length) < length ? IO_ERROR : OK);
  }

  /** Discard and write zeroes: one segment of sector, number of sectors, flags (§5.2.6.2). */
  #clear(): boolean {
    if (this.#chain!.readable !== HEADER_BYTES + SEGMENT_BYTES) return this.#end(IO_ERROR);
    if (this.#chain!.read(HEADER_BYTES, this.#header) < SEGMENT_BYTES) return this.#end(IO_ERROR);
    const sector = this.#view.getUint32(4, true) * 2 ** 32 + this.#view.getUint32(0, true);
    const sectors = this.#view.getUint32(8, true);
    const flags = this.#view.getUint32(12, true);
    const known = this.#type === Type.WRITE_ZEROES ? UNMAP : 0;
    if ((flags & ~known) !== 0) return this.#end(UNSUPPORTED);
    if (sectors > MAX_CLEARED_SECTORS || !this.#isOnDisk(sector, sectors)) return this.#end(IO_ERROR);
    if (sectors === 0) return this.#end(OK);
    this.#length = sectors * SECTOR;
    const punch = this.#type === Type.DISCARD || (flags & UNMAP) !== 0;
    return this.#do(punch ? 'punch' : 'zero', sector * SECTOR, this.#length);
  }

  #isOnDisk(sector: number, sectors: number): boolean {
    const capacity = this.#context.disk.size / SECTOR;
    return sector < capacity && sectors <= capacity - sector;
  }

  #do(kind: Job['kind'], offset: number, length: number): true {
    this.job.kind = kind;
    this.job.offset = offset;
    this.job.length = length;
    return true;
  }

  /** Writes the status and puts the buffer back. */
  #end(status: number): false {
    const chain = this.#chain!;
    this.#header[0] = status;
    const told = chain.write(chain.writable - 1, this.#header, 0, 1) === 1;
    if (told) this.#queue!.put(chain);
    else this.#queue!.fail(`the status of a request cannot be written`);
    this.#chain = this.#queue = undefined;
    return false;
  }
}
