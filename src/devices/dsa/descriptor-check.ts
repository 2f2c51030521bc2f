/**
 * What makes a descriptor acceptable to an engine: one row of rules for each operation, and the order in
 * which they are applied.
 *
 * A descriptor that passes can be executed without further doubts; one that does not ends with the status
 * code of the first rule that it breaks, and no memory has been touched for it. Specification (see
 * docs/dsa.md), 5.4 and 5.5; it leaves the order to the device.
 */
import { RECORD_SIZE } from './completion.js';
import { type Descriptor, Flag, Opcode, Status } from './descriptor.js';

/** What the work queue that a descriptor came through allows. Fixed while the work queue is enabled. */
export interface WqLimits {
  readonly shared: boolean;
  readonly blockOnFault: boolean;
  /** Completion interrupts may be requested. */
  readonly interrupts: boolean;
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
  Flag.COMPLETION_TC |
  Flag.FENCE;
const WRITES = Flag.CACHE_CONTROL | Flag.STRICT_ORDERING;
const CRC = Flag.CRC_READ_SEED | Flag.CRC_BYPASS_INVERSION | Flag.CRC_BYPASS_DATA_REFLECTION;
const RECORD = Flag.COMPLETION_ADDRESS_VALID | Flag.REQUEST_COMPLETION;
/** A drain must have one of them: without, nobody would learn that it has ended. */
const NOTIFICATION = Flag.REQUEST_COMPLETION | Flag.REQUEST_INTERRUPT;

/** Reserved bits of the first word, which only counts in what is submitted to a shared work queue. */
const TRUSTED_RESERVED = 0x7ff00000;

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
const generationSeedInMemory = reservedBytes([24, 32], ...SEED_IN_MEMORY);
const copySeedInMemory = reservedBytes(...SEED_IN_MEMORY);

const rules: (Rule | undefined)[] = [];
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

/** OPCAP: the opcodes that have rules. */
export const SUPPORTED_OPERATIONS = rules.reduce(
  (mask, rule, opcode) => (rule === undefined ? mask : mask + 2 ** opcode),
  0,
);

/**
 * The flags of `d` that it must not have, or lacks; 0 when there are none. What the completion record shows
 * as Invalid Flags.
 */
export function invalidFlags(d: Descriptor, limits: WqLimits, inBatch: boolean): number {
  const rule = rules[d.opcode];
  if (rule === undefined) return 0;
  let allowed = rule.flags;
  if (!inBatch) allowed &= ~Flag.FENCE;
  if (!limits.blockOnFault) allowed &= ~Flag.BLOCK_ON_FAULT;
  if (!limits.interrupts) allowed &= ~Flag.REQUEST_INTERRUPT;
  // What is about a completion record needs an address for one, and what is about the seed's memory a seed
  // there.
  if (!d.has(Flag.COMPLETION_ADDRESS_VALID)) allowed &= ~(Flag.REQUEST_COMPLETION | Flag.COMPLETION_TC);
  if (isCrc(d) && !d.has(Flag.CRC_READ_SEED)) allowed &= ~Flag.ADDRESS3_TC;
  let invalid = d.flags & ~allowed;
  if (rule.needsRecord) invalid |= ~d.flags & RECORD;
  if (d.opcode === Opcode.DRAIN && !d.has(NOTIFICATION)) invalid |= NOTIFICATION;
  return invalid;
}

/**
 * Checks `d`; inside a batch a fence is allowed, a batch and a drain are not.
 * @returns SUCCESS, or the status that it ends with. The interrupt handle is left to the device, which knows
 * its vectors.
 */
export function checkDescriptor(d: Descriptor, limits: WqLimits, inBatch: boolean): number {
  if (d.has(Flag.COMPLETION_ADDRESS_VALID) && d.completionAddress % RECORD_SIZE !== 0)
    return Status.COMPLETION_ALIGNMENT;
  const rule = rules[d.opcode];
  if (rule === undefined || (limits.operations & (1 << d.opcode)) === 0) return Status.UNSUPPORTED_OPCODE;
  if (inBatch && (d.opcode === Opcode.BATCH || d.opcode === Opcode.DRAIN)) return Status.UNSUPPORTED_OPCODE;
  if (invalidFlags(d, limits, inBatch) !== 0) return Status.INVALID_FLAGS;
  const trusted = limits.shared && !inBatch;
  if (hasReservedBits(d, rule, trusted)) return Status.RESERVED_NOT_ZERO;
  if (trusted && d.privileged) return Status.PRIVILEGE;
  return checkOperands(d, limits);
}

function isCrc(d: Descriptor): boolean {
  return d.opcode === Opcode.CRC_GENERATION || d.opcode === Opcode.COPY_CRC;
}

/** @param trusted the first word is not to be ignored */
function hasReservedBits(d: Descriptor, rule: Rule, trusted: boolean): boolean {
  if (trusted && (d.words[0]! & TRUSTED_RESERVED) !== 0) return true;
  if (!d.has(Flag.COMPLETION_ADDRESS_VALID) && d.completionAddress !== 0) return true;
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
  if (isCrc(d) && d.has(Flag.CRC_READ_SEED) && d.word(48) % 4 !== 0) return Status.ADDRESS_ALIGNMENT;
  if (d.opcode === Opcode.COPY_CRC && overlap(d.source, d.destination, d.size)) return Status.OVERLAP;
  return Status.SUCCESS;
}

function checkDualcast(d: Descriptor): number {
  const second = d.address(40);
  if (((d.words[6]! ^ d.words[10]!) & 0xfff) !== 0) return Status.DUALCAST_ALIGNMENT;
  const overlaps =
    overlap(d.source, d.destination, d.size) ||
    overlap(d.source, second, d.size) ||
    overlap(d.destination, second, d.size);
  return overlaps ? Status.OVERLAP : Status.SUCCESS;
}

function overlap(a: number, b: number, length: number): boolean {
  return a < b + length && b < a + length;
}
