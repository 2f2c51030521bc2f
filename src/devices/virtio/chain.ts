/**
 * Chain: one buffer that the driver has made available: first the parts that the device may read, then those
 * that it may write, each an IOVA and a length (virtio 1.3 §2.7.4.2).
 *
 * A device sees two byte ranges and never an address: `read` and `write` go by offsets into the one and the
 * other, and end where it ends. Chains are used again for later buffers, so that a request allocates nothing;
 * none is valid after it was put back.
 */

import { hex } from '../../linux/errno.js';
import { Ranges } from '../../linux/ranges.js';
import { ScatterList } from '../../linux/scatter-list.js';
import type { RingMemory } from './ring-memory.js';

/** virtio 1.3 §2.7.5.2: no buffer is longer than 4 GiB. */
const MAX_BYTES = 2 ** 32;

/** The parts that an access is about, and where `receive` has them in this process: while it lasts. */
const parts = new Ranges();
const places = new ScatterList();

/** A buffer: a range of bytes to read, then one to write. */
export class Chain {
  /** What the driver knows the buffer by. @internal */
  id = 0;
  /** Descriptors of the ring that it takes; those of an indirect table do not count. @internal */
  slots = 0;
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
  readonly #readable = new Ranges();
  readonly #writable = new Ranges();

  /** @internal */
  constructor(memory: RingMemory) {
    this.#memory = memory;
  }

  /** Bytes that the device may read. */
  get readable(): number {
    return this.#readable.length;
  }

  /** Bytes that it may write. */
  get writable(): number {
    return this.#writable.length;
  }

  /** Descriptors that carry data. */
  get parts(): number {
    return this.#readable.count + this.#writable.count;
  }

  /** Is it a buffer of the ring in that memory? @internal */
  isOf(memory: RingMemory): boolean {
    return this.#memory === memory;
  }

  /** Makes it the empty chain. @internal */
  clear(): void {
    this.id = this.slots = this.written = 0;
    this.used = -1;
    this.preceding = this.following = undefined;
    this.#readable.clear();
    this.#writable.clear();
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
    if (length > 0) (write ? this.#writable : this.#readable).add(iova, length);
    return true;
  }

  /**
   * Fills target[at..at+length) from byte `offset` of the readable range. @returns the bytes read: fewer than
   * `length` when the range ends or its memory faults.
   */
  read(offset: number, target: Uint8Array, at = 0, length = target.length - at): number {
    return this.#transfer(offset, target, at, length, false);
  }

  /**
   * As `read`, of as much as comes to the effort of a step: go on with the rest in the next one, unless it
   * has `faulted`. @internal
   */
  readSome(offset: number, target: Uint8Array, at: number, length: number): number {
    return this.#someOf(this.#readable, offset, target, at, length, false);
  }

  /** As `write`, in the same way. @internal */
  writeSome(offset: number, source: Uint8Array, at: number, length: number): number {
    const done = this.#someOf(this.#writable, offset, source, at, length, true);
    this.written += done;
    return done;
  }

  /** Has the last `readSome` or `writeSome` of a buffer of this queue ended in a fault? @internal */
  get faulted(): boolean {
    return this.#memory.faulted;
  }

  /** Writes source[at..at+length) to byte `offset` of the writable range. @returns the bytes written. */
  write(offset: number, source: Uint8Array, at = 0, length = source.length - at): number {
    const done = this.#transfer(offset, source, at, length, true);
    this.written += done;
    return done;
  }

  /**
   * Bytes from byte `offset` of the readable range on, or of the writable one, that lie in `parts` parts: at
   * most `length`, all of which there are.
   */
  within(offset: number, length: number, parts: number, write: boolean): number {
    return (write ? this.#writable : this.#readable).within(offset, length, parts);
  }

  /**
   * Writes bytes [position, position+length) of the open file `fd` to byte `offset` of the writable range, if
   * that goes without waiting, by one system call. @returns whether all were written; if not, some may have
   * been. None count as `written`: that is said when the request has got that far.
   */
  receive(offset: number, fd: number, position: number, length: number): boolean {
    if (length <= 0 || length > this.writable - offset) return false;
    places.clear();
    parts.clear();
    parts.appendOf(this.#writable, offset, length);
    const { count, addresses, lengths } = parts;
    for (let part = 0; part < count; part++)
      if (!this.#memory.place(addresses[part]!, lengths[part]!, places)) return false;
    return places.read(fd, position);
  }

  /**
   * Writes bytes [done, length) of `source` into `chains`, buffers of one ring, of which each is filled
   * before the next: by as few accesses as one would take, and as many as come to the effort of a step. They
   * have room. @returns how many are written then; -1: some cannot be. @internal
   */
  static fill(chains: readonly Chain[], source: Uint8Array, done: number, length: number): number {
    parts.clear();
    let before = 0;
    for (const chain of chains) {
      const here = Math.min(length - before, chain.writable);
      const from = Math.min(here, Math.max(0, done - before));
      if (here > from) parts.appendOf(chain.#writable, from, here - from);
      chain.written = here;
      before += here;
    }
    const memory = chains[0]!.#memory;
    const moved = memory.moveSome(parts, source, done, true);
    return memory.faulted ? -1 : done + moved;
  }

  /** Moves as many of `length` bytes as there are from byte `offset` on of the range to read, or to write. */
  #transfer(offset: number, buffer: Uint8Array, at: number, length: number, write: boolean): number {
    const range = write ? this.#writable : this.#readable;
    const wanted = Math.min(length, range.length - offset);
    if (wanted <= 0) return 0;
    parts.clear();
    parts.appendOf(range, offset, wanted);
    return this.#memory.move(parts, buffer, at, write);
  }

  #someOf(
    range: Ranges,
    offset: number,
    buffer: Uint8Array,
    at: number,
    length: number,
    write: boolean,
  ): number {
    parts.clear();
    parts.appendOf(range, offset, Math.min(length, range.length - offset));
    return this.#memory.moveSome(parts, buffer, at, write);
  }
}
