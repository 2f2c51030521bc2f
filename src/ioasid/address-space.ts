/**
 * An address space: what one PASID of kind *mapped* stands for.
 *
 * It owns a page table and the rules of changing it: whole pages, no overlap, no splitting of a mapping, a free IOVA chosen when the
 * user names none. Each method checks everything before it changes anything. `users` counts the devices that are authorized for it.
 */
import { type Access, type Iommu, READ, WRITE } from '../iommu/iommu.js';
import { ADDRESS_BITS, inAddressWidth, NONE, PAGE_SIZE, type PageTable } from '../iommu/page-table.js';
import { ACCESS, LAST_HI, MAPPING_WORDS, MEMORY, OFFSET_HI, START_HI } from '../iommu/table-memory.js';
import { hex, refuse } from '../linux/errno.js';
import type { MemoryRange } from './caller.js';

/** The largest alignment of an IOVA that is chosen for the user: that of a huge page. */
const LARGEST_ALIGNMENT = 2 ** 21;
const LIMIT = 2 ** ADDRESS_BITS;

/** One mapping, as `ls` shows it. Bytes. */
export interface MappingView {
  readonly iova: number;
  readonly length: number;
  readonly access: Access;
  readonly memory: string;
  readonly offset: number;
}

/** A part of a mapping: `length` bytes from byte `offset` of memory number `memory` on. */
export interface Piece {
  readonly length: number;
  readonly memory: number;
  readonly offset: number;
}

export class AddressSpace {
  readonly pasid: number;
  readonly table: PageTable;
  /** Devices that are authorized for this PASID. */
  users = 0;
  readonly #iommu: Iommu;
  // No hole of a page or more lies in [PAGE_SIZE, #full): where the search for a free range begins.
  #full = PAGE_SIZE;

  constructor(iommu: Iommu, pasid: number) {
    this.pasid = pasid;
    this.#iommu = iommu;
    this.table = iommu.pageTable();
  }

  /**
   * Where [offset, offset+length) of some memory would be mapped: `iova` itself when it is given, otherwise the first free range, never 0,
   * aligned to the smaller of the length's power of two and the memory's own alignment, at most 2 MiB.
   * @throws Refusal EINVAL, EEXIST, ENOSPC.
   */
  place(length: number, offset: number, access: Access, iova: number | undefined): number {
    if (length === 0) refuse('EINVAL', 'the length is zero');
    if (length % PAGE_SIZE !== 0) refuse('EINVAL', `length ${hex(length)} is not a multiple of the 4 KiB page of PASID ${this.pasid}`);
    if (offset % PAGE_SIZE !== 0) refuse('EINVAL', `the memory at ${hex(offset)} is not aligned to the 4 KiB page of PASID ${this.pasid}`);
    if ((access & (READ | WRITE)) === 0) refuse('EINVAL', 'a mapping needs the right to read or to write');
    if (iova === undefined) return this.#choose(length, offset);
    if (iova % PAGE_SIZE !== 0) refuse('EINVAL', `iova ${hex(iova)} is not aligned to the 4 KiB page of PASID ${this.pasid}`);
    if (!inAddressWidth(iova, length)) {
      refuse('EINVAL', `iova range ${hex(iova)}+${hex(length)} ends above the ${ADDRESS_BITS} address bits of PASID ${this.pasid}`);
    }
    const slot = this.table.firstFrom(iova);
    if (slot !== NONE && this.#start(slot) < iova + length) {
      refuse('EEXIST', `iova range ${hex(iova)}+${hex(length)} overlaps the mapping at ${hex(this.#start(slot))} of PASID ${this.pasid}`);
    }
    return iova;
  }

  /** Maps `length` bytes of `range` at an IOVA that `place` has given. Takes over the reference to the memory. */
  map(iova: number, length: number, range: MemoryRange, access: Access): void {
    this.#map(iova, length, this.#iommu.memories.acquire(range.memory), range.offset, access);
  }

  /** Maps `pieces`, which another address space has given, one after the other from an IOVA on that `place` has given. */
  mapPieces(iova: number, pieces: readonly Piece[], access: Access): void {
    let at = iova;
    for (const { length, memory, offset } of pieces) {
      this.#map(at, length, this.#iommu.memories.retain(memory), offset, access);
      at += length;
    }
  }

