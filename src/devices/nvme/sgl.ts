/**
 * Scatter gather lists (NVM Express Base 2.0 §4.1.2): data named by descriptors of 16 bytes. The one in the
 * command is a range of memory, or names a segment of further ones; a segment that is not the last ends with
 * a descriptor that names the next.
 *
 * A driver can make lists that never end, or are of ranges without bytes: DESCRIPTOR_LIMIT and SEGMENT_LIMIT
 * bound the walk.
 */
import type { Memory } from './memory.js';
import type { ScatterList } from './scatter-list.js';
import { Status } from './status.js';

const DESCRIPTOR_BYTES = 16;
/** Descriptors of one command. */
const DESCRIPTOR_LIMIT = 512;
/** Segments of one command: each is read by itself, which may keep everybody waiting. */
const SEGMENT_LIMIT = 16;
/** Descriptors that are read at a time. */
const CHUNK = 256;

const Type = { DATA_BLOCK: 0, BIT_BUCKET: 1, SEGMENT: 2, LAST_SEGMENT: 3 } as const;

export class SglWalk {
  readonly #memory: Memory;
  readonly #bytes = new Uint8Array(CHUNK * DESCRIPTOR_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  /** What is left of the segment, and how many descriptors there have been in all. */
  #at = 0;
  #left = 0;
  #seen = 0;
  #segments = 0;
  #isLast = false;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /**
   * Adds `length` bytes that the descriptor `pointer` names to `list`; more may be named, and are not used.
   * @param toHost the data goes to memory, so that some of it may go nowhere.
   */
  walk(list: ScatterList, pointer: Uint8Array, length: number, toHost: boolean): Status {
    this.#bytes.set(pointer);
    this.#left = this.#seen = this.#segments = 0;
    const type = this.#bytes[15]! >>> 4;
    if (type !== Type.SEGMENT && type !== Type.LAST_SEGMENT) {
      const status = this.#range(list, 0, length, toHost);
      return status ?? (list.length < length ? Status.INVALID_SGL_LENGTH : Status.SUCCESS);
    }
    let status = this.#enter(0);
    while (status === undefined) status = this.#chunk(list, length, toHost);
    if (status !== Status.SUCCESS) return status;
    return list.length < length ? Status.INVALID_SGL_LENGTH : Status.SUCCESS;
  }

  /** Reads some of the segment. @returns undefined while there is more. */
  #chunk(list: ScatterList, length: number, toHost: boolean): Status | undefined {
    const count = Math.min(this.#left, CHUNK);
    if (count === 0) return this.#isLast ? Status.SUCCESS : Status.INVALID_SGL_SEGMENT;
    this.#seen += count;
    if (this.#seen > DESCRIPTOR_LIMIT) return Status.INVALID_SGL_COUNT;
    if (!this.#memory.read(this.#at, this.#bytes, 0, count * DESCRIPTOR_BYTES))
      return Status.DATA_TRANSFER_ERROR;
    this.#at += count * DESCRIPTOR_BYTES;
    this.#left -= count;
    for (let i = 0; i < count; i++) {
      const offset = i * DESCRIPTOR_BYTES;
      const type = this.#bytes[offset + 15]! >>> 4;
      if (type === Type.SEGMENT || type === Type.LAST_SEGMENT) {
        // It is the last of a segment, and the last segment has none.
        if (this.#isLast || i + 1 < count || this.#left > 0) return Status.INVALID_SGL_SEGMENT;
        return this.#enter(offset);
      }
      const status = this.#range(list, offset, length, toHost);
      if (status !== undefined) return status;
    }
    return undefined;
  }

  /** Goes on with the segment that the descriptor at `offset` names. */
  #enter(offset: number): Status | undefined {
    if ((this.#bytes[offset + 15]! & 0xf) !== 0) return Status.INVALID_SGL_TYPE;
    if (++this.#segments > SEGMENT_LIMIT) return Status.INVALID_SGL_COUNT;
    const length = this.#view.getUint32(offset + 8, true);
    if (length === 0 || length % DESCRIPTOR_BYTES !== 0) return Status.INVALID_SGL_SEGMENT;
    this.#isLast = this.#bytes[offset + 15]! >>> 4 === Type.LAST_SEGMENT;
    this.#at = this.#iova(offset);
    this.#left = length / DESCRIPTOR_BYTES;
    return undefined;
  }

  /** Adds what the descriptor at `offset` names. @returns undefined when it is a range. */
  #range(list: ScatterList, offset: number, length: number, toHost: boolean): Status | undefined {
    const kind = this.#bytes[offset + 15]!;
    const n = Math.min(this.#view.getUint32(offset + 8, true), length - list.length);
    if (kind === Type.DATA_BLOCK << 4) {
      if (n > 0) list.add(this.#iova(offset), n);
    } else if (kind === Type.BIT_BUCKET << 4) {
      // Where data comes from memory it is as if it had no length (§4.1.2.1).
      if (n > 0 && toHost) list.addBucket(n);
    } else return Status.INVALID_SGL_TYPE;
    return undefined;
  }

  #iova(offset: number): number {
    return this.#view.getUint32(offset, true) + this.#view.getUint32(offset + 4, true) * 2 ** 32;
  }
}
