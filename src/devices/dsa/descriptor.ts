/**
 * The 64-byte descriptor, its opcodes, flags and status codes.
 *
 * A Descriptor owns a 64-byte buffer and the fields parsed out of it. It is loaded once, from a copy that the
 * submitter can no longer reach; all checks and the execution use that same copy. Byte offsets and codes:
 * specification (see docs/dsa.md), 8.1 and 5.8.1.
 */
export const DESCRIPTOR_SIZE = 64;

/** The operations of version 1.0 (8.3): all that there are. */
export const Opcode = {
  NOOP: 0x00,
  /** `size` descriptors, which lie at `source`. */
  BATCH: 0x01,
  /** Waits for what its work queue was given before. */
  DRAIN: 0x02,
  MEMMOVE: 0x03,
  /** With a pattern of 8 bytes. */
  FILL: 0x04,
  /** Of two ranges; the result says whether they differ, and the bytes completed where. */
  COMPARE: 0x05,
  /** Of a range with a pattern of 8 bytes. */
  COMPARE_PATTERN: 0x06,
  /** What differs between two ranges, as a list. */
  CREATE_DELTA: 0x07,
  /** Makes what such a list says of a range. */
  APPLY_DELTA: 0x08,
  /** Moves to two places. */
  DUALCAST: 0x09,
  /** CRC-32C. */
  CRC_GENERATION: 0x10,
  /** Moves, with the CRC of what was moved. */
  COPY_CRC: 0x11,
  /** Data integrity fields (T10), one behind each block. */
  DIF_CHECK: 0x12,
  DIF_INSERT: 0x13,
  DIF_STRIP: 0x14,
  DIF_UPDATE: 0x15,
  CACHE_FLUSH: 0x20,
} as const;

/** Bits 23:0 of the word that has the opcode above them (8.1). */
export const Flag = {
  FENCE: 0x0001,
  BLOCK_ON_FAULT: 0x0002,
  COMPLETION_ADDRESS_VALID: 0x0004,
  REQUEST_COMPLETION: 0x0008,
  REQUEST_INTERRUPT: 0x0010,
  CHECK_RESULT: 0x0080,
  CACHE_CONTROL: 0x0100,
  ADDRESS1_TC: 0x0200,
  ADDRESS2_TC: 0x0400,
  ADDRESS3_TC: 0x0800,
  COMPLETION_TC: 0x1000,
  STRICT_ORDERING: 0x2000,
  DESTINATION_READBACK: 0x4000,
  /** Bits 23:16 mean something else in every operation. */
  DRAIN_SUPPRESS_READBACK: 0x0c0000,
  CRC_READ_SEED: 0x010000,
  CRC_BYPASS_INVERSION: 0x020000,
  CRC_BYPASS_DATA_REFLECTION: 0x040000,
} as const;

/** What a completion record says, bits 6:0 (5.8.1). */
export const Status = {
  NONE: 0x00,
  SUCCESS: 0x01,
  SUCCESS_FALSE_PREDICATE: 0x02,
  PAGE_FAULT: 0x03,
  PAGE_FAULT_UNRESOLVED: 0x04,
  BATCH_FAILED: 0x05,
  BATCH_PAGE_FAULT: 0x06,
  DELTA_ORDER: 0x07,
  DELTA_OFFSET: 0x08,
  DIF_ERROR: 0x09,
  UNSUPPORTED_OPCODE: 0x10,
  INVALID_FLAGS: 0x11,
  RESERVED_NOT_ZERO: 0x12,
  TRANSFER_SIZE: 0x13,
  DESCRIPTOR_COUNT: 0x14,
  DELTA_RECORD_SIZE: 0x15,
  OVERLAP: 0x16,
  DUALCAST_ALIGNMENT: 0x17,
  DESCRIPTOR_LIST_ALIGNMENT: 0x18,
  INTERRUPT_HANDLE: 0x19,
  COMPLETION_FAULT: 0x1a,
  COMPLETION_ALIGNMENT: 0x1b,
  ADDRESS_ALIGNMENT: 0x1c,
  PRIVILEGE: 0x1d,
  /** Bit 7 of a page fault: the access was a write. */
  WRITE_FAULT: 0x80,
} as const;

/**
 * One descriptor. The names `address1` to `address3` are the fields at bytes 16, 24 and 40 or 48, whatever an
 * operation keeps in them.
 */
export class Descriptor {
  readonly bytes = new Uint8Array(DESCRIPTOR_SIZE);
  /** The same bytes as sixteen 32-bit words (the host is little-endian, as the device is). */
  readonly words = new Int32Array(this.bytes.buffer);
  readonly #view = new DataView(this.bytes.buffer);

  pasid = 0;
  privileged = false;
  flags = 0;
  opcode = 0;
  completionAddress = 0;
  /** Source, or the list of a batch. A fill has its pattern there. */
  source = 0;
  /** Destination, or the second source of a compare. A pattern compare has its pattern there. */
  destination = 0;
  /** Bytes, or descriptors of a batch. */
  size = 0;
  interruptHandle = 0;

  /** Parses `bytes`. Call it after they change. */
  parse(): void {
    const first = this.#view.getUint32(0, true);
    this.pasid = first & 0xfffff;
    this.privileged = first >>> 31 === 1;
    this.flags = this.#view.getUint32(4, true) & 0xffffff;
    this.opcode = this.bytes[7]!;
    this.completionAddress = this.address(8);
    this.source = this.address(16);
    this.destination = this.address(24);
    this.size = this.#view.getUint32(32, true);
    this.interruptHandle = this.#view.getUint16(36, true);
  }

  /** The 64-bit field at byte `offset`, as a number: exact below 2^53, and nothing can be mapped above. */
  address(offset: number): number {
    return this.#view.getUint32(offset + 4, true) * 2 ** 32 + this.#view.getUint32(offset, true);
  }

  word(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  half(offset: number): number {
    return this.#view.getUint16(offset, true);
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }
}
