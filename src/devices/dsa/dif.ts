/**
 * Data integrity fields: 8 bytes behind each block of data, with a guard (a CRC), an application tag and a
 * reference tag, big-endian. What a descriptor asks for block `index` of its source is a function of both
 * alone, so that an operation needs no state but how many blocks are done.
 *
 * Fields, flags and results: specification (see docs/dsa.md), 8.3.
 */
import { crc16T10 } from './crc16-t10.js';
import { type Descriptor, Opcode } from './descriptor.js';

export const DIF_SIZE = 8;
const DATA_SIZES = [512, 520, 4096, 4104] as const;

/** Byte 42 of a descriptor; bits 1:0 choose the size of a block, bits 7:4 are reserved. */
export const DifFlag = { INVERT_SEED: 0x04, INVERT_RESULT: 0x08, RESERVED: 0xf0 } as const;

/** Byte 40: what is checked in the source. A tag of only ones can mean that nothing is ("F detect"). */
export const SourceFlag = {
  ALL_F_ERROR: 0x01,
  ALL_F: 0x02,
  APPLICATION_F: 0x04,
  BOTH_TAGS_F: 0x08,
  APPLICATION_INCREMENTS: 0x10,
  GUARD_UNCHECKED: 0x20,
  REFERENCE_UNCHECKED: 0x40,
  REFERENCE_FIXED: 0x80,
} as const;

/** Byte 41: what is written to the destination. What passes through is that of the source (update only). */
export const DestinationFlag = {
  RESERVED: 0x07,
  APPLICATION_PASSES: 0x08,
  APPLICATION_INCREMENTS: 0x10,
  GUARD_PASSES: 0x20,
  REFERENCE_PASSES: 0x40,
  REFERENCE_FIXED: 0x80,
} as const;

/** The bits of Result when a check ends with status 0x09. */
export const DifResult = { GUARD: 1, APPLICATION: 2, REFERENCE: 4, ALL_F: 8 } as const;

/**
 * Where a descriptor has the seeds of a side: the reference tag, the mask of the application tag (ones are
 * bits that do not count), the application tag. A completion record has them 32 bytes before.
 */
const SOURCE_TAGS = 48;
const DESTINATION_TAGS = 56;
const RECORD_DISTANCE = 32;

export function isDif({ opcode }: Descriptor): boolean {
  return opcode >= Opcode.DIF_CHECK && opcode <= Opcode.DIF_UPDATE;
}

function readsDif({ opcode }: Descriptor): boolean {
  return opcode !== Opcode.DIF_INSERT;
}

function writesDif({ opcode }: Descriptor): boolean {
  return opcode === Opcode.DIF_INSERT || opcode === Opcode.DIF_UPDATE;
}

/** Bytes of data of a block. */
function dataSize(d: Descriptor): number {
  return DATA_SIZES[d.bytes[42]! & 3]!;
}

/** Bytes of a block in the source. */
export function sourceBlock(d: Descriptor): number {
  return dataSize(d) + (readsDif(d) ? DIF_SIZE : 0);
}

/** Bytes of a block in the destination, if there is one. */
export function destinationBlock(d: Descriptor): number {
  return dataSize(d) + (writesDif(d) ? DIF_SIZE : 0);
}

/** What is wrong with the block at bytes[at], the `index`th of the source of `d`: bits of DifResult. */
export function checkBlock(d: Descriptor, index: number, bytes: Uint8Array, at: number): number {
  if (!readsDif(d)) return 0;
  const dif = at + dataSize(d);
  const flags = d.bytes[40]!;
  const application = half(bytes, dif + 2);
  const reference = word(bytes, dif + 4);
  const bothTagsF = application === 0xffff && reference === 0xffffffff;
  if ((flags & SourceFlag.ALL_F) !== 0 && bothTagsF && half(bytes, dif) === 0xffff)
    return (flags & SourceFlag.ALL_F_ERROR) === 0 ? 0 : DifResult.ALL_F;
  if ((flags & SourceFlag.APPLICATION_F) !== 0 && application === 0xffff) return 0;
  if ((flags & SourceFlag.BOTH_TAGS_F) !== 0 && bothTagsF) return 0;
  let result = 0;
  if ((flags & SourceFlag.GUARD_UNCHECKED) === 0 && half(bytes, dif) !== guardOf(d, bytes, at))
    result |= DifResult.GUARD;
  if (((application ^ sourceApplication(d, index)) & ~d.half(SOURCE_TAGS + 4)) !== 0)
    result |= DifResult.APPLICATION;
  if ((flags & SourceFlag.REFERENCE_UNCHECKED) === 0 && reference !== sourceReference(d, index))
    result |= DifResult.REFERENCE;
  return result;
}

