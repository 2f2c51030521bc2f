/**
 * The register map of BAR0, and the image of it that programs read.
 *
 * Every readable bit lives in one byte image, little-endian, so a read of any size at any offset is a copy.
 * Writes arrive as whole 32-bit registers with a mask of the bytes really written; what a write does is
 * decided in `dsa.ts`. Source: specification (see docs/dsa.md), 9.2.
 */
export const Register = {
  VERSION: 0x00,
  GENCAP: 0x10,
  WQCAP: 0x20,
  GRPCAP: 0x30,
  ENGCAP: 0x38,
  OPCAP: 0x40,
  TABLE_OFFSET: 0x60,
  GENCFG: 0x80,
  GENCTRL: 0x88,
  GENSTS: 0x90,
  INTCAUSE: 0x98,
  CMD: 0xa0,
  CMDSTS: 0xa8,
  CMDCAP: 0xb0,
  SWERR: 0xc0,
  /** The tables: programs find them through TABLE_OFFSET, in units of 0x100 bytes. */
  GRPCFG: 0x400,
  WQCFG: 0x800,
  MSIXPERM: 0x1800,
  END: 0x2000,
} as const;

export const BAR0_SIZE = 0x10000;
export const MSIX_TABLE_OFFSET = 0x2000;
export const MSIX_PBA_OFFSET = 0x3000;
export const TABLE_UNIT = 0x100;

/** Bytes of one entry of the tables. */
export const GRPCFG_STRIDE = 64;
export const WQCFG_STRIDE = 64;
export const MSIXPERM_STRIDE = 8;

/** Four portals of a page for each work queue, in BAR2. */
export const PORTAL_SIZE = 0x1000;
export const PORTALS_PER_WQ = 4;
/** Bits of a portal's number: 1 limited, 2 interrupt handles name IMS entries instead of MSI-X vectors. */
export const PORTAL_LIMITED = 1;
export const PORTAL_IMS = 2;

export const DeviceState = { DISABLED: 0, ENABLED: 1, DRAINING: 2, HALTED: 3 } as const;
export const WqState = { DISABLED: 0, ENABLED: 1, BUSY: 2 } as const;
export const InterruptCause = { SOFTWARE_ERROR: 1, COMMAND: 2 } as const;
/** GENCFG bits: the limit of read buffers, and that descriptors of user mode may ask for interrupts. */
export const GENCFG_WRITABLE = 0x10ff;
export const GENCFG_USER_INTERRUPTS = 0x1000;
/** GENCTRL bit: interrupt on a software error. */
export const GENCTRL_SOFTWARE_ERROR = 1;
export const CMDSTS_ACTIVE = 0x80000000;

export const Command = {
  ENABLE_DEVICE: 1,
  DISABLE_DEVICE: 2,
  DRAIN_ALL: 3,
  ABORT_ALL: 4,
  RESET_DEVICE: 5,
  ENABLE_WQ: 6,
  DISABLE_WQ: 7,
  DRAIN_WQ: 8,
  ABORT_WQ: 9,
  RESET_WQ: 10,
  DRAIN_PASID: 11,
  ABORT_PASID: 12,
} as const;
/** CMDCAP: one bit for each command above. */
export const SUPPORTED_COMMANDS = 0x1ffe;

/** CMDSTS bits 7:0. */
export const CommandStatus = {
  SUCCESS: 0x00,
  INVALID_COMMAND: 0x01,
  INVALID_WQ: 0x02,
  RESERVED_NOT_ZERO: 0x04,
  DEVICE_NOT_DISABLED: 0x10,
  WQ_SIZES_OUT_OF_RANGE: 0x14,
  GROUP_INCOMPLETE: 0x15,
  GROUP_WQS: 0x16,
  GROUP_ENGINES: 0x17,
  DEVICE_NOT_ENABLED: 0x20,
  WQ_NOT_DISABLED: 0x21,
  WQ_SIZE: 0x22,
  WQ_PRIORITY: 0x23,
  WQ_PASID: 0x26,
  WQ_MAX_BATCH: 0x27,
  WQ_MAX_TRANSFER: 0x28,
  WQ_PRIVILEGED: 0x2a,
  DISABLE_NOT_ENABLED: 0x31,
  WQ_NOT_ENABLED: 0x32,
} as const;

/** log2 of the largest transfer (2 GiB) and of the largest batch (1024 descriptors) of the device. */
export const MAX_TRANSFER_SHIFT = 31;
export const MAX_BATCH_SHIFT = 10;

/**
 * How many of everything a device has, and whether its program may configure it (GENCAP.Configuration
 * Support).
 */
export interface Shape {
  readonly wqs: number;
  readonly engines: number;
  readonly groups: number;
  /** Descriptors of all work queues together. */
  readonly totalSize: number;
  /** MSI-X vectors; vector 0 is for errors and commands. */
  readonly vectors: number;
  readonly configurable: boolean;
  readonly sharedMode: boolean;
  readonly dedicatedMode: boolean;
  /** OPCAP bits 31:0: one bit for each opcode. */
  readonly operations: number;
}

/** The byte image of BAR0 up to `Register.END`. */
export class RegisterImage {
  readonly #bytes = new Uint8Array(Register.END);
  readonly #view = new DataView(this.#bytes.buffer);

  /** The register at `offset`, a multiple of 4, unsigned. */
  get(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  set(offset: number, value: number): void {
    this.#view.setUint32(offset, value, true);
  }

  clear(from: number, to: number): void {
    this.#bytes.fill(0, from, to);
  }

  /** Fills `target` from byte `offset` on; what lies outside the image reads as zeros. */
  read(offset: number, target: Uint8Array): void {
    target.fill(0);
    if (offset < 0 || offset >= Register.END) return;
    const length = Math.min(target.length, Register.END - offset);
    for (let i = 0; i < length; i++) target[i] = this.#bytes[offset + i]!;
  }
}

/** Writes the read-only capability registers of a device of this `shape`. */
export function describeShape(image: RegisterImage, shape: Shape): void {
  // Version 1.0. GENCAP: block on fault, overlapping copy, both kinds of cache control, the command
  // capabilities register.
  image.set(Register.VERSION, 0x100);
  image.set(
    Register.GENCAP,
    0x1f + MAX_TRANSFER_SHIFT * 2 ** 16 + MAX_BATCH_SHIFT * 2 ** 21 + (shape.configurable ? 2 ** 31 : 0),
  );
  // WQCFG entries of 64 bytes; priority and operation configuration per work queue.
  image.set(Register.WQCAP, shape.totalSize + shape.wqs * 2 ** 16 + 2 ** 24);
  image.set(
    Register.WQCAP + 4,
    (shape.sharedMode ? 2 ** 16 : 0) + (shape.dedicatedMode ? 2 ** 17 : 0) + 2 ** 19 + 2 ** 22,
  );
  image.set(Register.GRPCAP, shape.groups);
  image.set(Register.ENGCAP, shape.engines);
  image.set(Register.OPCAP, shape.operations);
  image.set(Register.TABLE_OFFSET, Register.GRPCFG / TABLE_UNIT + (Register.WQCFG / TABLE_UNIT) * 2 ** 16);
  image.set(Register.TABLE_OFFSET + 4, Register.MSIXPERM / TABLE_UNIT);
  image.set(Register.CMDCAP, SUPPORTED_COMMANDS);
}
