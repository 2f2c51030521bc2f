/**
 * The numbers of the registers in BAR0: offsets, bits, codes, and what a device's shape decides of them.
 *
 * What an access does is in register-map.ts. Source: specification (see docs/dsa.md), 9.2.
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

/** Offsets in an entry of GRPCFG. */
export const GroupField = { WQS: 0, ENGINES: 32, FLAGS: 40 } as const;

/** Bits of `GroupField.FLAGS`: traffic classes, use of the global limit, and read buffers. */
export const GroupFlag = {
  RESERVED_BUFFERS: 0x0000ff00,
  ALLOWED_BUFFERS: 0x0ff00000,
  WRITABLE: 0x0ff0ffbf,
} as const;
/**
 * Read buffers of all engines together, as real hardware of version 1.0 has them (GRPCAP). Nothing waits for
 * one here: how they are shared out is stored and checked.
 */
export const READ_BUFFERS = 96;

/** Offsets in an entry of WQCFG. */
export const WqField = { SIZE: 0, THRESHOLD: 4, MODE: 8, LIMITS: 12, STATE: 24, OPERATIONS: 32 } as const;

/** Bits of `WqField.MODE`. */
export const WqMode = {
  DEDICATED: 0x1,
  BLOCK_ON_FAULT: 0x2,
  LOWEST_PRIORITY: 0x10,
  PASID: 0x0fffff00,
  PASID_ENABLE: 0x10000000,
  PRIVILEGED: 0x20000000,
  /** Whose memory is meant: PASID, PASID enable, privileged. */
  IDENTITY: 0x3fffff00,
  WRITABLE: 0x3ffffff3,
} as const;

export const MsixPermission = { IGNORE: 0x4, PASID_ENABLE: 0x8, WRITABLE: 0xfffff00c } as const;

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
  GROUP_BUFFERS: 0x18,
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
  /** log2 of the largest transfer, in bytes, and of the largest batch, in descriptors. */
  readonly maxTransferShift: number;
  readonly maxBatchShift: number;
  /** MSI-X vectors; vector 0 is for errors and commands. */
  readonly vectors: number;
  readonly configurable: boolean;
  readonly sharedMode: boolean;
  readonly dedicatedMode: boolean;
  /** OPCAP bits 52:0: the bit 2^opcode for each opcode. */
  readonly operations: number;
}

/** How a device comes out of reset. */
export interface Preset {
  /** Work queues and groups are configured, after a software reset too. */
  readonly configured: boolean;
  /**
   * After power-on, device and shared work queues (and dedicated ones that need no PASID) are enabled as
   * well.
   */
  readonly enabled: boolean;
  readonly shared: boolean;
  /** A dedicated work queue waits for its program to write a PASID before it is enabled. */
  readonly awaitsPasid: boolean;
  /** A descriptor may come in eight accesses to its portal. */
  readonly splitPortals: boolean;
}
