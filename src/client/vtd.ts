/**
 * Nested page tables in the format of Intel VT-d, through an open `/dev/iommu`: the structs of
 * <linux/iommufd.h> that only this IOMMU knows.
 */
import type { Bits64, Iommufd } from './iommufd.js';

/** IOMMU_HW_INFO_TYPE_INTEL_VTD. */
export const HW_INFO_VTD = 1;
/** enum iommu_hwpt_vtd_s1_flags. */
export const VTD_S1_SRE = 1;
export const VTD_S1_EAFE = 2;
export const VTD_S1_WPE = 4;

/** IOMMU_HWPT_DATA_VTD_S1, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, IOMMU_VTD_INV_FLAGS_LEAF. */
const DATA_TYPE = 1;
const INVALIDATE_TYPE = 0;
const LEAF = 1;
const ENTRY_BYTES = 24;

/** struct iommu_hwpt_vtd_s1. */
export interface VtdS1 {
  /** Where the topmost table is, as the parent translates it. */
  readonly root: Bits64;
  /** VTD_S1_*. */
  readonly flags?: number;
  readonly addressWidth?: number;
}

/** struct iommu_hwpt_vtd_s1_invalidate. */
export interface VtdInvalidation {
  readonly iova: Bits64;
  /** Pages of 4 KiB; 2^64-1 from 0 on: all. */
  readonly pages: Bits64;
  /** Only entries that lead to pages have changed. */
  readonly leaf?: boolean;
  readonly reserved?: number;
}

/** Allocates a page table that lies in the user's memory, under HWPT `parent`. @returns its id. */
export function allocVtdS1(
  iommufd: Iommufd,
  device: number,
  parent: number,
  table: VtdS1,
  hwptFlags = 0,
): number {
  const view = new DataView(new ArrayBuffer(ENTRY_BYTES));
  view.setBigUint64(0, BigInt(table.flags ?? 0), true);
  view.setBigUint64(8, BigInt(table.root), true);
  view.setUint32(16, table.addressWidth ?? 48, true);
  return iommufd.hwptAlloc(device, parent, hwptFlags, {
    type: DATA_TYPE,
    bytes: new Uint8Array(view.buffer),
  });
}

/** The user has changed his table. @throws Refusal; those before the one that is refused have been done. */
export function invalidateVtdS1(iommufd: Iommufd, hwpt: number, entries: readonly VtdInvalidation[]): void {
  const view = new DataView(new ArrayBuffer(entries.length * ENTRY_BYTES));
  entries.forEach(({ iova, pages, leaf, reserved }, n) => {
    view.setBigUint64(n * ENTRY_BYTES, BigInt(iova), true);
    view.setBigUint64(n * ENTRY_BYTES + 8, BigInt(pages), true);
    view.setUint32(n * ENTRY_BYTES + 16, leaf ? LEAF : 0, true);
    view.setUint32(n * ENTRY_BYTES + 20, reserved ?? 0, true);
  });
  iommufd.hwptInvalidate(hwpt, INVALIDATE_TYPE, ENTRY_BYTES, new Uint8Array(view.buffer));
}
