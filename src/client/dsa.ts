/**
 * DsaQueue: a work queue of a DSA device, driven by the program that has the device file open.
 *
 * Descriptors are the 64 bytes of `struct dsa_hw_desc` and completion records the 32 of `struct
 * dsa_completion_record` in <linux/idxd.h>. A descriptor is written to the queue's portal as ENQCMD and
 * MOVDIR64B do it, in one piece.
 */
import { Flag } from '../devices/dsa/descriptor.js';
import { CompletionStruct, DescriptorStruct } from '../uapi/idxd.js';
import type { VfioDeviceFile } from './vfio-device.js';

/** "The completion record address is valid" and "a completion record is wanted". */
const COMPLETES = Flag.COMPLETION_ADDRESS_VALID | Flag.REQUEST_COMPLETION;
export const COMPLETION_BYTES = CompletionStruct.size;
const PORTAL_BAR = 2;

/** One descriptor. Addresses are IOVAs in the address space of `pasid`. */
export interface DsaDescriptor {
  /** Opcode (devices/dsa/descriptor.ts). */
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
  /** Further flags: Flag (devices/dsa/descriptor.ts). */
  readonly flags?: number;
}

/** A completion record. */
export interface DsaCompletion {
  /** Status (devices/dsa/descriptor.ts). */
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
    flags: ((opcode << 24) | COMPLETES | flags) >>> 0,
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
