/**
 * What makes a descriptor acceptable to an engine: one row of rules for each operation, and the order in which they are applied.
 *
 * A descriptor that passes can be executed without further doubts; one that does not ends with the status code of the first rule
 * that it breaks, and no memory has been touched for it. Flags and fields: Linux, include/uapi/linux/idxd.h; which operation may have which: see docs/dsa.md.
 */
import { type Descriptor, Flag, Opcode, Status } from './descriptor.js';

/** What the work queue that a descriptor came through allows. Fixed while the work queue is enabled. */
export interface WqLimits {
  readonly shared: boolean;
  readonly blockOnFault: boolean;
  /** Allowed opcodes, one bit each (WQCFG operation configuration). */
  readonly operations: number;
  /** Bytes, and descriptors. */
  readonly maxTransfer: number;
  readonly maxBatch: number;
}

/** One operation's rules. */
interface Rule {
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
  Flag.COMPLETION_STEERING_TAG |
  Flag.COMPLETION_TC |
  Flag.FENCE;
const WRITES = Flag.CACHE_CONTROL | Flag.STRICT_ORDERING | Flag.DESTINATION_STEERING_TAG;
const CRC = Flag.CRC_READ_SEED | Flag.CRC_BYPASS_INVERSION | Flag.CRC_BYPASS_DATA_REFLECTION;
const RECORD = Flag.COMPLETION_ADDRESS_VALID | Flag.REQUEST_COMPLETION;

/** A mask of reserved bytes: the two that every operation has (bits 30:20 of the first word, bytes 38 and 39), and `ranges`. */
function reservedBytes(...ranges: [from: number, to: number][]): Int32Array {
  const bytes = new Uint8Array(64);
  bytes.set([0x00, 0x00, 0xf0, 0x7f], 0);
  bytes.fill(0xff, 38, 40);
  for (const [from, to] of ranges) bytes.fill(0xff, from, to);
  return new Int32Array(bytes.buffer);
}

/** The reserved bytes of the compares: byte 40 has one bit, the expected result. */
function reservedOfCompare(): Int32Array {
  const words = reservedBytes([41, 64]);
  words[10] = words[10]! | 0xfe;
  return words;
}

const SEED_IN_DESCRIPTOR: [number, number][] = [
  [44, 48],
  [48, 64],
];
const SEED_IN_MEMORY: [number, number][] = [
  [40, 48],
  [56, 64],
];
const generationSeedInMemory = reservedBytes([24, 32], ...SEED_IN_MEMORY);
const copySeedInMemory = reservedBytes(...SEED_IN_MEMORY);

const rules: (Rule | undefined)[] = [];
rules[Opcode.NOOP] = { flags: COMMON, reserved: reservedBytes([16, 36], [40, 64]), needsRecord: false };
rules[Opcode.BATCH] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | Flag.ADDRESS1_TC,
  reserved: reservedBytes([24, 32], [40, 64]),
  needsRecord: false,
};
rules[Opcode.DRAIN] = { flags: COMMON | Flag.DRAIN_SUPPRESS_READBACK, reserved: reservedBytes([16, 36], [40, 64]), needsRecord: false };
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
  reserved: reservedOfCompare(),
  needsRecord: true,
};
rules[Opcode.COMPARE_PATTERN] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | Flag.CHECK_RESULT | Flag.ADDRESS1_TC,
  reserved: reservedOfCompare(),
  needsRecord: true,
};
rules[Opcode.DUALCAST] = {
  flags: COMMON | Flag.BLOCK_ON_FAULT | WRITES | Flag.ADDRESS1_TC | Flag.ADDRESS2_TC | Flag.ADDRESS3_TC | Flag.DUALCAST_STEERING_TAG2,
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

/** OPCAP: the opcodes that have rules. */
export const SUPPORTED_OPERATIONS = rules.reduce((mask, rule, opcode) => (rule === undefined ? mask : mask + 2 ** opcode), 0);

/** The flags of `d` that it must not have, or lacks; 0 when there are none. What the completion record shows as Invalid Flags. */
export function invalidFlags(d: Descriptor, limits: WqLimits, inBatch: boolean): number {
  const rule = rules[d.opcode];
  if (rule === undefined) return 0;
  let allowed = rule.flags;
  if (!inBatch) allowed &= ~Flag.FENCE;
  if (!limits.blockOnFault) allowed &= ~Flag.BLOCK_ON_FAULT;
  let invalid = d.flags & ~allowed;
  // A completion record can only be requested where there is an address for it.
  if (d.has(Flag.REQUEST_COMPLETION) && !d.has(Flag.COMPLETION_ADDRESS_VALID)) invalid |= Flag.REQUEST_COMPLETION;
  if (rule.needsRecord) invalid |= ~d.flags & RECORD;
  return invalid;
}

/**
 * Checks `d`; inside a batch a fence is allowed, a batch and a drain are not.
 * @returns SUCCESS, or the status that it ends with. The interrupt handle is left to the device, which knows its vectors.
 */
export function checkDescriptor(d: Descriptor, limits: WqLimits, inBatch: boolean): number {
  const rule = rules[d.opcode];
  if (rule === undefined || (limits.operations & (1 << d.opcode)) === 0) return Status.UNSUPPORTED_OPCODE;
  if (inBatch && (d.opcode === Opcode.BATCH || d.opcode === Opcode.DRAIN)) return Status.UNSUPPORTED_OPCODE;
  if (invalidFlags(d, limits, inBatch) !== 0) return Status.INVALID_FLAGS;
  if (hasReservedBits(d, rule)) return Status.RESERVED_NOT_ZERO;
  if (limits.shared && !inBatch && d.privileged) return Status.PRIVILEGE;
  return checkOperands(d, limits);
}

function hasReservedBits(d: Descriptor, rule: Rule): boolean {
  if (!d.has(Flag.REQUEST_INTERRUPT) && d.interruptHandle !== 0) return true;
  let reserved = rule.reserved;
  if (d.has(Flag.CRC_READ_SEED)) {
    if (d.opcode === Opcode.CRC_GENERATION) reserved = generationSeedInMemory;
    if (d.opcode === Opcode.COPY_CRC) reserved = copySeedInMemory;
  }
  for (let i = 0; i < reserved.length; i++) if ((d.words[i]! & reserved[i]!) !== 0) return true;
  return false;
}

function checkOperands(d: Descriptor, limits: WqLimits): number {
  if (d.opcode === Opcode.NOOP || d.opcode === Opcode.DRAIN) return Status.SUCCESS;
  if (d.opcode === Opcode.BATCH) {
    if (d.size < 2 || d.size > limits.maxBatch) return Status.DESCRIPTOR_COUNT;
    return d.source % 64 === 0 ? Status.SUCCESS : Status.DESCRIPTOR_LIST_ALIGNMENT;
  }
  if (d.size === 0 || d.size > limits.maxTransfer) return Status.TRANSFER_SIZE;
  if (d.opcode === Opcode.DUALCAST) return checkDualcast(d);
  if (d.opcode === Opcode.COPY_CRC && overlap(d.source, d.destination, d.size)) return Status.OVERLAP;
  return Status.SUCCESS;
}

function checkDualcast(d: Descriptor): number {
  const second = d.address(40);
  if (((d.words[6]! ^ d.words[10]!) & 0xfff) !== 0) return Status.DUALCAST_ALIGNMENT;
  const overlaps = overlap(d.source, d.destination, d.size) || overlap(d.source, second, d.size) || overlap(d.destination, second, d.size);
  return overlaps ? Status.OVERLAP : Status.SUCCESS;
}

function overlap(a: number, b: number, length: number): boolean {
  return a < b + length && b < a + length;
}