/**
 * The destination's block for the source's `index`th at source[from]: into target[to..to+destinationBlock).
 */
export function makeBlock(
  d: Descriptor,
  index: number,
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
): void {
  const data = dataSize(d);
  target.set(source.subarray(from, from + sourceBlock(d)).subarray(0, destinationBlock(d)), to);
  if (!writesDif(d)) return;
  const passes = d.opcode === Opcode.DIF_UPDATE ? d.bytes[41]! : 0;
  const dif = to + data;
  if ((passes & DestinationFlag.GUARD_PASSES) === 0) putHalf(target, dif, guardOf(d, source, from));
  if ((passes & DestinationFlag.APPLICATION_PASSES) === 0)
    putHalf(target, dif + 2, destinationApplication(d, index) & ~d.half(DESTINATION_TAGS + 4));
  if ((passes & DestinationFlag.REFERENCE_PASSES) === 0) {
    const reference = destinationReference(d, index);
    putHalf(target, dif + 4, reference >>> 16);
    putHalf(target, dif + 6, reference);
  }
}

/**
 * Puts the seeds of what remains after `blocks` into a completion record: with them another descriptor goes
 * on.
 */
export function putTags(d: Descriptor, blocks: number, record: DataView): void {
  if (readsDif(d)) putSeeds(record, d, SOURCE_TAGS, sourceReference(d, blocks), sourceApplication(d, blocks));
  if (writesDif(d))
    putSeeds(record, d, DESTINATION_TAGS, destinationReference(d, blocks), destinationApplication(d, blocks));
}

function putSeeds(
  record: DataView,
  d: Descriptor,
  tags: number,
  reference: number,
  application: number,
): void {
  const at = tags - RECORD_DISTANCE;
  record.setUint32(at, reference, true);
  record.setUint16(at + 4, d.half(tags + 4), true);
  record.setUint16(at + 6, application, true);
}

/** The guard of the data at bytes[at]. */
function guardOf(d: Descriptor, bytes: Uint8Array, at: number): number {
  const flags = d.bytes[42]!;
  const seed = (flags & DifFlag.INVERT_SEED) === 0 ? 0 : 0xffff;
  const crc = crc16T10(seed, bytes, at, at + dataSize(d));
  return (flags & DifFlag.INVERT_RESULT) === 0 ? crc : crc ^ 0xffff;
}

function sourceReference(d: Descriptor, index: number): number {
  const fixed = (d.bytes[40]! & SourceFlag.REFERENCE_FIXED) !== 0;
  return (d.word(SOURCE_TAGS) + (fixed ? 0 : index)) >>> 0;
}

function sourceApplication(d: Descriptor, index: number): number {
  const increments = (d.bytes[40]! & SourceFlag.APPLICATION_INCREMENTS) !== 0;
  return (d.half(SOURCE_TAGS + 6) + (increments ? index : 0)) & 0xffff;
}

function destinationReference(d: Descriptor, index: number): number {
  const fixed = (d.bytes[41]! & DestinationFlag.REFERENCE_FIXED) !== 0;
  return (d.word(DESTINATION_TAGS) + (fixed ? 0 : index)) >>> 0;
}

function destinationApplication(d: Descriptor, index: number): number {
  const increments = (d.bytes[41]! & DestinationFlag.APPLICATION_INCREMENTS) !== 0;
  return (d.half(DESTINATION_TAGS + 6) + (increments ? index : 0)) & 0xffff;
}

function half(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function word(bytes: Uint8Array, at: number): number {
  return half(bytes, at) * 2 ** 16 + half(bytes, at + 2);
}

function putHalf(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}
