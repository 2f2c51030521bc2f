/**
 * Chain: one buffer that the driver has made available: first the parts that the device may read, then those
 * that it may write, each an IOVA and a length (virtio 1.3 §2.7.4.2).
 *
 * A device sees two byte ranges and never an address: `read` and `write` go by offsets into the one and the
 * other, and end where it ends. Chains are used again for later buffers, so that a request allocates nothing;
 * none is valid after it was put back.
 */
import { ScatterList } from '../../linux/cached-read.js';
import { hex } from '../../linux/errno.js';
import type { RingMemory } from './ring-memory.js';

/** virtio 1.3 §2.7.5.2: no buffer is longer than 4 GiB. */
const MAX_BYTES = 2 ** 32;

/** Where the parts of a buffer are, from one end of `receive` to the other. */
const places = new ScatterList();

/** A buffer: a range of bytes to read, then one to write. */
export class Chain {
  /** What the driver knows the buffer by. @internal */
  id = 0;
  /** Descriptors of the ring that it takes; those of an indirect table do not count. @internal */
  slots = 0;
  /** Bytes that the device may read. */
  readable = 0;
  /** Bytes that it may write. */
  writable = 0;
  /** Bytes that `write` has written since the chain was taken. */
  written = 0;
  /** The bytes used that were told to the queue; -1 while the device has the chain. @internal */
  used = -1;
  /**
   * The chains that were taken before and after this one, for queues that are used in order.
   * @internal
   */
  preceding: Chain | undefined;
  /** @internal */
  following: Chain | undefined;
  readonly #memory: RingMemory;
  #iovas = new Float64Array(8);
  #lengths = new Uint32Array(8);
  #count = 0;
  #firstWritable = 0;
  /** The cursor, where the last access has ended: first part of its range, a part, its offset there. */
  #first = 0;
  #part = 0;
  #start = 0;

  /** @internal */
  constructor(memory: RingMemory) {
    this.#memory = memory;
  }

  /** Descriptors that carry data. */
  get parts(): number {
    return this.#count;
  }

  /** Is it a buffer of the ring in that memory? @internal */
  isOf(memory: RingMemory): boolean {
    return this.#memory === memory;
  }

  /** Makes it the empty chain. @internal */
  clear(): void {
    this.id = this.slots = this.readable = this.writable = this.written = 0;
    this.used = -1;
    this.preceding = this.following = undefined;
    this.#count = this.#firstWritable = this.#first = this.#part = this.#start = 0;
  }

  /**
   * Appends what one descriptor names. @returns false when no chain is like that: the ring is broken.
   * @internal
   */
  add(iova: number, length: number, write: boolean): boolean {
    if (!write && this.writable > 0)
      return this.#memory.fail(`a buffer of ${length} bytes to read at ${hex(iova)} follows one to write`);
    if (this.readable + this.writable + length > MAX_BYTES)
      return this.#memory.fail(`a chain of descriptors has more than 4 GiB`);
    // Nothing to transfer: no part, so that every part moves the cursor on.
    if (length === 0) return true;
    if (this.#count === this.#iovas.length) this.#grow();
    this.#iovas[this.#count] = iova;
    this.#lengths[this.#count++] = length;
    if (write) this.writable += length;
    else {
      this.readable += length;
      this.#firstWritable = this.#count;
    }
    return true;
  }

  /**
   * Fills target[at..at+length) from byte `offset` of the readable range. @returns the bytes read: fewer than
   * `length` when the range ends or its memory faults.
   */
  read(offset: number, target: Uint8Array, at = 0, length = target.length - at): number {
    return this.#transfer(offset, target, at, Math.min(length, this.readable - offset), 0);
  }

  /** Writes source[at..at+length) to byte `offset` of the writable range. @returns the bytes written. */
  write(offset: number, source: Uint8Array, at = 0, length = source.length - at): number {
    const wanted = Math.min(length, this.writable - offset);
    const done = this.#transfer(offset, source, at, wanted, this.#firstWritable);
    this.written += done;
    return done;
  }

  /**
   * Bytes from byte `offset` of the readable range on, or of the writable one, that lie in `parts` parts: at
   * most `length`, all of which there are.
   */
  within(offset: number, length: number, parts: number, write: boolean): number {
    this.#seek(offset, write ? this.#firstWritable : 0);
    let end = this.#start;
    for (let part = this.#part; part < this.#part + parts && end < offset + length; part++)
      end += this.#lengths[part]!;
    return Math.min(length, end - offset);
  }

  /**
   * Writes bytes [position, position+length) of the open file `fd` to byte `offset` of the writable range, if
   * that goes without waiting, by one system call. @returns whether all were written; if not, some may have
   * been. None count as `written`: that is said when the request has got that far.
   */
  receive(offset: number, fd: number, position: number, length: number): boolean {
    if (length <= 0 || length > this.writable - offset) return false;
    places.clear();
    this.#seek(offset, this.#firstWritable);
    for (let done = 0; done < length; ) {
      const size = this.#lengths[this.#part]!;
      const within = offset + done - this.#start;
      const n = Math.min(length - done, size - within);
      if (!this.#memory.place(this.#iovas[this.#part]! + within, n, places)) return false;
      done += n;
      if (within + n === size) this.#pass(size);
    }
    return places.read(fd, position);
  }

  /** Moves bytes of the range whose first part is `first`, in the direction of that range. */
  #transfer(offset: number, buffer: Uint8Array, at: number, wanted: number, first: number): number {
    if (wanted <= 0) return 0;
    const write = this.writable > 0 && first === this.#firstWritable;
    this.#seek(offset, first);
    let done = 0;
    while (done < wanted) {
      const length = this.#lengths[this.#part]!;
      const within = offset + done - this.#start;
      const n = Math.min(wanted - done, length - within);
      const iova = this.#iovas[this.#part]! + within;
      const moved = write
        ? this.#memory.store(iova, buffer, at + done, n)
        : this.#memory.load(iova, buffer, at + done, n);
      done += moved;
      if (moved < n) break;
      if (within + n === length) this.#pass(length);
    }
    return done;
  }

  /** Moves the cursor to the part that byte `offset` lies in, from where it is if it can. */
  #seek(offset: number, first: number): void {
    if (this.#first !== first || this.#start > offset) {
      this.#first = this.#part = first;
      this.#start = 0;
    }
    while (offset - this.#start >= this.#lengths[this.#part]!) this.#pass(this.#lengths[this.#part]!);
  }

  #pass(length: number): void {
    this.#start += length;
    this.#part++;
  }

  #grow(): void {
    const iovas = new Float64Array(this.#iovas.length * 2);
    const lengths = new Uint32Array(iovas.length);
    iovas.set(this.#iovas);
    lengths.set(this.#lengths);
    this.#iovas = iovas;
    this.#lengths = lengths;
  }
}
