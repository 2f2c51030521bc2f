/**
 * An ioasid context: what one open `/dev/ioasid` file is. Whoever holds the descriptor may control what is in it; there is no other check.
 *
 * A context owns its PASIDs and their address spaces. It lives as long as anything refers to it: the open file (one reference, dropped by
 * `close`), and each authorization of a device in it (`use`/`unuse`). Invariant: with the last reference gone, everything in it is
 * released. It never learns which devices use it: a device takes what it needs out of the context, nothing is told back.
 */
import type { Access, Iommu } from '../iommu/iommu.js';
import { hex, refuse } from '../linux/errno.js';
import { AddressSpace } from './address-space.js';
import type { MemoryRange } from './caller.js';
import type { IoasidSubsystem } from './subsystem.js';

/** Kinds of PASIDs: who manages the translation. */
export const KIND_MAPPED = 0;
export const KIND_NESTED = 1;
export const KIND_PROCESS = 2;
const kindNames = ['mapped', 'nested', 'process'];

/** How a mapping is asked for. Bytes; `iova` undefined: the context chooses. */
export interface MapRequest {
  readonly pasid: number;
  readonly length: number;
  readonly access: Access;
  readonly iova: number | undefined;
}

export class IoasidContext {
  /** A number for `ls`; it gives no right to anything. */
  readonly id: number;
  /** The process that opened the file. */
  readonly pid: number;
  readonly #system: IoasidSubsystem;
  readonly #iommu: Iommu;
  readonly #spaces = new Map<number, AddressSpace>();
  #mappings = 0;
  #references = 1;

  /** Made by IoasidSubsystem.open. */
  constructor(system: IoasidSubsystem, id: number, pid: number) {
    this.#system = system;
    this.#iommu = system.iommu;
    this.id = id;
    this.pid = pid;
  }

  /** PASIDs in this context. */
  get pasids(): number {
    return this.#spaces.size;
  }

  /** Mappings in this context, all PASIDs together. */
  get mappings(): number {
    return this.#mappings;
  }

  get pasidQuota(): number {
    return this.#system.pasidQuota;
  }

  get mappingQuota(): number {
    return this.#system.mappingQuota;
  }

  /** The address spaces, for `ls`. */
  spaces(): IterableIterator<AddressSpace> {
    return this.#spaces.values();
  }

  /**
   * Allocates a PASID. @returns its number.
   * @throws Refusal EOPNOTSUPP for kinds that are not supported, EINVAL for unknown ones, ENOSPC when the quota or the PASIDs are used up.
   */
  alloc(kind: number, parent: number): number {
    if (kind !== KIND_MAPPED) {
      const name = kindNames[kind];
      if (name === undefined) refuse('EINVAL', `kind ${kind} is none of mapped (0), nested (1), process (2)`);
      refuse('EOPNOTSUPP', `PASIDs of kind ${name} are not supported by this version`);
    }
    if (parent !== 0) refuse('EINVAL', `parent ${parent} was given, but only a nested PASID has a parent`);
    if (this.#spaces.size >= this.pasidQuota) refuse('ENOSPC', `this context has reached its quota of ${this.pasidQuota} PASIDs`);
    const pasid = this.#system.pasids.alloc();
    this.#spaces.set(pasid, new AddressSpace(this.#iommu, pasid));
    return pasid;
  }

  /** Frees a PASID and its mappings. @throws Refusal ENOENT, or EBUSY while a device is authorized for it. */
  free(pasid: number): void {
    const space = this.#space(pasid);
    if (space.users > 0) refuse('EBUSY', `PASID ${pasid} is authorized for ${space.users} device${space.users === 1 ? '' : 's'}`);
    this.#release(space);
  }

  /**
   * Where the mapping would go (AddressSpace.place), with all checks made that need no memory: call it first, then fetch the memory, then `map`.
   * @param offset the alignment-giving address or file offset of the memory
   */
  place(request: MapRequest, offset: number): number {
    const space = this.#space(request.pasid);
    const iova = space.place(request.length, offset, request.access, request.iova);
    this.#checkQuota(1);
    return iova;
  }

  /** Maps `range` at `iova`, which `place` has given for the same request. Takes over the reference to the memory. */
  map(request: MapRequest, iova: number, range: MemoryRange): void {
    this.#space(request.pasid).map(iova, request.length, range, request.access);
    this.#mappings++;
  }

  /**
   * Maps at `request.pasid` what PASID `sourcePasid` of this same context has at `sourceIova`. @returns the IOVA.
   * @throws Refusal as `place` does, and ENOENT/EPERM as AddressSpace.pieces.
   */
  copy(request: MapRequest, sourcePasid: number, sourceIova: number): number {
    const source = this.#space(sourcePasid);
    const target = this.#space(request.pasid);
    const iova = target.place(request.length, sourceIova, request.access, request.iova);
    const pieces = source.pieces(sourceIova, request.length, request.access);
    this.#checkQuota(pieces.length);
    target.mapPieces(iova, pieces, request.access);
    this.#mappings += pieces.length;
    return iova;
  }

  /** Unmaps [iova, iova+length). @returns the bytes unmapped. @throws Refusal as AddressSpace.unmap. */
  unmap(pasid: number, iova: number, length: number): number {
    const space = this.#space(pasid);
    if (iova !== Math.floor(iova) || iova >= 2 ** 64) refuse('EINVAL', `iova ${hex(iova)} is no address`);
    const before = space.table.count;
    const bytes = space.unmap(iova, length);
    this.#mappings -= before - space.table.count;
    return bytes;
  }

  /** Unmaps everything of a PASID. @returns the bytes unmapped, 0 when there were none. */
  unmapAll(pasid: number): number {
    const space = this.#space(pasid);
    this.#mappings -= space.table.count;
    return space.unmapAll();
  }

  /**
   * A device takes the address space of a PASID to be authorized for it: counts one more user of the PASID and a reference on the context.
   * @throws Refusal ENOENT when the PASID is not in this context.
   */
  use(pasid: number): AddressSpace {
    const space = this.#space(pasid);
    space.users++;
    this.#references++;
    return space;
  }

  /** The device gives it back. */
  unuse(pasid: number): void {
    this.#space(pasid).users--;
    this.#drop();
  }

  /** The last descriptor of the open file is gone. */
  close(): void {
    this.#drop();
  }

  #space(pasid: number): AddressSpace {
    return this.#spaces.get(pasid) ?? refuse('ENOENT', `PASID ${pasid} is not in this context`);
  }

  #checkQuota(more: number): void {
    if (this.#mappings + more > this.mappingQuota) refuse('ENOSPC', `this context has reached its quota of ${this.mappingQuota} mappings`);
  }

  #release(space: AddressSpace): void {
    this.#mappings -= space.table.count;
    space.close();
    this.#spaces.delete(space.pasid);
    this.#system.pasids.free(space.pasid);
  }

  #drop(): void {
    if (--this.#references > 0) return;
    for (const space of this.#spaces.values()) this.#release(space);
    this.#system.forget(this);
  }
}
