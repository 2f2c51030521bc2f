/**
 * NestedSpace: what a nested PASID stands for: a page table that its user owns and writes, in memory that a
 * mapped PASID of the same context leads to, its parent. Whatever the table says, nothing is reached that the
 * parent does not lead to.
 *
 * Invariant: the table that devices walk is the one that was bound last; it changes only while no device is
 * authorized for the PASID, and none is before one is bound.
 */
import { releasing, type Work } from '../file/work.js';
import type { Iommu } from '../iommu/iommu.js';
import { ADDRESS_BITS, PAGE_SIZE } from '../iommu/page-table.js';
import type { Pasid } from '../iommu/pasid.js';
import { VTD_ADDRESS_WIDTH, VtdTable } from '../iommu/vtd-table.js';
import { hex, refuse } from '../linux/errno.js';
import type { AddressSpace } from './address-space.js';
import { LAST_IOVA } from './iova-ranges.js';
import { Space } from './space.js';

/** Formats of page tables: that of the first stage of Intel VT-d, which is x86-64's own. */
export const FORMAT_VTD_S1 = 0;

const PAGE = BigInt(PAGE_SIZE);
const END = 2n ** BigInt(ADDRESS_BITS);

/** A page table as its user describes it. */
export interface UserTable {
  readonly format: number;
  /** Where the topmost table is: an IOVA of the parent. */
  readonly root: bigint;
  /** Bits of the IOVAs that it translates. */
  readonly addressWidth: number;
  /** Entries are also marked in their bit 10 (VT-d: EAFE). */
  readonly extendedAccess: boolean;
}

export class NestedSpace extends Space {
  readonly parent: AddressSpace;
  readonly #iommu: Iommu;
  #table: VtdTable | undefined;

  constructor(iommu: Iommu, pasid: Pasid, parent: AddressSpace) {
    super(pasid);
    this.#iommu = iommu;
    this.parent = parent;
    parent.adopt();
  }

  get kind() {
    return 'nested' as const;
  }

  /** What is bound to it, for those who look; undefined: nothing yet. */
  get bound(): VtdTable | undefined {
    return this.#table;
  }

  get table(): VtdTable {
    return this.#table ?? refuse('EINVAL', `${this.name} is nested, and no page table is bound to it`);
  }

  /**
   * The user's table is this one from now on. @throws Refusal EINVAL there can be no such table; EBUSY while
   * a device is authorized; ENOMEM the context has no pages left for what is cached of it.
   */
  bind({ format, root, addressWidth, extendedAccess }: UserTable): void {
    if (format !== FORMAT_VTD_S1) refuse('EINVAL', `format ${format} is none of VT-d's first stage (0)`);
    if (addressWidth !== VTD_ADDRESS_WIDTH)
      refuse(
        'EINVAL',
        `tables for addresses of ${addressWidth} bits are not supported, only of ${VTD_ADDRESS_WIDTH}`,
      );
    if (root % PAGE !== 0n || root >= END)
      refuse('EINVAL', `root ${hex(root)} is no address of a page with ${ADDRESS_BITS} bits`);
    this.checkNoDevice();
    // The pages of a table that is replaced are there for the new one.
    this.#table?.close();
    this.#table = undefined;
    const stage = { root: Number(root), addressWidth, extendedAccess };
    this.#table = new VtdTable(this.#iommu, this.parent.table, stage);
  }

  /**
   * The user has changed entries for [iova, iova+length). `leaf`: only such as lead to pages. @throws Refusal
   * EINVAL, EOVERFLOW there is no such range of pages.
   */
  invalidate(iova: bigint, length: bigint, leaf: boolean): void {
    const range = () => `iova range ${hex(iova)}+${hex(length)}`;
    if (length === 0n) refuse('EINVAL', 'the length is zero');
    if (iova % PAGE !== 0n || length % PAGE !== 0n)
      refuse('EINVAL', `${range()} is not aligned to the ${PAGE_SIZE / 1024} KiB page of ${this.name}`);
    if (iova + length - 1n > LAST_IOVA) refuse('EOVERFLOW', `${range()} wraps around`);
    if (iova + length > END) refuse('EINVAL', `${range()} leaves the ${ADDRESS_BITS} bits of ${this.name}`);
    this.#table?.invalidate(Number(iova), Number(iova + length - 1n), leaf);
  }

  /** The user has changed any of it. */
  invalidateAll(): void {
    this.#table?.invalidateAll();
  }

  *close(): Work<void> {
    yield* releasing([() => this.#table?.close(), () => this.parent.disown()]);
    this.requireUnused();
  }
}
