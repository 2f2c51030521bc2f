/**
 * What only IOMMUs like Intel VT-d know of the objects of `/dev/iommu`: the structs that GET_HW_INFO,
 * HWPT_ALLOC and HWPT_INVALIDATE point to.
 */
import { struct, u32, u64 } from '../struct.js';

/** IOMMU_HW_INFO_TYPE_INTEL_VTD. */
export const HW_INFO_VTD = 1;
/** IOMMU_HWPT_DATA_VTD_S1. */
export const HWPT_DATA_VTD_S1 = 1;
/** IOMMU_HWPT_INVALIDATE_DATA_VTD_S1. */
export const INVALIDATE_DATA_VTD_S1 = 0;

/** enum iommu_hwpt_vtd_s1_flags. */
export const VTD_S1_SRE = 1;
export const VTD_S1_EAFE = 2;
export const VTD_S1_WPE = 4;
/** IOMMU_VTD_INV_FLAGS_LEAF. */
export const VTD_INV_LEAF = 1;

export const HwInfoVtdStruct = struct('iommu_hw_info_vtd', {
  flags: u32,
  reserved: u32,
  cap_reg: u64,
  ecap_reg: u64,
});
export const VtdS1Struct = struct('iommu_hwpt_vtd_s1', {
  flags: u64,
  pgtbl_addr: u64,
  addr_width: u32,
  reserved: u32,
});
export const VtdS1InvalidateStruct = struct('iommu_hwpt_vtd_s1_invalidate', {
  addr: u64,
  npages: u64,
  flags: u32,
  reserved: u32,
});