  /**
   * What is mapped at [iova, iova+length), mapping by mapping.
   * @throws Refusal ENOENT when a part of it is not mapped; EPERM when a part gives fewer rights than `access`.
   */
  pieces(iova: number, length: number, access: Access): Piece[] {
    if (iova % PAGE_SIZE !== 0) refuse('EINVAL', `iova ${hex(iova)} is not aligned to the 4 KiB page of PASID ${this.pasid}`);
    const { tables } = this.#iommu;
    const pieces: Piece[] = [];
    let at = iova;
    for (const slot of this.table.slots(Math.min(iova, LIMIT))) {
      if (at === iova + length || this.#start(slot) > at) break;
      this.#checkRights(slot, access);
      const end = Math.min(this.#last(slot) + 1, iova + length);
      const offset = tables.wide(slot, OFFSET_HI) + (at - this.#start(slot));
      pieces.push({ length: end - at, memory: tables.mappings[slot * MAPPING_WORDS + MEMORY]!, offset });
      at = end;
    }
    if (at < iova + length) refuse('ENOENT', `iova ${hex(at)} of PASID ${this.pasid} is not mapped`);
    return pieces;
  }

  /**
   * Takes out all mappings in [iova, iova+length), which must not cut one in two. @returns the bytes that were mapped.
   * @throws Refusal ENOENT when there is none, EINVAL when one lies across an end of the range.
   */
  unmap(iova: number, length: number): number {
    if (length === 0) refuse('EINVAL', 'the length is zero');
    if (iova + length > 2 ** 64) refuse('EINVAL', `iova range ${hex(iova)}+${hex(length)} wraps around`);
    const slots: number[] = [];
    for (const slot of this.table.slots(Math.min(iova, LIMIT))) {
      if (this.#start(slot) >= iova + length) break;
      if (this.#start(slot) < iova || this.#last(slot) >= iova + length) {
        refuse(
          'EINVAL',
          `iova range ${hex(iova)}+${hex(length)} would split the mapping at ${hex(this.#start(slot))} of PASID ${this.pasid}`,
        );
      }
      slots.push(slot);
    }
    if (slots.length === 0) refuse('ENOENT', `nothing is mapped in ${hex(iova)}+${hex(length)} of PASID ${this.pasid}`);
    let bytes = 0;
    for (const slot of slots) {
      bytes += this.#last(slot) - this.#start(slot) + 1;
      this.#iommu.memories.release(this.table.unmap(slot));
    }
    this.#full = Math.min(this.#full, Math.max(iova, PAGE_SIZE));
    return bytes;
  }

  /** Takes out all mappings. @returns the bytes that were mapped; 0 is fine. */
  unmapAll(): number {
    let bytes = 0;
    for (const slot of this.table.slots()) bytes += this.#last(slot) - this.#start(slot) + 1;
    this.table.clear((memory) => this.#iommu.memories.release(memory));
    this.#full = PAGE_SIZE;
    return bytes;
  }

  /** Releases all that it has. No device is authorized for it any more. */
  close(): void {
    this.unmapAll();
    this.table.close();
  }

  /** The mappings by rising IOVA, at most `limit`. */
  mappings(limit: number): MappingView[] {
    const { tables, memories } = this.#iommu;
    const views: MappingView[] = [];
    for (const slot of this.table.slots()) {
      if (views.length === limit) break;
      const iova = this.#start(slot);
      views.push({
        iova,
        length: this.#last(slot) - iova + 1,
        access: tables.mappings[slot * MAPPING_WORDS + ACCESS]!,
        memory: memories.get(tables.mappings[slot * MAPPING_WORDS + MEMORY]!).description,
        offset: tables.wide(slot, OFFSET_HI),
      });
    }
    return views;
  }

  #map(iova: number, length: number, memory: number, offset: number, access: Access): void {
    this.table.map(iova, length, memory, offset, access);
    if (iova <= this.#full) this.#full = Math.max(this.#full, iova + length);
  }

  #choose(length: number, offset: number): number {
    let alignment = PAGE_SIZE;
    while (alignment < LARGEST_ALIGNMENT && alignment * 2 <= length && offset % (alignment * 2) === 0) alignment *= 2;
    let iova = alignUp(this.#full, alignment);
    for (const slot of this.table.slots(iova)) {
      if (iova + length <= this.#start(slot)) break;
      iova = alignUp(this.#last(slot) + 1, alignment);
    }
    if (iova + length > LIMIT) refuse('ENOSPC', `PASID ${this.pasid} has no free iova range of ${hex(length)} bytes`);
    return iova;
  }

  #checkRights(slot: number, access: Access): void {
    const missing = access & ~this.#iommu.tables.mappings[slot * MAPPING_WORDS + ACCESS]!;
    if (missing === 0) return;
    const right = missing & WRITE ? 'write' : 'read';
    refuse('EPERM', `the mapping at ${hex(this.#start(slot))} of PASID ${this.pasid} does not give the right to ${right}`);
  }

  #start(slot: number): number {
    return this.#iommu.tables.wide(slot, START_HI);
  }

  #last(slot: number): number {
    return this.#iommu.tables.wide(slot, LAST_HI);
  }
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
