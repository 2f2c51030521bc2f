/**
 * One row of rules for each operation: which flags it may have, which bits of its descriptor are reserved,
 * and whether its result needs a completion record.
 *
 * An operation without a row is unsupported. Specification (see docs/dsa.md), 5.4, 5.5 and 8.3.
 */
import { Flag, Opcode } from './descriptor.js';
import { DestinationFlag, DifFlag } from './dif.js';

/** One operation's rules. */
export interface Rule {
  /** The flags that it may have; all others are reserved. */
  readonly flags: number;
  /** One bit for each reserved bit of the descriptor. */
  readonly reserved: Int32Array;
  /** Its result is in the completion record, so there must be one. */
  readonly needsRecord: boolean;
}

const COMMON =
  Flag.COMPLETION_ADDRESS_VALID |
  Flag.REQUEST_COMPLETION |
  Flag.REQUEST_INTERRUPT |
  Flag.COMPLETION_TC |
  Flag.FENCE;
const WRITES = Flag.CACHE_CONTROL | Flag.STRICT_ORDERING | Flag.DESTINATION_READBACK;
const CRC = Flag.CRC_READ_SEED | Flag.CRC_BYPASS_INVERSION | Flag.CRC_BYPASS_DATA_REFLECTION;
/** A mask of reserved bytes: the two that every operation has (38 and 39), and `ranges`. */
function reservedBytes(...ranges: [from: number, to: number][]): Int32Array {
  const bytes = new Uint8Array(64);
  bytes.fill(0xff, 38, 40);
  for (const [from, to] of ranges) bytes.fill(0xff, from, to);
  return new Int32Array(bytes.buffer);
}

const SEED_IN_DESCRIPTOR: [number, number][] = [
  [44, 48],
  [48, 64],
];
const SEED_IN_MEMORY: [number, number][] = [
  [40, 48],
  [56, 64],
];
export const generationSeedInMemory = reservedBytes([24, 32], ...SEED_IN_MEMORY);
export const copySeedInMemory = reservedBytes(...SEED_IN_MEMORY);

/** `mask` with the reserved bits of the flags of DIF in it. */
function withDifFlags(mask: Int32Array): Int32Array {
  const bytes = new Uint8Array(mask.buffer);
  bytes[41]! |= DestinationFlag.RESERVED;
  bytes[42]! |= DifFlag.RESERVED;
  return mask;
}

export const rules: (Rule | undefined)[] = [];
rules[Opcode.NOOP] = { flags: COMMON, reserved: reservedBytes([16, 36], [40, 64]), needsRecord: false };
rules[Opcode.BATCH] = {
  flags: COMMON | Flag.ADDRESS1_TC,
  reserved: reservedBytes([24, 32], [40, 64]),
  needsRecord: false,
};
rules[Opcode.DRAIN] = {
  flags: COMMON | Flag.DRAIN_SUPPRESS_READBACK,
  reserved: reservedBytes([16, 36], [40, 64]),
  needsRecord: false,
};
rules[Opcode.MEMMOVE] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | WRITES | Flag.ADDRESS1_TC | Flag.ADDRESS2_TC,
  reserved: reservedBytes([40, 64]),
  needsRecord: false,
};
rules[Opcode.FILL] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | WRITES | Flag.ADDRESS2_TC,
  reserved: reservedBytes([40, 64]),
  needsRecord: false,
};
rules[Opcode.COMPARE] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | Flag.CHECK_RESULT | Flag.ADDRESS1_TC | Flag.ADDRESS2_TC,
  // Of byte 40 bit 0 is the expected result, and the others are ignored.
  reserved: reservedBytes([41, 64]),
  needsRecord: true,
};
rules[Opcode.COMPARE_PATTERN] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | Flag.CHECK_RESULT | Flag.ADDRESS1_TC,
  reserved: reservedBytes([41, 64]),
  needsRecord: true,
};
rules[Opcode.CREATE_DELTA] = {
  flags:
    COMMON |
    Flag.BLOCK_ON_FAULT |
    Flag.CHECK_RESULT |
    WRITES |
    Flag.ADDRESS1_TC |
    Flag.ADDRESS2_TC |
    Flag.ADDRESS3_TC,
  // Of byte 56 bits 2:0 are the results that are expected, and the others are ignored.
  reserved: reservedBytes([52, 56], [57, 64]),
  needsRecord: true,
};
rules[Opcode.APPLY_DELTA] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | WRITES | Flag.ADDRESS1_TC | Flag.ADDRESS2_TC,
  reserved: reservedBytes([44, 64]),
  needsRecord: false,
};
rules[Opcode.DUALCAST] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | WRITES | Flag.ADDRESS1_TC | Flag.ADDRESS2_TC | Flag.ADDRESS3_TC,
  reserved: reservedBytes([48, 64]),
  needsRecord: false,
};
rules[Opcode.CRC_GENERATION] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | CRC | Flag.ADDRESS1_TC | Flag.ADDRESS3_TC,
  reserved: reservedBytes([24, 32], ...SEED_IN_DESCRIPTOR),
  needsRecord: true,
};
rules[Opcode.COPY_CRC] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | CRC | WRITES | Flag.ADDRESS1_TC | Flag.ADDRESS2_TC | Flag.ADDRESS3_TC,
  reserved: reservedBytes(...SEED_IN_DESCRIPTOR),
  needsRecord: true,
};

rules[Opcode.DIF_CHECK] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | Flag.ADDRESS1_TC,
  reserved: withDifFlags(reservedBytes([24, 32], [41, 42], [43, 48], [56, 64])),
  needsRecord: false,
};
rules[Opcode.DIF_INSERT] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | WRITES | Flag.ADDRESS1_TC | Flag.ADDRESS2_TC,
  reserved: withDifFlags(reservedBytes([40, 41], [43, 56])),
  needsRecord: false,
};
rules[Opcode.DIF_STRIP] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | WRITES | Flag.ADDRESS1_TC | Flag.ADDRESS2_TC,
  reserved: withDifFlags(reservedBytes([41, 42], [43, 48], [56, 64])),
  needsRecord: false,
};
rules[Opcode.DIF_UPDATE] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | WRITES | Flag.ADDRESS1_TC | Flag.ADDRESS2_TC,
  reserved: withDifFlags(reservedBytes([43, 48])),
  needsRecord: false,
};
rules[Opcode.CACHE_FLUSH] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | Flag.CACHE_CONTROL | Flag.ADDRESS2_TC,
  reserved: reservedBytes([16, 24], [40, 64]),
  needsRecord: false,
};

/** OPCAP: the opcodes that have rules. */
export const SUPPORTED_OPERATIONS = rules.reduce(
  (mask, rule, opcode) => (rule === undefined ? mask : mask + 2 ** opcode),
  0,
);
