/**
 * NestedHwpt: a page table that its user writes, in memory that the paging HWPT under it leads to. It is
 * allocated on that one, or on a vIOMMU over it.
 *
 * What the user's entries mean, and what of them is cached until it is invalidated, is its IOMMU's business:
 * a NestedDomain.
 */
import { hex, refuse } from '../linux/errno.js';
import type { IommuHardware, NestedDomain } from './hardware.js';
import { HWPT_FAULT_ID_VALID, HWPT_PASID, Hwpt } from './hwpt.js';
import { PagingHwpt } from './paging-hwpt.js';
import type { UserArray, UserData } from './user-data.js';
import type { Viommu } from './viommu.js';

const FLAGS = HWPT_FAULT_ID_VALID | HWPT_PASID;

export class NestedHwpt extends Hwpt {
  readonly paging: PagingHwpt;
  readonly domain: NestedDomain;
  /** What it was allocated on. */
  readonly #owner: PagingHwpt | Viommu;

  /** For `create`. */
  constructor(owner: PagingHwpt | Viommu, domain: NestedDomain, flags: number) {
    super(owner.iommu, flags);
    this.paging = owner instanceof PagingHwpt ? owner : owner.parent;
    this.domain = domain;
    this.#owner = owner;
    owner.hold();
  }

  /**
   * A nested page table on `owner`, for devices behind the IOMMU of `hardware`.
   * @throws Refusal EOPNOTSUPP flags or data that it does not support; EINVAL `owner` cannot have nested
   * tables, or not of that IOMMU; EFAULT.
   */
  static create(
    owner: PagingHwpt | Viommu,
    hardware: IommuHardware,
    flags: number,
    data: UserData,
  ): NestedHwpt {
    const domain =
      owner instanceof PagingHwpt
        ? underParent(owner, hardware, flags, data)
        : onViommu(owner, hardware, flags, data);
    return new NestedHwpt(owner, domain, flags);
  }

  get table() {
    return this.domain.table;
  }

  /** The user has changed his entries. @throws Refusal as NestedDomain.invalidate. */
  invalidate(array: UserArray): void {
    this.domain.invalidate(array);
  }

  override destroy(): void {
    super.destroy();
    this.domain.table.close();
    this.#owner.drop();
  }
}

function underParent(
  parent: PagingHwpt,
  hardware: IommuHardware,
  flags: number,
  data: UserData,
): NestedDomain {
  requireNestable(flags, data);
  if (hardware.allocNested === undefined)
    refuse('EOPNOTSUPP', "the device's IOMMU has no nested page tables");
  if (!parent.nestParent)
    refuse('EINVAL', `HWPT ${parent.id} was not allocated as a parent of nested tables`);
  requireSameIommu(parent, hardware);
  return hardware.allocNested(parent, data);
}

function onViommu(viommu: Viommu, hardware: IommuHardware, flags: number, data: UserData): NestedDomain {
  requireSameIommu(viommu, hardware);
  requireNestable(flags, data);
  if (viommu.hardware.allocNested === undefined)
    refuse('EOPNOTSUPP', `vIOMMU ${viommu.id} has no nested page tables`);
  return viommu.hardware.allocNested(viommu, data);
}

function requireSameIommu({ kind, id, iommu }: PagingHwpt | Viommu, hardware: IommuHardware): void {
  if (iommu !== hardware.iommu) refuse('EINVAL', `${kind} ${id} belongs to another IOMMU than the device`);
}

function requireNestable(flags: number, data: UserData): void {
  if (flags & ~FLAGS) refuse('EOPNOTSUPP', `a nested page table has no flags ${hex((flags & ~FLAGS) >>> 0)}`);
  if (data.length === 0) refuse('EOPNOTSUPP', 'a nested page table is described by data, and none is given');
}
