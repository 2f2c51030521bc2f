/**
 * DsaQueue: a work queue of a DSA device, driven by the program that has the device file open.
 *
 * Descriptors are the 64 bytes of `struct dsa_hw_desc` and completion records the 32 of `struct
 * dsa_completion_record` in <linux/idxd.h>. A descriptor is written to the queue's portal as ENQCMD and
 * MOVDIR64B do it, in one piece.
 */
import { getU32, getU64, setU32, setU64 } from '../uapi/struct.js';
import type { VfioDeviceFile } from './vfio-device.js';

/** Operation codes (enum dsa_opcode). */
export const DSA_OPCODE = {
  noop: 0x00,
  batch: 0x01,
  drain: 0x02,
  memmove: 0x03,
  fill: 0x04,
  compare: 0x05,
  comparePattern: 0x06,
  dualcast: 0x09,
  crc: 0x10,
} as const;

/** Status codes (enum dsa_completion_status); bit 7 says that the fault was a write. */
export const DSA_STATUS = {
  none: 0,
  success: 1,
  pageFault: 3,
  pageFaultUnresolved: 4,
  badOpcode: 0x10,
} as const;

/** IDXD_OP_FLAG_BOF: ask for pages that are not there, and wait. */
export const DSA_FLAG_BLOCK_ON_FAULT = 2;

/** "The completion record address is valid" and "a completion record is wanted". */
const FLAG_CRAV_RCR = 0x0c;
const DESCRIPTOR_BYTES = 64;
export const COMPLETION_BYTES = 32;
const PORTAL_BAR = 2;

/** One descriptor. Addresses are IOVAs in the address space of `pasid`. */
export interface DsaDescriptor {
  readonly opcode: number;
  /** As the device knows it: an mdev's vpasid. */
  readonly pasid: number;
  /** IOVA of the completion record, a multiple of 32. */
  readonly completion: number;
  readonly source?: number;
  readonly destination?: number;
  /** The 8 bytes of a fill or compare, as two halves of 32 bits; instead of `source`. */
  readonly pattern?: readonly [low: number, high: number];
  /** Bytes, or descriptors of a batch. */
  readonly size?: number;
  /** Further flags (IDXD_OP_FLAG_*). */
  readonly flags?: number;
}

export interface DsaCompletion {
  readonly status: number;
  readonly result: number;
  readonly bytesCompleted: number;
  readonly faultAddress: number;
}

/** The 64 bytes of a descriptor. */
export function encodeDescriptor(descriptor: DsaDescriptor): Uint8Array {
  const bytes = new Uint8Array(DESCRIPTOR_BYTES);
  setU32(bytes, 0, descriptor.pasid);
  setU32(bytes, 4, ((descriptor.opcode << 24) | FLAG_CRAV_RCR | (descriptor.flags ?? 0)) >>> 0);
  setU64(bytes, 8, descriptor.completion);
  setU64(bytes, 16, descriptor.source ?? 0);
  if (descriptor.pattern !== undefined) {
    setU32(bytes, 16, descriptor.pattern[0]);
    setU32(bytes, 20, descriptor.pattern[1]);
  }
  setU64(bytes, 24, descriptor.destination ?? 0);
  setU32(bytes, 32, descriptor.size ?? 0);
  return bytes;
}

/** What a completion record says. */
export function decodeCompletion(bytes: Uint8Array): DsaCompletion {
  return {
    status: bytes[0]!,
    result: bytes[1]!,
    bytesCompleted: getU32(bytes, 4),
    faultAddress: getU64(bytes, 8),
  };
}

export class DsaQueue {
  readonly #device: VfioDeviceFile;
  readonly #portal: number;

  /** @param portal offset in BAR 2: 4 pages for each work queue. */
  constructor(device: VfioDeviceFile, portal = 0) {
    this.#device = device;
    this.#portal = portal;
  }

  /** @throws Refusal EAGAIN when a shared queue is full: submit again. */
  submit(descriptor: DsaDescriptor): void {
    this.#device.write(PORTAL_BAR, this.#portal, encodeDescriptor(descriptor));
  }
}
