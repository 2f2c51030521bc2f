/**
 * The views of `struct iommu_test_cmd`: which fields an operation of IOMMU_TEST_CMD has. All begin with the
 * same four, and lie in the union behind them.
 */
import { chars, struct, u32, u64 } from '../struct.js';

const header = { size: u32, op: u32, id: u32, reserved: u32 } as const;
export const TestStruct = struct('iommu_test_cmd', { ...header, operation: chars(48), last: u32, end: u32 });

export const AddReservedStruct = struct('add_reserved', { ...header, start: u64, length: u64 });
export const MockDomainStruct = struct('mock_domain_flags', {
  ...header,
  out_stdev_id: u32,
  out_hwpt_id: u32,
  out_idev_id: u32,
  dev_flags: u32,
});
export const CheckMapStruct = struct('check_map', { ...header, iova: u64, length: u64, uptr: u64 });
export const CheckRefsStruct = struct('check_refs', {
  ...header,
  length: u64,
  uptr: u64,
  refs: u32,
  end: u32,
});
export const CreateAccessStruct = struct('create_access', { ...header, out_access_fd: u32, flags: u32 });
export const AccessPagesStruct = struct('access_pages', {
  ...header,
  flags: u32,
  out_access_pages_id: u32,
  iova: u64,
  length: u64,
  uptr: u64,
});
export const AccessRwStruct = struct('access_rw', {
  ...header,
  iova: u64,
  length: u64,
  uptr: u64,
  flags: u32,
  end: u32,
});
export const DirtyStruct = struct('dirty', {
  ...header,
  flags: u32,
  hole: u32,
  iova: u64,
  length: u64,
  page_size: u64,
  uptr: u64,
  out_nr_dirty: u64,
});
export const TriggerVeventStruct = struct('trigger_vevent', { ...header, dev_id: u32 });
export const TriggerIopfStruct = struct('trigger_iopf', {
  ...header,
  dev_id: u32,
  pasid: u32,
  grpid: u32,
  perm: u32,
  addr: u64,
});
/** check_iotlb and check_dev_cache: what is in an entry of a cache. */
export const CheckEntryStruct = struct('check_iotlb', { ...header, entry: u32, value: u32 });
/** pasid_attach, pasid_replace, pasid_detach and pasid_check. */
export const PasidStruct = struct('pasid_attach', { ...header, pasid: u32, pt_id: u32 });
/** The operations that have one number. */
export const DmaBufStruct = struct('dmabuf_get', { ...header, length: u32, open_flags: u32 });
export const RevokeStruct = struct('dmabuf_revoke', { ...header, dmabuf_fd: u32, revoked: u32 });
export const NumberStruct = struct('memory_limit', { ...header, number: u32 });
