/**
 * DsaQueue: a work queue of a DSA device, driven by the program that has the device file open.
 *
 * Descriptors are the 64 bytes of `struct dsa_hw_desc` and completion records the 32 of `struct
 * dsa_completion_record` in <linux/idxd.h>. A descriptor is written to the queue's portal as ENQCMD and
 * MOVDIR64B do it, in one piece.
 */
import { CompletionStruct, DescriptorStruct } from '../uapi/idxd.js';
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
export const COMPLETION_BYTES = CompletionStruct.size;
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
  const { opcode, pasid, completion, pattern, source = 0, destination = 0, size = 0, flags = 0 } = descriptor;
  return DescriptorStruct.encode({
    pasid,
    flags: ((opcode << 24) | FLAG_CRAV_RCR | flags) >>> 0,
    completion_addr: completion,
    src_addr: pattern === undefined ? source : (BigInt(pattern[1]) << 32n) | BigInt(pattern[0]),
    dst_addr: destination,
    xfer_size: size,
  });
}

/** What a completion record says. */
export function decodeCompletion(bytes: Uint8Array): DsaCompletion {
  const { status, result, bytes_completed, fault_addr } = CompletionStruct.decode(bytes);
  return { status, result, bytesCompleted: bytes_completed, faultAddress: Number(fault_addr) };
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
