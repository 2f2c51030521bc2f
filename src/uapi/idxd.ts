/**
 * What a program and a DSA device share in memory, as <linux/idxd.h> has it: descriptors and completion
 * records. Where a struct has a union, the field is named for its most common use.
 */
import { chars, type FieldType, struct, u8, u16, u32, u64 } from './struct.js';

/** Operation codes (Intel DSA 3.0 §8.3), as <linux/idxd.h> calls them. */
const operations = {
  DSA_OPCODE_NOOP: 0x00,
  DSA_OPCODE_BATCH: 0x01,
  DSA_OPCODE_DRAIN: 0x02,
  DSA_OPCODE_MEMMOVE: 0x03,
  DSA_OPCODE_MEMFILL: 0x04,
  DSA_OPCODE_COMPARE: 0x05,
  DSA_OPCODE_COMPVAL: 0x06,
  DSA_OPCODE_CR_DELTA: 0x07,
  DSA_OPCODE_AP_DELTA: 0x08,
  DSA_OPCODE_DUALCAST: 0x09,
  DSA_OPCODE_CRCGEN: 0x10,
  DSA_OPCODE_COPY_CRC: 0x11,
  DSA_OPCODE_DIF_CHECK: 0x12,
  DSA_OPCODE_DIF_INS: 0x13,
  DSA_OPCODE_DIF_STRP: 0x14,
  DSA_OPCODE_DIF_UPDT: 0x15,
  DSA_OPCODE_CFLUSH: 0x20,
};

const flagNames = {
  IDXD_OP_FLAG_FENCE: 0x1,
  IDXD_OP_FLAG_BOF: 0x2,
  IDXD_OP_FLAG_CRAV: 0x4,
  IDXD_OP_FLAG_RCR: 0x8,
  IDXD_OP_FLAG_RCI: 0x10,
  IDXD_OP_FLAG_CRSTS: 0x20,
  IDXD_OP_FLAG_CR: 0x80,
  IDXD_OP_FLAG_CC: 0x100,
  IDXD_OP_FLAG_ADDR1_TCS: 0x200,
  IDXD_OP_FLAG_ADDR2_TCS: 0x400,
  IDXD_OP_FLAG_ADDR3_TCS: 0x800,
  IDXD_OP_FLAG_CR_TCS: 0x1000,
  IDXD_OP_FLAG_STORD: 0x2000,
  IDXD_OP_FLAG_DRDBK: 0x4000,
  IDXD_OP_FLAG_DSTS: 0x8000,
};

const flagsAndOperation: FieldType<number> = {
  ...u32,
  meaning: { kind: 'flags', names: flagNames, above: { bit: 24, names: operations } },
};
const bytes = (size: number): FieldType<Uint8Array> => ({ ...chars(size), meaning: { kind: 'bytes' } });

/** A work descriptor of 64 bytes. `pasid` has 20 bits, `flags` are 24 with the operation code above them. */
export const DescriptorStruct = struct('dsa_hw_desc', {
  pasid: u32,
  flags: flagsAndOperation,
  completion_addr: u64,
  src_addr: u64,
  dst_addr: u64,
  xfer_size: u32,
  int_handle: u16,
  reserved: u16,
  op_specific: bytes(24),
});

export const CompletionStruct = struct('dsa_completion_record', {
  status: u8,
  result: u8,
  fault_info: u8,
  reserved: u8,
  bytes_completed: u32,
  fault_addr: u64,
  op_specific: bytes(16),
});
