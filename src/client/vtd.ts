/**
 * Nested page tables in the format of Intel VT-d, through an open `/dev/iommu`: the structs of
 * <linux/iommufd.h> that only this IOMMU knows.
 */
import {
  HWPT_DATA_VTD_S1,
  INVALIDATE_DATA_VTD_S1,
  VTD_INV_LEAF,
  VtdS1InvalidateStruct,
  VtdS1Struct,
} from '../uapi/iommufd/vtd.js';
import type { Bits64 } from '../uapi/struct.js';
import type { Iommufd } from './iommufd.js';

/** struct iommu_hwpt_vtd_s1. */
export interface VtdS1 {
  /** Where the topmost table is, as the parent translates it. */
  readonly root: Bits64;
  /** VTD_S1_*. */
  readonly flags?: number;
  /** Bits; 48 unless given. */
  readonly addressWidth?: number;
}

/** struct iommu_hwpt_vtd_s1_invalidate. */
export interface VtdInvalidation {
  /** The first page, by its first byte. */
  readonly iova: Bits64;
  /** Pages of 4 KiB; 2^64-1 from 0 on: all. */
  readonly pages: Bits64;
  /** Only entries that lead to pages have changed. */
  readonly leaf?: boolean;
  /** Must be 0, as it is unless given. */
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
  const bytes = VtdS1Struct.encode({
    flags: table.flags ?? 0,
    pgtbl_addr: table.root,
    addr_width: table.addressWidth ?? 48,
  });
  return iommufd.hwptAlloc(device, parent, hwptFlags, { type: HWPT_DATA_VTD_S1, bytes });
}

/** The user has changed his table. @throws Refusal; those before the one that is refused have been done. */
export function invalidateVtdS1(iommufd: Iommufd, hwpt: number, entries: readonly VtdInvalidation[]): void {
  const { size } = VtdS1InvalidateStruct;
  const bytes = new Uint8Array(entries.length * size);
  for (const [n, { iova, pages, leaf, reserved }] of entries.entries()) {
    const flags = leaf ? VTD_INV_LEAF : 0;
    bytes.set(
      VtdS1InvalidateStruct.encode({ addr: iova, npages: pages, flags, reserved: reserved ?? 0 }),
      n * size,
    );
  }
  iommufd.hwptInvalidate(hwpt, INVALIDATE_DATA_VTD_S1, size, bytes);
}
