/**
 * UserData, UserArray and Invalidations: structs that lie in the caller's memory. Of data and invalidations
 * only the IOMMU that they are meant for knows the layout.
 *
 * So nothing is read before it asks, because the type is looked at first, and each byte is read once. The
 * rules are those of the kernel's copy_struct_from_user: what the caller leaves out reads as zeros, and what
 * he has beyond the known struct must be zeros.
 */
import type { Caller } from '../file/open-file.js';
import type { Work } from '../file/work.js';
import { PAGE_SIZE } from '../iommu/page-table.js';
import { hex, refuse } from '../linux/errno.js';
import { broken } from '../linux/invariant.js';

/** Entries are read in pieces of about so many bytes. */
const PIECE_BYTES = 65536;
/** Invalidations that are done before others are served: each is about a microsecond. */
export const ENTRIES_PER_SLICE = 64;
/** As long as an entry can be. */
const ZEROS = new Uint8Array(PAGE_SIZE);

/** A struct that a page table or a vIOMMU is made with. Length 0: there is none. */
export class UserData {
  /** Whose layout it is: IOMMU_HWPT_DATA_* or IOMMU_VIOMMU_TYPE_*. */
  readonly type: number;
  /** In bytes. */
  readonly length: number;
  readonly #caller: Caller;
  readonly #address: number;

  constructor(caller: Caller, type: number, address: number, length: number) {
    this.#caller = caller;
    this.type = type;
    this.#address = address;
    this.length = length;
  }

  /**
   * The struct, which has `size` bytes and in its first version `least`.
   * @throws Refusal EINVAL for another type or length; EFAULT.
   */
  read(type: number, size: number, least: number): Uint8Array {
    this.#check(type, size, least);
    const struct = new Uint8Array(size);
    this.#caller.readMemory(this.#address, struct.subarray(0, this.length));
    return struct;
  }

  /** Stores the struct, as much of it as the caller has. @throws Refusal as `read`. */
  write(type: number, struct: Uint8Array, least: number): void {
    this.#check(type, struct.length, least);
    this.#caller.writeMemory(this.#address, struct.subarray(0, this.length));
  }

  #check(type: number, size: number, least: number): void {
    if (this.type !== type) refuse('EINVAL', `data is of type ${hex(this.type)}, and ${hex(type)} is wanted`);
    if (this.length < least || this.length > size)
      refuse('EINVAL', `data of type ${hex(type)} has ${least} to ${size} bytes, not ${this.length}`);
  }
}

/** An array of structs. */
export class UserArray {
  readonly count: number;
  /** Bytes from one to the next. */
  readonly entryLength: number;
  readonly #caller: Caller;
  readonly #address: number;

  constructor(caller: Caller, address: number, entryLength: number, count: number) {
    this.#caller = caller;
    this.#address = address;
    this.entryLength = entryLength;
    this.count = count;
  }

  /**
   * The entries one by one, as structs of `size` bytes, each read when its turn comes: those before a bad one
   * can be done first. They may be longer, with zeros at the end. @throws Refusal E2BIG; EFAULT.
   */
  *entries(size: number): Generator<Uint8Array> {
    const length = this.entryLength;
    let together = Math.max(1, Math.floor(PIECE_BYTES / Math.max(length, 1)));
    for (let first = 0; first < this.count; ) {
      const piece = new Uint8Array(length * Math.min(together, this.count - first));
      try {
        this.#caller.readMemory(this.#address + first * length, piece);
      } catch (error) {
        // The entries before the one that cannot be read are still wanted.
        if (piece.length > length) {
          together = Math.max(1, together >> 1);
          continue;
        }
        if (length > size) this.#requireZeros(this.#address + first * length + size, length - size);
        throw error;
      }
      for (let at = 0; at < piece.length; at += length) yield resized(piece.subarray(at, at + length), size);
      first += piece.length / length;
    }
  }

  /**
   * Bytes that are no zeros are found even where the memory ends behind them. @throws Refusal E2BIG; EFAULT.
   */
  #requireZeros(address: number, length: number): void {
    for (let at = address; at < address + length; ) {
      const part = new Uint8Array(Math.min(PAGE_SIZE - (at % PAGE_SIZE), address + length - at));
      this.#caller.readMemory(at, part);
      resized(part, 0);
      at += part.length;
    }
  }
}

/** Invalidations of a page table or a vIOMMU, and how many of them have been done. */
export class Invalidations extends UserArray {
  /** IOMMU_HWPT_INVALIDATE_DATA_* or IOMMU_VIOMMU_INVALIDATE_DATA_*. */
  readonly type: number;
  #handled = 0;

  constructor(caller: Caller, type: number, address: number, entryLength: number, count: number) {
    super(caller, address, entryLength, count);
    this.type = type;
  }

  /** How many have been done: what the caller is told, whether all went well or not. */
  get handled(): number {
    return this.#handled;
  }

  /** The next one has been done. */
  handle(): void {
    if (this.#handled === this.count) broken(`more than the ${this.count} entries of an array were done`);
    this.#handled++;
  }

  /**
   * One by one, as `entries`. @throws Refusal EINVAL for another type, or another length than `least` to
   * `size`; EFAULT.
   */
  *each(type: number, size: number, least: number): Generator<Uint8Array> {
    this.#checkType(type);
    const { entryLength } = this;
    if (this.count > 0 && (entryLength < least || entryLength > size))
      refuse('EINVAL', `entries of type ${hex(type)} have ${least} to ${size} bytes, not ${entryLength}`);
    yield* this.entries(size);
  }

  /**
   * All behind each other, read before the first is looked at.
   * @throws Refusal EINVAL for another type; E2BIG; EFAULT.
   */
  *all(type: number, size: number): Work<Uint8Array> {
    this.#checkType(type);
    const structs = new Uint8Array(this.count * size);
    let at = 0;
    for (const entry of this.entries(size)) {
      structs.set(entry, at);
      at += size;
      if ((at / size) % ENTRIES_PER_SLICE === 0) yield;
    }
    return structs;
  }

  #checkType(type: number): void {
    if (this.type !== type)
      refuse('EINVAL', `the array is of type ${hex(this.type)}, and ${hex(type)} is wanted`);
  }
}

/**
 * The struct of `size` bytes that the caller means by `given`. @throws Refusal E2BIG when there is more in
 * it.
 */
function resized(given: Uint8Array, size: number): Uint8Array {
  const tail = given.subarray(size);
  if (Buffer.compare(tail, ZEROS.subarray(0, tail.length)) !== 0)
    refuse(
      'E2BIG',
      `an entry is ${given.length} bytes long, of which ${size} are known, and not all others are zero`,
    );
  if (given.length >= size) return given.subarray(0, size);
  const struct = new Uint8Array(size);
  struct.set(given);
  return struct;
}
