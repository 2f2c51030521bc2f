/**
 * NestedHwpt: a page table that its user writes, in memory that the paging HWPT under it leads to.
 *
 * What the user's entries mean, and what of them is cached until it is invalidated, is its IOMMU's business: a NestedDomain.
 */
import { hex, refuse } from '../linux/errno.js';
import type { IommuHardware, NestedDomain } from './hardware.js';
import { HWPT_FAULT_ID_VALID, HWPT_PASID, Hwpt } from './hwpt.js';
import type { PagingHwpt } from './paging-hwpt.js';
import type { UserArray, UserData } from './user-data.js';

const FLAGS = HWPT_FAULT_ID_VALID | HWPT_PASID;

export class NestedHwpt extends Hwpt {
  readonly paging: PagingHwpt;
  readonly domain: NestedDomain;

  /** For `create`. */
  constructor(parent: PagingHwpt, domain: NestedDomain, flags: number) {
    super(parent.iommu, flags);
    this.paging = parent;
    this.domain = domain;
    parent.users++;
  }

  /**
   * A nested page table under `parent`, for devices behind the IOMMU of `hardware`.
   * @throws Refusal EOPNOTSUPP flags or data that it does not support; EINVAL `parent` cannot have nested tables, or not of that IOMMU; EFAULT.
   */
  static create(parent: PagingHwpt, hardware: IommuHardware, flags: number, data: UserData): NestedHwpt {
    requireNestable(flags, data);
    if (hardware.allocNested === undefined) refuse('EOPNOTSUPP', "the device's IOMMU has no nested page tables");
    if (!parent.nestParent) refuse('EINVAL', `HWPT ${parent.id} was not allocated as a parent of nested tables`);
    if (parent.iommu !== hardware.iommu) refuse('EINVAL', `HWPT ${parent.id} belongs to another IOMMU than the device`);
    return new NestedHwpt(parent, hardware.allocNested(parent, data), flags);
  }

  get table() {
    return this.domain.table;
  }

  /** The user has changed his entries. @throws Refusal EOPNOTSUPP nothing is cached; and as NestedDomain.invalidate. */
  invalidate(array: UserArray): void {
    this.domain.invalidate(array);
  }

  destroy(): void {
    this.paging.users--;
  }
}

function requireNestable(flags: number, data: UserData): void {
  if (flags & ~FLAGS) refuse('EOPNOTSUPP', `a nested page table has no flags ${hex((flags & ~FLAGS) >>> 0)}`);
  if (data.length === 0) refuse('EOPNOTSUPP', 'a nested page table is described by data, and none is given');
}
