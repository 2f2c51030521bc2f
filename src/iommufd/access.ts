/**
 * Access: something in the system that reads and writes the memory of an IOAS by IOVA, without a device and
 * its page table (an mdev whose model runs on the CPU, and tests).
 *
 * It either copies (`read`, `write`), at any IOVA, or pins whole pages for a while. A pin ends when its owner
 * says so or when what is pinned is unmapped, whatever comes first; what an access of our own pins cannot be
 * unmapped. Invariant: every pin lies in mappings of the IOAS that the access is attached to.
 */
import { finish, finished, type Work, workOf } from '../file/work.js';
import { READ, type Access as Rights, WRITE } from '../iommu/iommu.js';
import type { Memory } from '../iommu/memory.js';
import { PAGE_SIZE } from '../iommu/page-table.js';
import { hex, refuse } from '../linux/errno.js';
import { release } from '../linux/invariant.js';
import { Ioas, PIECE_OF_PINS, type PinnedRange, type Pinner, touches } from './ioas.js';
import { IommufdObject, type ObjectTable } from './objects.js';

const PAGE = BigInt(PAGE_SIZE);
/** Pins of one access. */
export const MOST_PINS = 65_536;

/** A part of a mapping that an access reaches: `length` bytes at byte `offset` of `memory`. */
export interface Reach {
  readonly memory: Memory;
  readonly offset: bigint;
  readonly length: bigint;
}

/** A Reach, where it is mapped, and with which rights. */
interface Piece extends Reach {
  readonly iova: bigint;
  readonly rights: Rights;
}

export interface AccessRules {
  /** It pins, and so wants whole pages. */
  readonly pinsPages: boolean;
  /** What it pins cannot be unmapped. */
  readonly locks: boolean;
}

export class Access extends IommufdObject implements Pinner {
  readonly kind = 'access';
  readonly pinsPages: boolean;
  readonly locks: boolean;
  readonly #objects: ObjectTable;
  readonly #pins = new Map<number, PinnedRange>();
  #ioas: Ioas;
  #nextPin = 0;

  private constructor(objects: ObjectTable, ioas: Ioas, { pinsPages, locks }: AccessRules) {
    super();
    this.#objects = objects;
    this.#ioas = ioas;
    this.pinsPages = pinsPages;
    this.locks = locks;
    finish(ioas.addAccess(this));
    ioas.hold();
  }

  /**
   * An access to `ioas`, which is in `objects` until `close`, and which nobody else can destroy.
   * @throws Refusal EADDRINUSE it pins pages, and mappings are not made of whole ones.
   */
  static open(objects: ObjectTable, ioas: Ioas, rules: AccessRules): Access {
    const access = objects.add(new Access(objects, ioas, rules));
    access.hold();
    return access;
  }

  get ioas(): Ioas {
    return this.#ioas;
  }

  /** Goes over to IOAS `id`; all pins end. @throws Refusal ENOENT, or as `open`: it stays where it is. */
  replace(id: number): void {
    const ioas = this.#objects.get(id, Ioas);
    if (ioas === this.#ioas) return;
    finish(ioas.addAccess(this));
    ioas.hold();
    this.#leave();
    this.#ioas = ioas;
  }

  /** Its owner needs it no more. */
  close(): void {
    this.drop();
    finished(this.#objects.destroy(this.id));
  }

  destroy(): void {
    this.#leave();
  }

  /**
   * What there is at [iova, iova+length), mapping by mapping, to be pinned.
   * @throws Refusal EINVAL, EOVERFLOW no range, or no whole pages of memory; EPERM, ENOENT, EFAULT.
   */
  reach(iova: bigint, length: bigint, rights: Rights): Reach[] {
    const found: Reach[] = [];
    for (const piece of this.#pieces(iova, length)) {
      const end = iova + length === piece.iova + piece.length;
      if (piece.offset % PAGE !== 0n || (!end && (piece.offset + piece.length) % PAGE !== 0n)) {
        refuse('EINVAL', `the memory at iova ${hex(piece.iova)} does not begin and end with a page`);
      }
      finish(requireReach(piece, rights));
      found.push(piece);
    }
    return found;
  }

  /**
   * Notes that [iova, iova+length), which `reach` has given, is in use. @returns the pin's number. @throws
   * Refusal ENOMEM it has too many.
   */
  pin(iova: bigint, length: bigint): number {
    if (this.#pins.size >= MOST_PINS) refuse('ENOMEM', `the access has ${MOST_PINS} pins already`);
    const id = this.#nextPin++;
    this.#pins.set(id, { iova, length });
    return id;
  }

  /** @throws Refusal ENOENT when there is no such pin (any more). */
  unpin(id: number): void {
    if (!this.#pins.delete(id)) refuse('ENOENT', `the access has no pin ${id}`);
  }

  /** Something in [iova, iova+length) was unmapped. */
  *unmapped(iova: bigint, length: bigint): Work<void> {
    let looked = 0;
    for (const [id, pin] of this.#pins) {
      if (touches(pin, iova, length)) this.#pins.delete(id);
      if (++looked % PIECE_OF_PINS === 0) yield;
    }
  }

  /** What is pinned. */
  pins(): Iterable<PinnedRange> {
    return this.#pins.values();
  }

  /**
   * Fills `target` from `iova`. @throws Refusal EINVAL, EOVERFLOW, ENOENT, EPERM, EFAULT; the part before it
   * has been read.
   */
  read(iova: bigint, target: Uint8Array): void {
    let done = 0;
    for (const piece of this.#pieces(iova, BigInt(target.length))) {
      finish(requireReach(piece, READ));
      done += moved(piece, piece.memory.read(Number(piece.offset), target, done, Number(piece.length)));
    }
  }

  /** Writes `source` to `iova`. @throws Refusal as `read`; the part before it has been written. */
  write(iova: bigint, source: Uint8Array): void {
    let done = 0;
    for (const piece of this.#pieces(iova, BigInt(source.length))) {
      finish(requireReach(piece, WRITE));
      done += moved(piece, piece.memory.write(Number(piece.offset), source, done, Number(piece.length)));
    }
  }

  #leave(): void {
    const ioas = this.#ioas;
    this.#pins.clear();
    release([() => ioas.removeAccess(this), () => ioas.drop()]);
  }

  /**
   * The mappings' parts one by one, so that what is wrong with the first is seen before what is wrong with
   * the second.
   */
  *#pieces(iova: bigint, length: bigint): Generator<Piece> {
    const ioas = this.#ioas;
    let at = iova;
    for (const piece of ioas.space.pieces(iova, length)) {
      yield {
        iova: at,
        rights: piece.access,
        memory: ioas.memoryOf(piece),
        offset: piece.offset,
        length: piece.length,
      };
      at += piece.length;
    }
  }
}

function* requireReach({ iova, rights: given, memory, offset, length }: Piece, rights: Rights): Work<void> {
  if ((given & rights) !== rights) {
    refuse(
      'EPERM',
      `iova ${hex(iova)} is mapped without the right to ${rights === WRITE ? 'write' : 'read'}`,
    );
  }
  const there = yield* workOf(memory.reaches(Number(offset), Number(length), rights));
  if (!there) {
    refuse(
      memory.ofProcess ? 'EFAULT' : 'EINVAL',
      `${memory.description} is not there at ${hex(offset)}+${hex(length)}, or not with these rights`,
    );
  }
}

function moved({ memory, offset, length }: Reach, count: number): number {
  if (count < Number(length))
    refuse('EFAULT', `${memory.description} cannot be reached at ${hex(Number(offset) + count)}`);
  return count;
}
