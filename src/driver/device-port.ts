/**
 * A device's way to the IOMMU: its requester id, and the rule by which its requests are told apart, checked
 * and translated before they leave.
 *
 * A device's programmer names an address space by a number that he writes into the device: a PASID on PCI
 * (pci-port.ts), an address space id (ASID) on vDPA. Whatever it is called, the list of authorizations holds
 * it as `vpasid`, and a request that leaves carries the PASID that the port makes of it.
 */
import { CallWord, callWords } from '../devices/call-words.js';
import { checkTransfer } from '../devices/checks.js';
import type { DmaFault, DmaPort } from '../devices/device-model.js';
import { STEP_EFFORT } from '../devices/effort.js';
import type { DirtyLog } from '../iommu/dirty-log.js';
import type { FaultLog } from '../iommu/fault-log.js';
import type { Requester } from '../iommu/iommu.js';
import type { Translation } from '../iommu/nested-table.js';
import type { Pasid, Vpasid } from '../iommu/pasid.js';
import type { Ranges } from '../linux/ranges.js';
import type { Authorizations } from './authorizations.js';

export interface DevicePort extends DmaPort {
  /** The requester id that the device's requests carry, alone or with others. */
  readonly requester: Requester;
  /** Does it share its requester id with siblings, so that its own list is what keeps them apart? */
  readonly mediated: boolean;
  /** Do the device's requests name address spaces? Otherwise it can be authorized for one only. */
  readonly namesSpaces: boolean;
  readonly authorizations: Authorizations;
  /** Has another ABI the device, whose programs attach page tables? Reasons are in its words then. */
  attaches: boolean;

  /**
   * The number by which the device's programmer will know `pasid`, when `vpasid` was asked for (undefined:
   * none was).
   * @throws Refusal EINVAL when the device cannot have it by that number.
   */
  vpasid(pasid: Pasid, vpasid: Vpasid | undefined): Vpasid;

  /** The PASID that requests meant for `pasid` carry on the bus: its entry in the requester's PASID table. */
  entry(pasid: Pasid): Pasid;

  /**
   * An attachment of another ABI: requests that the device's program gives `vpasid` (0: none) are translated
   * by `table` from now on, in place of what they were, and what they write is recorded in `log`.
   * @throws Refusal ENOSPC when there is no PASID for it; then nothing has changed.
   */
  enter(vpasid: Vpasid, table: Translation, log: DirtyLog | undefined): void;

  /** Takes the attachment of `vpasid` back; none is fine. */
  leave(vpasid: Vpasid): void;

  /** Why a request for `vpasid` would not leave for the IOMMU now; undefined: it would. */
  kept(vpasid: Vpasid): string | undefined;
}

/**
 * A read that leaves for the IOMMU, as Requester.read. @throws RangeError when the bytes are not in `target`:
 * a fault of the model.
 */
export function readThrough(
  requester: Requester,
  pasid: Pasid,
  iova: number,
  target: Uint8Array,
  at: number,
  length: number,
): DmaFault | undefined {
  // What is copied by address must be there: a buffer that was transferred has no bytes any more.
  checkTransfer(target, at, length);
  callWords[CallWord.DMA] = (callWords[CallWord.DMA]! + 1) | 0;
  const fault = requester.read(pasid, iova, target, at, length);
  callWords[CallWord.DMA] = (callWords[CallWord.DMA]! + 1) | 0;
  return fault;
}

/** A write that leaves, as `readThrough`. */
export function writeThrough(
  requester: Requester,
  pasid: Pasid,
  iova: number,
  source: Uint8Array,
  at: number,
  length: number,
): DmaFault | undefined {
  checkTransfer(source, at, length);
  callWords[CallWord.DMA] = (callWords[CallWord.DMA]! + 1) | 0;
  const fault = requester.write(pasid, iova, source, at, length);
  callWords[CallWord.DMA] = (callWords[CallWord.DMA]! + 1) | 0;
  return fault;
}

/** Reads or writes of many places that leave, as `readThrough`. */
export function moveThrough(
  requester: Requester,
  pasid: Pasid,
  ranges: Ranges,
  buffer: Uint8Array,
  at: number,
  write: boolean,
  most?: number,
): DmaFault | undefined {
  checkTransfer(buffer, at, ranges.length);
  callWords[CallWord.DMA] = (callWords[CallWord.DMA]! + 1) | 0;
  const fault = requester.move(pasid, ranges, buffer, at, write, most);
  callWords[CallWord.DMA] = (callWords[CallWord.DMA]! + 1) | 0;
  return fault;
}

/** As `moveThrough`, of as many as come to the effort of a step. @returns the bytes, or the fault. */
export function moveSomeThrough(
  requester: Requester,
  pasid: Pasid,
  ranges: Ranges,
  buffer: Uint8Array,
  at: number,
  write: boolean,
): number | DmaFault {
  return moveThrough(requester, pasid, ranges, buffer, at, write, STEP_EFFORT) ?? requester.moved;
}

/** As Requester.copy, with the effort of a step. */
export function copyThrough(
  requester: Requester,
  pasid: Pasid,
  from: number,
  to: number,
  length: number,
): number {
  callWords[CallWord.DMA] = (callWords[CallWord.DMA]! + 1) | 0;
  const copied = requester.copy(pasid, from, to, length, STEP_EFFORT);
  callWords[CallWord.DMA] = (callWords[CallWord.DMA]! + 1) | 0;
  return copied;
}

/** Records a request that the device or its driver kept back, as the IOMMU records those that it refuses. */
export function blocked(
  log: FaultLog,
  rid: string,
  pasid: number,
  iova: number,
  write: boolean,
  reason: string,
): DmaFault {
  log.record({ rid, pasid, iova, write, reason });
  return { iova, done: 0, pasid, write, reason };
}
