/**
 * NestedHwpt: a page table that its user writes, in memory that the paging HWPT under it leads to. It is
 * allocated on that one, or on a vIOMMU over it.
 *
 * What the user's entries mean, and what of them is cached until it is invalidated, is its IOMMU's business:
 * a NestedDomain.
 */
import type { Work } from '../file/work.js';
import { hex, refuse } from '../linux/errno.js';
import { release } from '../linux/invariant.js';
import type { IommuHardware, NestedDomain } from './hardware.js';
import { HWPT_FAULT_ID_VALID, HWPT_PASID, Hwpt } from './hwpt.js';
import type { IommufdObject } from './objects.js';
import type { PagingHwpt } from './paging-hwpt.js';
import type { Invalidations, UserData } from './user-data.js';

const FLAGS = HWPT_FAULT_ID_VALID | HWPT_PASID;

export class NestedHwpt extends Hwpt {
  /** The second stage. */
  readonly parent: PagingHwpt;
  readonly domain: NestedDomain;
  readonly #owner: IommufdObject;

  /** `owner`: what it is allocated on, `parent` or a vIOMMU over it. */
  constructor(parent: PagingHwpt, owner: IommufdObject, domain: NestedDomain, flags: number) {
    super(parent.iommu, flags);
    this.parent = parent;
    this.domain = domain;
    this.#owner = owner;
    owner.hold();
  }

  /**
   * A nested page table on `parent`, for devices behind the IOMMU of `hardware`.
   * @throws Refusal EOPNOTSUPP flags or data that it does not support; EINVAL `parent` cannot have nested
   * tables, or not of that IOMMU; EFAULT.
   */
  static create(parent: PagingHwpt, hardware: IommuHardware, flags: number, data: UserData): NestedHwpt {
    requireNestable(flags, data);
    if (hardware.allocNested === undefined)
      refuse('EOPNOTSUPP', "the device's IOMMU has no nested page tables");
    if (!parent.nestParent)
      refuse('EINVAL', `HWPT ${parent.id} was not allocated as a parent of nested tables`);
    requireSameIommu(parent, hardware);
    return new NestedHwpt(parent, parent, hardware.allocNested(parent, data), flags);
  }

  get ioas() {
    return this.parent.ioas;
  }

  get table() {
    return this.domain.table;
  }

  get dirty() {
    return this.parent.dirty;
  }

  /** The user has changed his entries. @throws Refusal as NestedDomain.invalidate. */
  invalidate(array: Invalidations): Work<void> {
    return this.domain.invalidate(array);
  }

  override destroy(): void {
    release([() => super.destroy(), () => this.domain.table.close(), () => this.#owner.drop()]);
  }
}

/** @throws Refusal EINVAL `object` is of another IOMMU than the device with `hardware` is behind. */
export function requireSameIommu(
  { kind, id, iommu }: IommufdObject & { readonly iommu: object },
  hardware: IommuHardware,
): void {
  if (iommu !== hardware.iommu) refuse('EINVAL', `${kind} ${id} belongs to another IOMMU than the device`);
}

/** @throws Refusal EOPNOTSUPP no nested page table is made with `flags`, or without data. */
export function requireNestable(flags: number, data: UserData): void {
  if (flags & ~FLAGS) refuse('EOPNOTSUPP', `a nested page table has no flags ${hex((flags & ~FLAGS) >>> 0)}`);
  if (data.length === 0) refuse('EOPNOTSUPP', 'a nested page table is described by data, and none is given');
}
