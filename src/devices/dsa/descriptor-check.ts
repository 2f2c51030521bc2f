/**
 * What makes a descriptor acceptable to an engine: the rules of its operation (descriptor-rules.ts), what
 * must hold between its operands, and the order in which all that is asked.
 *
 * A descriptor that passes can be executed without further doubts; one that does not ends with the status
 * code of the first rule that it breaks, and no memory has been touched for it. Specification (see
 * docs/dsa.md), 5.4 and 5.5; it leaves the order to the device.
 */
import { RECORD_SIZE } from './completion.js';
import { DELTA_SIZE, DELTA_TRANSFER_LIMIT, UNIT } from './delta-record.js';
import { type Descriptor, Flag, Opcode, Status } from './descriptor.js';
import { copySeedInMemory, generationSeedInMemory, type Rule, rules } from './descriptor-rules.js';
import { destinationBlock, isDif, sourceBlock } from './dif.js';

/** What the work queue that a descriptor came through allows. Fixed while the work queue is enabled. */
export interface WqLimits {
  readonly shared: boolean;
  readonly blockOnFault: boolean;
  /** Completion interrupts may be requested. */
  readonly interrupts: boolean;
  /** Allowed opcodes, the bit 2^opcode for each (WQCFG operation configuration). */
  readonly operations: number;
  /** Bytes, and descriptors. */
  readonly maxTransfer: number;
  readonly maxBatch: number;
}

const RECORD = Flag.COMPLETION_ADDRESS_VALID | Flag.REQUEST_COMPLETION;
/** A drain must have one of them: without, nobody would learn that it has ended. */
const NOTIFICATION = Flag.REQUEST_COMPLETION | Flag.REQUEST_INTERRUPT;

/** Reserved bits of the first word, which only counts in what is submitted to a shared work queue. */
const TRUSTED_RESERVED = 0x7ff00000;

const SMALLEST_DELTA_RECORD = 80;

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
  if (rule === undefined || Math.floor(limits.operations / 2 ** d.opcode) % 2 === 0)
    return Status.UNSUPPORTED_OPCODE;
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
  if (d.opcode === Opcode.CREATE_DELTA) return checkCreate(d, limits);
  if (d.opcode === Opcode.APPLY_DELTA) return checkApply(d, limits);
  if (isDif(d)) return checkDif(d);
  if (d.opcode === Opcode.DUALCAST) return checkDualcast(d);
  if (isCrc(d) && d.has(Flag.CRC_READ_SEED) && d.word(48) % 4 !== 0) return Status.ADDRESS_ALIGNMENT;
  if (d.opcode === Opcode.COPY_CRC && overlap(d.source, d.size, d.destination, d.size)) return Status.OVERLAP;
  return Status.SUCCESS;
}

function checkDualcast(d: Descriptor): number {
  const second = d.address(40);
  if (((d.words[6]! ^ d.words[10]!) & 0xfff) !== 0) return Status.DUALCAST_ALIGNMENT;
  const overlaps =
    overlap(d.source, d.size, d.destination, d.size) ||
    overlap(d.source, d.size, second, d.size) ||
    overlap(d.destination, d.size, second, d.size);
  return overlaps ? Status.OVERLAP : Status.SUCCESS;
}

function checkCreate(d: Descriptor, limits: WqLimits): number {
  const record = d.address(40);
  const room = d.word(48);
  if (!isDeltaTransfer(d)) return Status.TRANSFER_SIZE;
  if (room < SMALLEST_DELTA_RECORD || room > limits.maxTransfer) return Status.DELTA_RECORD_SIZE;
  if (!inUnits(d.source) || !inUnits(d.destination) || !inUnits(record)) return Status.ADDRESS_ALIGNMENT;
  const overlaps = overlap(record, room, d.source, d.size) || overlap(record, room, d.destination, d.size);
  return overlaps ? Status.OVERLAP : Status.SUCCESS;
}

function checkApply(d: Descriptor, limits: WqLimits): number {
  const size = d.word(40);
  if (!isDeltaTransfer(d)) return Status.TRANSFER_SIZE;
  if (size === 0 || size % DELTA_SIZE !== 0 || size > limits.maxTransfer) return Status.DELTA_RECORD_SIZE;
  if (!inUnits(d.source) || !inUnits(d.destination)) return Status.ADDRESS_ALIGNMENT;
  return overlap(d.source, size, d.destination, d.size) ? Status.OVERLAP : Status.SUCCESS;
}

function isDeltaTransfer(d: Descriptor): boolean {
  return inUnits(d.size) && d.size <= DELTA_TRANSFER_LIMIT;
}

function inUnits(value: number): boolean {
  return value % UNIT === 0;
}

function checkDif(d: Descriptor): number {
  const block = sourceBlock(d);
  if (d.size % block !== 0) return Status.TRANSFER_SIZE;
  if (d.opcode === Opcode.DIF_CHECK) return Status.SUCCESS;
  const written = (d.size / block) * destinationBlock(d);
  return overlap(d.source, d.size, d.destination, written) ? Status.OVERLAP : Status.SUCCESS;
}

function overlap(a: number, sizeOfA: number, b: number, sizeOfB: number): boolean {
  return a < b + sizeOfB && b < a + sizeOfA;
}
