/**
 * The data structures of Identify (NVM Express Base 2.0 §5.17, NVM Command Set 1.0 §4.1.5), by offset. What
 * is not written is zero, and says that a thing is not there.
 */
import { EVENT_REQUESTS } from './async-events.js';
import { COMMAND_BYTES } from './command.js';
import { COMPLETION_BYTES } from './completion-queue.js';
import { MAX_TRANSFER_SHIFT } from './data-pointer.js';
import { ERROR_ENTRIES } from './error-log.js';
import { ABORTS } from './in-flight.js';
import type { Namespace } from './namespace.js';

export const IDENTIFY_BYTES = 4096;
export const VERSION = 0x0002_0000;
export const FIRMWARE = '1.0';
export const PCI_VENDOR = 0x1234;
/** Kelvin. */
const WARNING_TEMPERATURE = 343;
const CRITICAL_TEMPERATURE = 353;

/** What a controller is called. */
export interface Identity {
  /** Printable, up to 20 characters. */
  readonly serial: string;
  /** Of the subsystem: what no other has. */
  readonly qualifiedName: string;
}

/** A structure of 4 KiB, of zeros. */
function blank(): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  return { bytes, view: new DataView(bytes.buffer) };
}

/** ASCII, padded with spaces. */
function putText(bytes: Uint8Array, offset: number, length: number, text: string): void {
  bytes.fill(0x20, offset, offset + length);
  bytes.set(Buffer.from(text, 'ascii').subarray(0, length), offset);
}

/** CNS 01h: the controller (Figure "Identify Controller Data Structure"). */
export function identifyController({ serial, qualifiedName }: Identity, namespaces: number): Uint8Array {
  const { bytes, view } = blank();
  view.setUint16(0, PCI_VENDOR, true);
  view.setUint16(2, PCI_VENDOR, true);
  putText(bytes, 4, 20, serial);
  putText(bytes, 24, 40, 'ioasid NVMe');
  putText(bytes, 64, 8, FIRMWARE);
  view.setUint8(77, MAX_TRANSFER_SHIFT); // MDTS
  view.setUint16(78, 1, true); // CNTLID
  view.setUint32(80, VERSION, true);
  view.setUint8(111, 1); // CNTRLTYPE: I/O controller
  view.setUint16(256, 1 << 8, true); // OACS: doorbell buffers
  view.setUint8(258, ABORTS - 1); // ACL
  view.setUint8(259, EVENT_REQUESTS - 1); // AERL
  view.setUint8(260, (1 << 1) | 1); // FRMW: one slot, read-only
  view.setUint8(261, (1 << 1) | (1 << 2)); // LPA: effects, offsets and long lengths
  view.setUint8(262, ERROR_ENTRIES - 1); // ELPE
  view.setUint16(266, WARNING_TEMPERATURE, true);
  view.setUint16(268, CRITICAL_TEMPERATURE, true);
  const entries = (Math.log2(COMMAND_BYTES) << 4) | Math.log2(COMMAND_BYTES);
  view.setUint8(512, entries); // SQES
  view.setUint8(513, (Math.log2(COMPLETION_BYTES) << 4) | Math.log2(COMPLETION_BYTES)); // CQES
  view.setUint32(516, namespaces, true); // NN
  view.setUint16(520, 1 | (1 << 2) | (1 << 3) | (1 << 4), true); // ONCS: all but Write Uncorrectable, select
  view.setUint8(525, (3 << 1) | 1); // VWC: there, and flushes reach all namespaces
  view.setUint32(536, 1 | (1 << 16) | (1 << 18), true); // SGLS: of any alignment, bit buckets, excess length
  view.setUint32(540, namespaces, true); // MNAN
  bytes.set(Buffer.from(qualifiedName, 'utf8'), 768); // SUBNQN
  view.setUint16(2048, 900, true); // power state 0: hundredths of a watt
  return bytes;
}

/** CNS 00h: a namespace of the NVM command set. */
export function identifyNamespace({ size, block, disk }: Namespace): Uint8Array {
  const { bytes, view } = blank();
  for (const offset of [0, 8, 16]) view.setBigUint64(offset, BigInt(size), true); // NSZE, NCAP, NUSE
  view.setUint8(24, 1 << 4); // NSFEAT: what follows of granularities
  view.setUint8(33, 1 | (1 << 3)); // DLFEAT: what is deallocated reads as zeros, by write zeroes too
  view.setBigUint64(48, BigInt(disk.size), true); // NVMCAP
  // A page of the file is what is written and deallocated best: NPWG, NPWA, NPDG, NPDA, zero-based.
  for (const offset of [64, 66, 68, 70]) view.setUint16(offset, 4096 / block - 1, true);
  view.setUint8(99, disk.writable ? 0 : 1); // NSATTR: write protected
  view.setUint32(128, Math.log2(block) << 16, true); // LBAF0: no metadata
  return bytes;
}

/** CNS 08h: what all command sets have of a namespace. */
export function identifyIndependent({ disk }: Namespace): Uint8Array {
  const { bytes, view } = blank();
  view.setUint8(8, disk.writable ? 0 : 1); // NSATTR
  view.setUint8(14, 1); // NSTAT: ready
  return bytes;
}

/** CNS 03h: what a namespace is known by: a UUID, and its command set. */
export function identifyDescriptors({ uuid }: Namespace): Uint8Array {
  const { bytes } = blank();
  bytes.set([3, 16, 0, 0, ...uuid, 4, 1, 0, 0, 0]);
  return bytes;
}

/** CNS 02h and its like: a list of namespaces above `after`. */
export function identifyList(namespaces: readonly Namespace[], after: number): Uint8Array {
  const { bytes, view } = blank();
  const listed = namespaces.filter(({ id }) => id > after);
  for (const [index, { id }] of listed.entries()) view.setUint32(4 * index, id, true);
  return bytes;
}

/** CNS 12h and 13h: the controllers from `first` on, of which there is one. */
export function identifyControllers(first: number): Uint8Array {
  const { bytes, view } = blank();
  if (first <= 1) {
    view.setUint16(0, 1, true);
    view.setUint16(2, 1, true);
  }
  return bytes;
}

/** CNS 1Ch: the combinations of command sets: the NVM command set. */
export function identifyCommandSets(): Uint8Array {
  const { bytes } = blank();
  bytes[0] = 1;
  return bytes;
}

/**
 * Structures of which the NVM command set has nothing to say here (CNS 05h and 06h): no limits, no metadata.
 */
export function identifyNothing(): Uint8Array {
  return blank().bytes;
}
