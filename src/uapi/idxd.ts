/**
 * What a program and a DSA device share in memory, as <linux/idxd.h> has it: descriptors and completion
 * records. Where a struct has a union, the field is named for its most common use.
 */
import { chars, struct, u8, u16, u32, u64 } from './struct.js';

/** A work descriptor of 64 bytes. `pasid` has 20 bits, `flags` are 24 with the operation code above them. */
export const DescriptorStruct = struct('dsa_hw_desc', {
  pasid: u32,
  flags: u32,
  completion_addr: u64,
  src_addr: u64,
  dst_addr: u64,
  xfer_size: u32,
  int_handle: u16,
  reserved: u16,
  op_specific: chars(24),
});

export const CompletionStruct = struct('dsa_completion_record', {
  status: u8,
  result: u8,
  fault_info: u8,
  reserved: u8,
  bytes_completed: u32,
  fault_addr: u64,
  op_specific: chars(16),
});
