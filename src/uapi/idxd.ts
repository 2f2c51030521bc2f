/**
 * What a program and a DSA device share in memory, as <linux/idxd.h> has it: descriptors and completion
 * records. Where a struct has a union, the field is named for its most common use.
 */
import { Flag, Opcode } from '../devices/dsa/descriptor.js';
import { chars, type FieldType, struct, u8, u16, u32, u64 } from './struct.js';

/** The operation codes of the model, as <linux/idxd.h> calls them. */
const operations = {
  DSA_OPCODE_NOOP: Opcode.NOOP,
  DSA_OPCODE_BATCH: Opcode.BATCH,
  DSA_OPCODE_DRAIN: Opcode.DRAIN,
  DSA_OPCODE_MEMMOVE: Opcode.MEMMOVE,
  DSA_OPCODE_MEMFILL: Opcode.FILL,
  DSA_OPCODE_COMPARE: Opcode.COMPARE,
  DSA_OPCODE_COMPVAL: Opcode.COMPARE_PATTERN,
  DSA_OPCODE_CR_DELTA: Opcode.CREATE_DELTA,
  DSA_OPCODE_AP_DELTA: Opcode.APPLY_DELTA,
  DSA_OPCODE_DUALCAST: Opcode.DUALCAST,
  DSA_OPCODE_CRCGEN: Opcode.CRC_GENERATION,
  DSA_OPCODE_COPY_CRC: Opcode.COPY_CRC,
  DSA_OPCODE_DIF_CHECK: Opcode.DIF_CHECK,
  DSA_OPCODE_DIF_INS: Opcode.DIF_INSERT,
  DSA_OPCODE_DIF_STRP: Opcode.DIF_STRIP,
  DSA_OPCODE_DIF_UPDT: Opcode.DIF_UPDATE,
  DSA_OPCODE_CFLUSH: Opcode.CACHE_FLUSH,
};

const flagNames = {
  IDXD_OP_FLAG_FENCE: Flag.FENCE,
  IDXD_OP_FLAG_BOF: Flag.BLOCK_ON_FAULT,
  IDXD_OP_FLAG_CRAV: Flag.COMPLETION_ADDRESS_VALID,
  IDXD_OP_FLAG_RCR: Flag.REQUEST_COMPLETION,
  IDXD_OP_FLAG_RCI: Flag.REQUEST_INTERRUPT,
  IDXD_OP_FLAG_CRSTS: 0x20,
  IDXD_OP_FLAG_CR: Flag.CHECK_RESULT,
  IDXD_OP_FLAG_CC: Flag.CACHE_CONTROL,
  IDXD_OP_FLAG_ADDR1_TCS: Flag.ADDRESS1_TC,
  IDXD_OP_FLAG_ADDR2_TCS: Flag.ADDRESS2_TC,
  IDXD_OP_FLAG_ADDR3_TCS: Flag.ADDRESS3_TC,
  IDXD_OP_FLAG_CR_TCS: Flag.COMPLETION_TC,
  IDXD_OP_FLAG_STORD: Flag.STRICT_ORDERING,
  IDXD_OP_FLAG_DRDBK: Flag.DESTINATION_READBACK,
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
